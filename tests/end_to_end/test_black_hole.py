"""A link whose path swallows long datagrams, in one direction or the other: named, and over when it is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import Site, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

HOLE = """
add table inet hole
add chain inet hole in { type filter hook prerouting priority 0; }
add chain inet hole out { type filter hook output priority 0; }
add rule inet hole WAY udp dport 5502 meta length > 1280 drop
"""


@pytest.fixture(scope="module")
def direct_site(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    needs("nft")
    with site("direct", watched=True) as made:
        yield made


def why(it: Site) -> tuple[str, str]:
    """On which list web2 is, and why."""
    [row] = [row for row in it.rows("servers") if row["server"] == "web2"]
    return row["list"], row["why"]


@pytest.mark.parametrize(("way", "told"), [("in", "to the edge node"), ("out", "from the edge node")])
def test_a_black_hole_is_named(direct_site: Site, way: str, told: str) -> None:
    it = direct_site
    until(lambda: why(it)[0] == "alive")
    it.run("web2", "nft", HOLE.strip().replace("WAY", way).replace("\n", ";"))
    try:
        until(lambda: told in why(it)[1])
        assert why(it)[0] == "dead"
        assert "statistics" not in why(it)[1], "reports arrive"
        [link] = [row for row in it.rows("links", "depot") if row["link"] == "to-web2"]
        assert told in link["trouble"]
        doctor = it.atmdepot("doctor", "-o", "json").stdout
        assert "to-web2" in doctor
        assert told in doctor
        assert it.fetch("10.80.0.1", "10KB").server == "web1"
    finally:
        it.run("web2", "nft", "delete table inet hole")
    until(lambda: why(it)[0] == "alive")


def test_idle_cells_are_dropped_by_every_node_and_counted(direct_site: Site) -> None:
    it = direct_site
    for node in it.daemons:
        until(lambda node=node: it.count("unassigned-cells", node) > 0)
    assert [key for key in it.drops() if key[2] == "drop:unknown-vc"] == []
    depot = {row["link"]: row for row in it.rows("links", "depot")}
    assert {row["trouble"] for row in depot.values()} == {""}
