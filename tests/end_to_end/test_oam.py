"""OAM over a switch in the lab: loopbacks hop by hop, and a cut behind the switch that the depot hears of at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import Site, changed, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

SUPERVISED = [(f"[links.{link}]", f'[links.{link}]\nsupervise = "100ms"') for link in ("trunk", "to-web1", "to-web2")]


@pytest.fixture(scope="module")
def it(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    with changed("switched", "oam-lab", SUPERVISED) as table, site(table) as made:
        yield made


def test_ping_and_trace(it: Site) -> None:
    told = it.atmdepot("oam", "ping", "web1", "-c", "3", "-i", "0.05")
    assert told.returncode == 0, told.stderr
    assert "3 loopbacks sent, 3 answered, 0 % lost" in told.stdout
    told = it.atmdepot("oam", "trace", "depot:web2")
    assert told.returncode == 0, told.stderr
    assert [line.split()[:2] for line in told.stdout.splitlines()[1:]] == [["1", "sw1"], ["2", "web2"]]
    told = it.atmdepot("oam", "ping", "trunk:1/32", "--segment", "-c", "1")
    assert "VC 1/32 on trunk, F5 segment" in told.stdout
    assert it.atmdepot("oam", "ping", "web1", "--node", "web1", "-c", "1").returncode == 0
    assert it.atmdepot("oam", "continuity", "web1", "on").returncode == 0
    assert it.atmdepot("oam", "continuity", "web1", "off").returncode == 0


def test_a_cut_behind_the_switch(it: Site) -> None:
    def condition() -> tuple[str, str]:
        [row] = [row for row in it.rows("servers") if row["server"] == "web2"]
        return row["list"], row["why"]

    until(lambda: condition()[0] == "alive")
    it.run("web2", "ip", "link", "set", "to-web2", "down")
    try:
        until(lambda: condition() == ("dead", "path down: VP web2 has AIS from sw1"))
        assert {row["state"] for row in it.rows("oam", "sw1") if row["link"] == "to-web2"} == {"sends AIS"}
        assert {it.fetch("10.80.0.1", "server").server for _ in range(4)} == {"web1"}
        [row] = [row for row in it.rows("oam") if (row["vp"], row["flow"]) == ("web2", "F4 end-to-end")]
        assert row["state"] == "AIS"
    finally:
        it.run("web2", "ip", "link", "set", "to-web2", "up")
    until(lambda: condition() == ("alive", "its path is whole again"))
    assert any("VP web2 has AIS from sw1" in line for line in it.told("depot"))
