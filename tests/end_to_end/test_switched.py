"""A switch between the depot and its edge nodes: pages, a switch that is killed, and cross-connects changed live."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end.sites import VIP, VIP6, Site, changed, end, site, until
from tests.end_to_end.test_depot_crash import DOWNLOAD, has_begun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.namespaces

SWAPPED = ('ends = ["depot", "web2"]\nvpi = 2\n', 'ends = ["web2", "depot"]\nvpi = 1\n')
"""Both edge nodes have VPI 1; on the trunk the second has 2."""
SLOW = ('[links.to-web1]\n', '[links.to-web1]\nrate = "30Mbps"\n'), ('[links.to-web2]\n',
                                                                   '[links.to-web2]\nrate = "30Mbps"\n')
FROM, TO, TOO = "to-web1 9/100", "trunk 9/100", "to-web2 9/100"


@pytest.fixture(scope="module")
def switched(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    with changed("switched", "e2e-switched", [SWAPPED, *SLOW]) as table, site(table) as made:
        yield made


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_pages_come_whole_over_the_switch(switched: Site, vip: str) -> None:
    before = switched.drops()
    got = [switched.fetch(vip, "10KB") for _ in range(2)]
    assert {one.server for one in got} == {"web1", "web2"}
    assert all(one.octets == page("10KB") for one in got)
    assert switched.drops() == before
    crossed = {(row["link"], row["vc"]): row for row in switched.rows("vcs", "sw1")}
    assert {place: row["to"] for place, row in crossed.items()} == {
        ("trunk", "1"): "to-web1 1", ("to-web1", "1"): "trunk 1",
        ("trunk", "2"): "to-web2 1", ("to-web2", "1"): "trunk 2"}
    assert all(row["tx_cells"] == row["rx_cells"] > 0 for row in crossed.values())
    assert {vc.partition("/")[0] for vc in switched.vcs("web2")} == {"1"}


def test_cross_connects_are_changed_and_saved(switched: Site, tmp_path: Path) -> None:
    table = switched.lab.directory / "table.toml"

    def told(*words: str) -> str:
        done = switched.atmdepot("vc", *words, "--network", "e2e-switched")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def own() -> list[tuple[str, str, str]]:
        return [(row["from"], row["to"], row["kept"]) for row in json.loads(told("list", "sw1", "-o", "json"))
                if row["kept"] != "by its VP or VC"]

    assert "lost at a restart" in told("add", "sw1", FROM, TO)
    told("add", "sw1", FROM, TOO)
    assert own() == [(FROM, f"{TO}, {TOO}", "until a restart")]
    told("remove", "sw1", FROM, TO)
    told("save", "sw1", str(table))
    assert own() == [(FROM, TOO, "saved")]
    assert "#" in table.read_text()
    told("remove", "sw1", FROM)
    told("add", "sw1", FROM, TO)
    origin = tmp_path / "lab.toml"  # a lab runs from a copy of its table: both are written
    origin.write_bytes(table.read_bytes())
    told("save", "sw1", str(origin))
    assert own() == [(FROM, TO, "saved")]
    assert origin.read_bytes() == table.read_bytes()
    told("add", "sw1", FROM, TOO)
    told("remove", "sw1", FROM, TO)
    told("save", "sw1", str(table))
    told("remove", "sw1", FROM)
    assert own() == []
    wrong = switched.atmdepot("vc", "add", "sw1", FROM, "trunk 1/100", "--network", "e2e-switched")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (1, 1)


def test_download_goes_on_when_the_switch_has_crashed(switched: Site) -> None:
    """This test is the last of its lab, in which a second daemon has the switch's place from now on."""
    with switched.helper("client", "-c", DOWNLOAD, VIP) as client:
        until(lambda: has_begun(switched))
        os.kill(switched.pid("sw1"), signal.SIGKILL)
        until(lambda: switched.lab.state.processes["sw1"].exit_code is not None)
        again = switched.start("sw1")
        try:
            out, _ = client.communicate(timeout=120)
            assert out == hashlib.sha256(page("10MB")).hexdigest() + "\n"
            # The table has what was saved.
            assert (FROM.split(), TOO) in [([row["link"], row["vc"]], row["to"])
                                           for row in switched.rows("vcs", "sw1")]
        finally:
            end(again, signal.SIGTERM)
