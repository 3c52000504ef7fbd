"""Two depots whose servers have rewritten headers: one is killed, and connections go on over the other, whole."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import VIP, VIP6, changed, site, until
from tests.end_to_end.standing_by import PAGE, Pair, ask, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]

MOVING = {"10.63.0.1/24", "fd00:63::1/64"}
ANSWERED_FOR = {"10.63.0.101", "fd00:63::101", "10.71.0.1", "fd00:71::1"}
# Each pool has one address on the router's LAN, for which the active depot's host answers, and one to which only the
# router's default route leads.
CHANGES = [
    ("[depots.main]\n", '[depots.main]\nsilence = "1s"\n'),
    ('pool = ["10.71.0.1", "fd00:71::1"]\n', """pool = ["10.63.0.101", "fd00:71::1"]

[servers.web4]
bearer = "rewrite"
port = "eth1"
address = ["10.70.0.14", "fd00:70::14"]
source = "depot"
pool = ["10.71.0.1", "fd00:63::101"]

[services.near]
vip = ["10.80.0.2", "fd00:80::2"]
ports = [80]
servers = ["web3"]

[services.far]
vip = ["10.80.0.3", "fd00:80::3"]
ports = [80]
servers = ["web4"]
"""),
    ('servers = ["web1", "web2", "web3"]', 'servers = ["web1", "web2"]')]
VIPS = [VIP, VIP6, "10.80.0.2", "fd00:80::2", "10.80.0.3", "fd00:80::3"]
IDS = ["client-4", "client-6", "pool-on-lan-4", "pool-by-route-6", "pool-by-route-4", "pool-on-lan-6"]


@pytest.fixture(scope="module")
def it(needs: Callable[[str], None]) -> Iterator[Pair]:
    for program in ("keepalived", "curl", "nginx", "ip", "tc"):
        needs(program)
    with changed("rewrite-standby", "rewrite-standby-e2e", CHANGES) as path, site(path, watched=True) as made:
        for server in ("web1", "web2", "web3", "web4"):  # so that 10 MB take seconds
            made.run(server, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "40mbit", "burst", "64k",
                     "latency", "300ms")
        yield Pair(made.lab)


def on_the_servers_side(it: Pair, name: str) -> set[str]:
    """The addresses of the servers' side that a depot has, or that its host answers for."""
    words = it.run(name, "ip", "-br", "addr", "show", "eth1").stdout.split()
    proxies = it.run(name, "ip", "neigh", "show", "proxy", "dev", "eth1").stdout.splitlines()
    return MOVING & set(words) | {line.split()[0] for line in proxies}


@pytest.mark.parametrize("vip", VIPS, ids=IDS)
def test_the_active_depot_is_killed_and_a_download_is_whole(it: Pair, vip: str) -> None:
    active, other = it.settled()
    until(lambda: on_the_servers_side(it, active) == MOVING | ANSWERED_FOR)
    assert on_the_servers_side(it, other) == set()
    with it.download(vip) as download:
        until(it.same_sessions)
        it.lab.kill(active)
        assert outcome(download) == PAGE
    assert it.role(other) == "active"
    assert on_the_servers_side(it, other) == MOVING | ANSWERED_FOR
    assert on_the_servers_side(it, active) == set(), "its guard has taken them away"
    it.lab.start(active)
    it.settled()


def test_connections_outlive_a_kill_a_takeover_and_the_way_back_and_new_ones_open(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(60, *VIPS) as old:
        until(it.same_sessions)
        it.lab.kill(active)
        assert ask(old) == 60
        with it.clients(60, *VIPS) as new:
            it.lab.start(active)
            it.settled()
            until(it.same_sessions)
            for depot in (active, other):
                assert it.atmdepot("takeover", "--node", depot).returncode == 0
                until(lambda depot=depot: it.settled()[0] == depot)
                assert (ask(old), ask(new)) == (60, 60)
            assert it.counters(other).get(("rewrite", "drop:nobodys-answer"), 0) == 0


def test_a_depot_that_hangs_loses_its_addresses_and_joins_when_it_wakes(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(30, *VIPS) as clients:
        until(it.same_sessions)
        it.lab.kill(active, signal=signal.SIGSTOP)
        until(lambda: it.role(other) == "active")
        assert on_the_servers_side(it, active) == set()
        assert ask(clients) == 30
        it.lab.kill(active, signal=signal.SIGCONT)
        assert it.settled() == (other, active)
        assert ask(clients) == 30


def test_a_depot_that_reaches_no_server_gives_its_addresses_away(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(30, *VIPS) as clients:
        until(it.same_sessions)
        it.lab.cut(f"{active}.eth1")
        until(lambda: it.role(other) == "active" and it.depot(active)["fitness"] == -254)
        assert ask(clients) == 30
        it.lab.restore(f"{active}.eth1")
        it.settled()
        assert ask(clients) == 30
