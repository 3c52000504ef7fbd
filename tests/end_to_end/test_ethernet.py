"""Servers on Ethernet in labs of the kernel's own: pages, one copy of each packet, hosts left clean, failures."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from atmdepot.lab.state import TABLE_FILE
from tests.end_to_end.sites import CLIENT, CLIENT6, VIP, VIP6, Site, changed, end, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces


@pytest.fixture(scope="module")
def mixed(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    needs("nft")
    with site("mixed") as made:
        yield made


def tables(it: Site) -> str:
    return it.run("depot", "nft", "list", "ruleset").stdout


def test_pages_come_from_behind_atm_and_from_ethernet_and_the_kernel_forwards_no_answer_twice(mixed: Site) -> None:
    before = mixed.drops()
    for vip in (VIP, VIP6):
        got = [mixed.fetch(vip, name) for name in ("10KB", "10KB", "10MB", "10MB")]
        assert {one.server for one in got} == {"web1", "web2"}
        assert [len(one.octets) for one in got] == [len(page(name)) for name in ("10KB", "10KB", "10MB", "10MB")]
        assert all(one.octets == page("10KB" if len(one.octets) < 10**6 else "10MB") for one in got)
    assert mixed.drops() == before
    assert "atmdepot_mixed_depot_eth1" in tables(mixed)
    log = (mixed.lab.directory / "web2" / "access.log").read_text() if mixed.lab.web_server == "nginx" else ""
    for client, vip in ((CLIENT, VIP), (CLIENT6, VIP6)):
        assert not log or f"{client} {vip} " in log, "the client's own address came through"
    for dropped in re.findall(r"saddr \S+ counter packets (\d+)", tables(mixed)):
        assert int(dropped) > 100, "these the kernel would have forwarded, too"


def test_the_stations_and_ports_are_shown(mixed: Site) -> None:
    (eth1,) = [row for row in mixed.rows("links") if row["link"] == "eth1"]
    assert (eth1["medium"], eth1["peer"], eth1["trouble"]) == ("frames", "web2", "")
    (web2,) = mixed.rows("neighbours")
    assert (web2["server"], web2["port"], web2["by"], len(web2["mac"])) == ("web2", "eth1", "answer", 17)


def test_explain_says_what_would_be_done(mixed: Site) -> None:
    told = mixed.atmdepot("explain", "--src", f"{CLIENT}:5555", "--dst", f"{VIP}:80")
    assert "forwarded to" in told.stdout


def test_a_reload_lets_a_server_send_for_more_by_the_depot_and_takes_it_back(mixed: Site) -> None:
    """The kernel forwards what the depot does not take, so the client has the packets in any case: only once each."""
    path = mixed.lab.directory / TABLE_FILE
    text = path.read_text()

    def taken() -> int:
        before = mixed.counters()["tun", "tx-packets"]
        done = mixed.run("web2", "ping", "-c", "5", "-i", "0.05", CLIENT).stdout
        assert "5 received" in done
        assert "duplicates" not in done
        return mixed.counters()["tun", "tx-packets"] - before

    def reload(new: str) -> None:
        path.write_text(new)
        reloads = sum("taken over by depot" in line for line in mixed.told("depot"))
        os.kill(mixed.pid("depot"), signal.SIGHUP)
        until(lambda: sum("taken over by depot" in line for line in mixed.told("depot")) > reloads)

    assert taken() < 5
    try:
        reload(text.replace('port = "eth1"', 'port = "eth1"\nallow = ["10.62.0.0/24"]'))
        assert "10.62.0.0/24" in tables(mixed)
        assert taken() >= 5
    finally:
        reload(text)
    assert "10.62.0.0/24" not in tables(mixed)
    assert taken() < 5


@pytest.mark.slow
def test_a_server_that_is_cut_off_is_dead_and_comes_back(needs: Callable[[str], None]) -> None:
    needs("curl")
    needs("nft")
    with site("ports", watched=True) as it:
        it.run("depot", "ip", "link", "set", "eth1", "down")
        until(lambda: [row["list"] for row in it.rows("servers")] == ["dead", "alive"])
        assert {it.fetch(VIP, "1KB").server for _ in range(4)} == {"web2"}
        (eth1,) = [row for row in it.rows("links") if row["link"] == "eth1"]
        assert eth1["last_error"]
        it.run("depot", "ip", "link", "set", "eth1", "up")
        until(lambda: [row["list"] for row in it.rows("servers")] == ["alive", "alive"])


@pytest.mark.slow
@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_bulk_is_as_fast_as_the_machine_lets_it(needs: Callable[[str], None], vip: str) -> None:
    needs("iperf3")
    needs("nft")
    changes = [("ports = [80]", "ports = [80, 5201]"), ("round-robin", "source-hash")]
    with changed("ports", "bulk", changes) as table, site(table, web=False) as it:
        for server in ("web1", "web2"):
            it.run(server, "iperf3", "-s", "-D")
        for reverse in ((), ("-R",)):
            told = it.run("client", "iperf3", "-c", vip, "-t", "2", "-J", *reverse)
            assert json.loads(told.stdout)["end"]["sum_received"]["bits_per_second"] > 1e8


@pytest.mark.slow
def test_a_killed_depot_leaves_nothing_to_the_host_once_another_has_run(needs: Callable[[str], None]) -> None:
    needs("curl")
    needs("nft")
    with site("ports") as it:
        it.lab.kill("depot")
        assert "atmdepot_ports_depot_eth1" in tables(it)
        again = it.start("depot")
        until(lambda: {it.fetch(VIP, "1KB").server for _ in range(2)} == {"web1", "web2"})
        end(again, signal.SIGTERM)
        assert tables(it) == ""
