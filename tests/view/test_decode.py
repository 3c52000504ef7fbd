"""Cells, octet by octet: every octet is of one region, and the regions are where the standards have them."""

from __future__ import annotations

import functools
import operator

from hypothesis import given

from atmdepot.net.events import Cells
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Cell
from atmdepot.view.decode import Region, shown, tree_of
from atmdepot.wire.llc import Encapsulation, encapsulate
from tests.effort import examples
from tests.trace.captures import http_packet, train_of
from tests.trace.items import cells


def regions_of(sdu: bytes) -> list[list[Region]]:
    items = Follower(cells=True).take(Cells(1, "to-web1", "out", train_of(sdu), "depot"))
    return [shown(item).regions for item in items if isinstance(item, Cell)]


@given(cells())
@examples(80)
def test_every_octet_of_a_cell_is_in_one_region(cell: Cell) -> None:
    at = 0
    for region in shown(cell).regions:
        assert region.begin == at
        assert region.end > region.begin
        at = region.end
    assert at == 53
    assert isinstance(tree_of(cell), str)


def test_a_packet_lies_in_its_cells_with_headers_padding_and_trailer() -> None:
    packet = http_packet(4)
    octets: dict[str, int] = {}
    for region in functools.reduce(operator.iadd, regions_of(packet), []):
        octets[region.kind] = octets.get(region.kind, 0) + region.end - region.begin
    count = -(-(len(packet) + 8) // 48)
    assert octets == {"header": 4 * count, "hec": count, "ip": 20, "transport": 20, "data": len(packet) - 40,
                      "pad": count * 48 - 8 - len(packet), "trailer": 8}
    last = regions_of(packet)[-1][-4:]
    assert [(region.text.split()[-1], region.end - region.begin) for region in last] == [
        ("CPCS-UU", 1), ("CPI", 1), ("Length", 2), ("CRC-32", 4)]


def test_an_encapsulation_stands_before_the_packet() -> None:
    first = regions_of(encapsulate(http_packet(6), Encapsulation.LLC))[0]
    assert [(region.kind, region.end - region.begin) for region in first] == [
        ("header", 4), ("hec", 1), ("llc", 8), ("ip", 40)]


def test_the_last_cells_tree_has_the_packets_fields() -> None:
    items = Follower(cells=True).take(Cells(1, "to-web1", "out", train_of(http_packet(4)), "depot"))
    tree = tree_of(next(item for item in items if isinstance(item, Cell)))
    assert "destination port: 80" in tree
    assert "(good)" in tree
