"""Two depots whose servers are on Ethernet (claim 15): one is killed, and connections go on over the other."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import changed, site, until
from tests.end_to_end.standing_by import PAGE, Pair, ask, outcome
from tests.net.real_etcd import arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]

GATEWAYS = ("10.62.0.1/24", "fd00:62::1/64")
ETCD = "10.9.0.2:2379"
"""Where etcd answers: at the client, since no other node is on a LAN with both depots."""


@contextmanager
def depots(name: str, *changes: tuple[str, str], **options: bool) -> Iterator[Pair]:
    """A lab of two depots with servers on Ethernet; its table has changes."""
    patient = ("[depots.main]\n", '[depots.main]\nsilence = "1s"\n')
    with changed("ethernet-standby", name, [patient, *changes]) as path, site(path, watched=True, **options) as made:
        for server in ("web1", "web2"):  # so that 10 MB take seconds
            made.run(server, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "40mbit", "burst", "64k",
                     "latency", "300ms")
        yield Pair(made.lab)


@pytest.fixture(scope="module")
def it(needs: Callable[[str], None]) -> Iterator[Pair]:
    for program in ("keepalived", "curl", "nginx", "ip", "nft", "tc"):
        needs(program)
    with depots("ethernet-standby-e2e") as made:
        yield made


@contextmanager
def etcd(it: Pair, directory: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real etcd at the client."""
    with it.lab.popen("client", arguments(directory, ETCD, "127.0.0.1:2380"), stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL) as server:
        try:
            yield server
        finally:
            server.kill()


def on_the_servers_lan(it: Pair, name: str) -> set[str]:
    """The gateways of the servers that a depot has."""
    words = it.run(name, "ip", "-br", "addr", "show", "eth1").stdout.split()
    return set(GATEWAYS) & set(words)


def test_the_active_depot_is_killed_and_a_download_and_50_clients_go_on(it: Pair) -> None:
    active, other = it.settled()
    until(lambda: on_the_servers_lan(it, active) == set(GATEWAYS))
    assert on_the_servers_lan(it, other) == set()
    with it.clients(50) as clients, it.download() as download:
        until(it.same_sessions)
        it.lab.kill(active)
        assert outcome(download) == PAGE
        assert ask(clients) == 50
        assert it.role(other) == "active"
        assert on_the_servers_lan(it, other) == set(GATEWAYS)
        assert on_the_servers_lan(it, active) == set(), "its guard has taken them away"
        it.lab.start(active)
        it.settled()
        assert ask(clients) == 50
        assert it.atmdepot("takeover", "--node", active).returncode == 0
        it.settled()
        assert ask(clients) == 50


def test_a_depot_that_reaches_no_server_gives_its_addresses_away(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(20) as clients:
        until(it.same_sessions)
        it.lab.cut(f"{active}.eth1")
        until(lambda: it.role(other) == "active" and it.depot(active)["fitness"] == -254)
        assert ask(clients) == 20
        it.lab.restore(f"{active}.eth1")
        it.settled()
        assert ask(clients) == 20


def test_etcd_decides_where_the_servers_gateway_is(needs: Callable[[str], None]) -> None:
    for program in ("etcd", "curl", "nginx", "ip", "tc"):
        needs(program)
    decides = ('ownership = "keepalived"', f'ownership = "etcd"\netcd = ["{ETCD}"]')
    with tempfile.TemporaryDirectory() as directory, depots("ethernet-etcd", decides, wait=False) as it:
        with etcd(it, directory):
            active, other = it.settled()
            until(lambda: on_the_servers_lan(it, active) == set(GATEWAYS))
            assert on_the_servers_lan(it, other) == set()
            until(lambda: all(row["list"] == "alive" for row in it.rows("servers", active)))
            with it.clients(20) as clients, it.download() as download:
                until(it.same_sessions)
                it.lab.kill(active)
                assert outcome(download) == PAGE
                assert ask(clients) == 20
                assert it.role(other) == "active"
                assert on_the_servers_lan(it, other) == set(GATEWAYS)
                assert on_the_servers_lan(it, active) == set(), "its guard has taken them away"
                it.lab.start(active)
                it.settled()
                assert on_the_servers_lan(it, active) == set(), "who comes back takes nothing over"
                assert it.atmdepot("takeover", "--node", active).returncode == 0
                until(lambda: on_the_servers_lan(it, active) == set(GATEWAYS))
                assert on_the_servers_lan(it, other) == set()
                assert ask(clients) == 20
        with it.clients(5) as clients:  # etcd is gone: roles and addresses stay
            assert it.role(active) == "active"
            assert on_the_servers_lan(it, active) == set(GATEWAYS)
            assert on_the_servers_lan(it, other) == set()
            assert ask(clients) == 5
