"""RFC 4717's cells over MPLS: a vector written by hand, round trips, and octets that are hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire.cell import CELL_SIZE, CellHeader, Interface
from atmdepot.wire.link_format import Refused
from atmdepot.wire.pseudowire import NotPseudowire, Pseudowire, WrongLabel, cells_at, label_of

_payloads = st.binary(min_size=48, max_size=48)
_headers = st.builds(lambda vpi, vci, pti, clp: CellHeader(vpi, vci, pti=pti, clp=clp).pack(Interface.NNI),
                     st.integers(0, 4095), st.integers(0, 65535), st.integers(0, 7), st.integers(0, 1))
_cells = st.lists(st.builds(bytes.__add__, _headers, _payloads), min_size=1, max_size=40).map(b"".join)


def test_one_cell_by_the_octet() -> None:
    """Label 16, S, TTL 255; a length of 56 (below 64), sequence 1; VPI 1, VCI 100, PTI 1, without HEC."""
    cell = CellHeader(1, 100, pti=1).pack(Interface.NNI) + bytes(48)
    assert Pseudowire(16).seal(cell) == bytes.fromhex("000101ff 00380001 00100642") + bytes(48)


def test_a_longer_datagram_has_no_length() -> None:
    datagram = Pseudowire(1048575).seal(bytes.fromhex("0000000152") * 2 + bytes(96))
    assert datagram[:8] == bytes.fromhex("fffff1ff 00000001")


@given(_cells, st.integers(16, 1048575))
def test_cells_come_through_with_their_hec(cells: bytes, label: int) -> None:
    sender, receiver = Pseudowire(label), Pseudowire(label)
    datagram = sender.seal(cells)
    assert receiver.open(datagram) == sender.carried(datagram) == cells
    assert len(datagram) == sender.size(len(cells) // CELL_SIZE)
    assert sender.cells(len(datagram)) == len(cells) // CELL_SIZE


@given(_cells)
def test_the_control_word_may_be_missing(cells: bytes) -> None:
    datagram = Pseudowire(16).seal(cells)
    assert Pseudowire(16).open(datagram[:4] + datagram[8:]) == cells


def test_the_sequence_skips_zero() -> None:
    wire, cell = Pseudowire(16), bytes(CELL_SIZE)
    numbers = [int.from_bytes(wire.seal(cell)[6:8], "big") for _ in range(65537)]
    assert (numbers[0], numbers[65534], numbers[65535]) == (1, 65535, 1)


def test_another_label_is_refused() -> None:
    with pytest.raises(WrongLabel):
        Pseudowire(17).open(Pseudowire(16).seal(bytes(CELL_SIZE)))


@pytest.mark.parametrize("datagram", [
    b"", b"\0" * 3, bytes.fromhex("000101ff"), bytes.fromhex("000101ff") + bytes(51), bytes(200),
    bytes.fromhex("000101ff") + bytes.fromhex("45000034") + bytes(48)])
def test_octets_without_cells_are_refused(datagram: bytes) -> None:
    with pytest.raises(NotPseudowire):
        Pseudowire(16).open(datagram)


@given(st.binary(max_size=600))
def test_hostile_octets_are_refused_or_are_whole_cells(datagram: bytes) -> None:
    try:
        cells = Pseudowire(16).open(datagram)
    except Refused:
        return
    assert cells
    assert len(cells) % CELL_SIZE == 0


@given(_cells, st.data())
def test_a_captured_part_names_the_first_cell(cells: bytes, data: st.DataObject) -> None:
    datagram = Pseudowire(16).seal(cells)
    part = datagram[:data.draw(st.integers(0, len(datagram)))]
    try:
        label, at = label_of(part, len(datagram))
    except NotPseudowire:
        assert len(part) < 14
        return
    assert (label, at) in {(16, 8), (16, 4)}
    there = max(0, len(part) - at) // 52
    if at == 8:
        assert cells_at(part, at, there) == cells[:there * CELL_SIZE]
