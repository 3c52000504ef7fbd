"""ERF records: to the octet, there and back, damaged; and captures of a link with its PDUs rebuilt."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.trace.erf import (
    MAX_PDU_CELLS,
    Direction,
    ErfCapture,
    ErfCell,
    ErfPdu,
    ErfReader,
    ErfWriter,
    parse_record,
)
from atmdepot.trace.pcap import CaptureError, LinkType, PcapReader, PcapWriter
from atmdepot.wire.aal5 import cpcs_pdu
from atmdepot.wire.cell import CellHeader, Interface
from tests.trace.captures import cells_of, flipped, pcap_file, train_of

if TYPE_CHECKING:
    from collections.abc import Iterable

TIME = 1_700_000_000_123_456_789
SENT, RECEIVED = Direction.SENT, Direction.RECEIVED
CELL = CellHeader(5, 40).pack() + bytes(range(48))

times = st.integers(0, (1 << 32) * 10**9 - 1)
headers = st.builds(CellHeader, st.integers(0, 255), st.integers(0, 65535), st.integers(0, 7),
                    st.integers(0, 1), st.integers(0, 15)).map(CellHeader.pack)
cells = st.builds(bytes.__add__, headers, st.binary(min_size=48, max_size=48))
directions = st.integers(0, 3)


def read_back(file: io.BytesIO) -> list[ErfCell | ErfPdu]:
    return list(ErfReader(PcapReader(io.BytesIO(file.getvalue()), "x.erf")))


def erf_record(kind: int, body: bytes, *, flags: int = 4, length: int | None = None, wire: int | None = None,
               padding: bytes = b"") -> bytes:
    """A record made by hand; the lengths are the right ones unless they are given."""
    length = 16 + len(body) + len(padding) if length is None else length
    wire = len(body) if wire is None else wire
    header = struct.pack("<QBB", 3 << 32 | 1 << 31, kind, flags) + struct.pack(">HHH", length, 0, wire)
    return header + body + padding


# ── records ──

def test_the_octets_of_a_cell() -> None:
    file = io.BytesIO()
    ErfWriter(file).cell(3_500_000_000, CELL, RECEIVED)
    assert file.getvalue()[24 + 16:].hex(" ", -4) == (
        "00000080 03000000"      # 3.5 s: the fraction, then the seconds, little-endian
        " 03050044 00000034"     # type 3, interface 1, varying length; 68 octets, none lost, 52 on the wire
        " 00500280"              # the header without its HEC
        " " + bytes(range(48)).hex(" ", -4))


def test_the_octets_of_a_pdu() -> None:
    file = io.BytesIO()
    ErfWriter(file).pdu(3_500_000_000, CELL[:4], bytes(96), SENT)
    assert file.getvalue()[24 + 16:].hex(" ", -4) == (
        "00000080 03000000 04040074 00000064 00500280 " + bytes(96).hex(" ", -4))


@given(times, cells, directions)
def test_cells_there_and_back(time_ns: int, cell: bytes, direction: int) -> None:
    file = io.BytesIO()
    ErfWriter(file).cell(time_ns, cell, direction)
    assert read_back(file) == [ErfCell(time_ns, cell, direction, hec_error=False)]


@given(times, headers, st.integers(1, 40), directions)
def test_pdus_there_and_back(time_ns: int, header: bytes, count: int, direction: int) -> None:
    file = io.BytesIO()
    pdu = bytes(n % 251 for n in range(48 * count))
    ErfWriter(file).pdu(time_ns, header[:4], pdu, direction)
    assert read_back(file) == [ErfPdu(time_ns, header[:4], pdu, direction)]


@given(cells, st.integers(0, 39))
def test_a_wrong_hec_is_told(cell: bytes, bit: int) -> None:
    file = io.BytesIO()
    damaged = flipped(cell, bit)
    ErfWriter(file).cell(0, damaged, SENT)
    [read] = read_back(file)
    assert isinstance(read, ErfCell)
    assert read.hec_error
    assert (read.cell[:4], read.cell[5:]) == (damaged[:4], damaged[5:])


@pytest.mark.parametrize("size", [0, 52, 54])
def test_a_cell_has_53_octets(size: int) -> None:
    with pytest.raises(ValueError, match=f"53 octets, this one has {size}"):
        ErfWriter(io.BytesIO()).cell(0, bytes(size), SENT)


@pytest.mark.parametrize(("header", "pdu"), [(4, 0), (4, 47), (4, 49), (4, 48 * 1365), (5, 48), (3, 48)])
def test_a_pdu_that_fits_no_record_is_refused(header: int, pdu: int) -> None:
    file = io.BytesIO()
    with pytest.raises(ValueError, match="header of 4 octets and a PDU of 1 to 1364 times 48"):
        ErfWriter(file).pdu(0, bytes(header), bytes(pdu), SENT)
    assert len(file.getvalue()) == 24


@pytest.mark.parametrize(("time_ns", "direction"), [(-1, 0), (2**32 * 10**9, 0), (0, -1), (0, 4), (0, 16)])
def test_a_time_or_direction_that_does_not_fit_is_refused(time_ns: int, direction: int) -> None:
    file = io.BytesIO()
    with pytest.raises(ValueError, match=r"does not fit|a direction is 0 to 3"):
        ErfWriter(file).cell(time_ns, CELL, direction)
    assert len(file.getvalue()) == 24


def test_padding_after_the_wire_length_and_after_the_record_is_left_out() -> None:
    body = CELL[:4] + CELL[5:]
    padded = erf_record(3, body, padding=bytes(4)) + b"more"
    assert parse_record(padded) == ErfCell(3_500_000_000, CELL, SENT)
    assert parse_record(erf_record(4, body, length=72, padding=bytes(4))) == (
        ErfPdu(3_500_000_000, CELL[:4], CELL[5:], SENT))


@pytest.mark.parametrize("record", [erf_record(3, CELL[:4] + CELL[5:]), erf_record(4, bytes(100))])
def test_every_cut_of_a_record_is_an_error(record: bytes) -> None:
    parse_record(record)
    for cut in range(len(record)):
        with pytest.raises(CaptureError, match=r"an ERF (header|record)"):
            parse_record(record[:cut])


@pytest.mark.parametrize(("record", "why"), [
    (erf_record(3, CELL), "body of 53"), (erf_record(3, bytes(51)), "body of 51"),
    (erf_record(4, bytes(3)), "body of 3"), (erf_record(2, bytes(60)), "type 2 "),
    (erf_record(0x83, bytes(52)), "cut short or damaged"), (erf_record(3, bytes(52), length=67), "record length 67"),
    (erf_record(3, bytes(52), length=0), "record length 0"),
    (erf_record(3, bytes(52), wire=53), "wire length 53"),
])
def test_what_is_wrong_with_a_record_is_told(record: bytes, why: str) -> None:
    with pytest.raises(CaptureError, match=why):
        parse_record(record)


@given(st.binary(max_size=150), st.sampled_from([3, 4, None]))
def test_random_records_raise_nothing_else(noise: bytes, kind: int | None) -> None:
    if kind is not None:
        noise = noise[:8] + bytes((kind,)) + noise[9:]
    try:
        value = parse_record(noise)
    except CaptureError:
        return
    assert 0 <= value.time_ns <= 2**32 * 10**9
    assert 0 <= value.direction <= 3


@given(st.integers(0, 16 * 8 - 1))
def test_one_wrong_bit_in_a_record_header_raises_nothing_else(bit: int) -> None:
    record = erf_record(3, CELL[:4] + CELL[5:])
    try:
        value = parse_record(flipped(record, bit))
    except CaptureError:
        assert bit // 8 in {8, 10, 11, 14, 15}
    else:
        assert isinstance(value, ErfCell)
        assert value.cell == CELL


# ── files ──

def erf_file(records: Iterable[bytes]) -> bytes:
    return pcap_file([(0, 0, record) for record in records], link_type=LinkType.ERF)


def test_records_of_other_types_are_skipped_and_counted() -> None:
    cell = erf_record(3, CELL[:4] + CELL[5:])
    reader = ErfReader(PcapReader(io.BytesIO(erf_file([erf_record(2, bytes(60)), cell, erf_record(2, b""),
                                                       erf_record(48, bytes(4))]))))
    assert list(reader) == [ErfCell(3_500_000_000, CELL, SENT)]
    assert reader.skipped == {2: 2, 48: 1}


def test_a_damaged_record_is_named_by_file_and_place_and_can_be_passed_over() -> None:
    cell = erf_record(3, CELL[:4] + CELL[5:])
    reader = ErfReader(PcapReader(io.BytesIO(erf_file([cell, cell[:40], cell])), "x.erf"))
    found = iter(reader)
    next(found)
    with pytest.raises(CaptureError, match=r"^x\.erf, octet 108: an ERF record of 40 octets"):
        next(found)
    assert len(list(reader)) == 1


def test_another_link_type_is_refused_by_name() -> None:
    with pytest.raises(CaptureError, match=r"^x: the link type is 123 \(SUNATM\), not 197 \(ERF\)"):
        ErfReader(PcapReader(io.BytesIO(pcap_file([], link_type=123)), "x"))


def test_every_truncation_of_a_file_gives_the_whole_records() -> None:
    file = io.BytesIO()
    ErfCapture(file).record(TIME, train_of(bytes(60)), SENT)
    whole = file.getvalue()
    values = read_back(file)
    ends = [24, 24 + 84, 24 + 168, 24 + 168 + 132]
    assert len(whole) == ends[-1]
    for cut in range(24, len(whole) + 1):
        reader = PcapReader(io.BytesIO(whole[:cut]))
        assert list(ErfReader(reader)) == values[:sum(end <= cut for end in ends) - 1]
        assert (reader.truncated is None) == (cut in ends)


@given(st.binary(max_size=200))
def test_random_files_raise_nothing_else(noise: bytes) -> None:
    file = io.BytesIO()
    PcapWriter(file, LinkType.ERF).write(0, noise)
    reader = ErfReader(PcapReader(io.BytesIO(file.getvalue()), "x.erf"))
    with contextlib.suppress(CaptureError):
        assert len(list(reader)) + reader.skipped.total() == 1


# ── captures ──

def captured(*trains: tuple[bytes, int],
             interface: Interface = Interface.UNI) -> tuple[ErfCapture, list[ErfCell | ErfPdu]]:
    file = io.BytesIO()
    capture = ErfCapture(file, interface)
    for n, (train, direction) in enumerate(trains):
        capture.record(TIME + n, train, direction)
    return capture, read_back(file)


def pdus(values: list[ErfCell | ErfPdu]) -> list[tuple[bytes, int]]:
    return [(value.cpcs_pdu, value.direction) for value in values if isinstance(value, ErfPdu)]


def test_a_pdu_follows_its_last_cell_at_its_time() -> None:
    first, last = cells_of(train_of(b"x" * 60))
    _, values = captured((first, SENT), (last + first, SENT))
    assert values == [ErfCell(TIME, first, SENT), ErfCell(TIME + 1, last, SENT),
                      ErfPdu(TIME + 1, last[:4], cpcs_pdu(b"x" * 60), SENT), ErfCell(TIME + 1, first, SENT)]


def test_a_damaged_pdu_is_written_as_it_came() -> None:
    train = train_of(bytes(100))
    _, values = captured((flipped(train, 60 * 8), SENT))
    assert pdus(values) == [(flipped(cpcs_pdu(bytes(100)), (60 - 10) * 8), SENT)]


@given(st.lists(st.tuples(st.integers(5, 6), st.integers(40, 41), st.sampled_from(Direction),
                          st.binary(min_size=1, max_size=200)), max_size=12), st.data())
def test_interleaved_vcs_are_rebuilt_each_by_itself(
        sdus: list[tuple[int, int, Direction, bytes]], data: st.DataObject) -> None:
    queues: dict[tuple[int, int, Direction], list[bytes]] = {}
    for vpi, vci, direction, sdu in sdus:
        queues.setdefault((vpi, vci, direction), []).extend(cells_of(train_of(sdu, vpi, vci)))
    sent: list[tuple[bytes, int]] = []
    while queues:
        vc = data.draw(st.sampled_from(list(queues)))
        sent.append((queues[vc].pop(0), vc[2]))
        queues = {key: rest for key, rest in queues.items() if rest}
    capture, values = captured(*sent)
    assert [(value.cell, value.direction) for value in values if isinstance(value, ErfCell)] == sent
    rebuilt: dict[tuple[int, int, int], list[bytes]] = {}
    for before, value in itertools.pairwise(values):
        if isinstance(value, ErfPdu):
            assert isinstance(before, ErfCell)
            assert CellHeader.unpack(before.cell).is_last
            header = CellHeader.unpack(value.header)
            rebuilt.setdefault((header.vpi, header.vci, value.direction), []).append(value.cpcs_pdu)
    expected: dict[tuple[int, int, int], list[bytes]] = {}
    for vpi, vci, direction, sdu in sdus:
        expected.setdefault((vpi, vci, direction), []).append(cpcs_pdu(sdu))
    assert rebuilt == expected
    assert not capture.drops


def test_the_two_directions_of_a_vc_are_rebuilt_each_by_itself() -> None:
    out, back = (cells_of(train_of(octet * 60)) for octet in (b"1", b"2"))
    _, values = captured((out[0], SENT), (back[0], RECEIVED), (out[1], SENT), (back[1], RECEIVED))
    assert pdus(values) == [(cpcs_pdu(b"1" * 60), SENT), (cpcs_pdu(b"2" * 60), RECEIVED)]


def test_flow_control_bits_do_not_tell_vcs_apart_at_a_uni() -> None:
    first = cells_of(train_of(bytes(60), gfc=0))[0]
    last = cells_of(train_of(bytes(60), gfc=9))[1]
    assert pdus(captured((first + last, SENT))[1]) == [(cpcs_pdu(bytes(60)), SENT)]


def test_all_twelve_bits_of_a_vpi_tell_vcs_apart_at_an_nni() -> None:
    one, two = (cells_of(train_of(octet * 60, vpi, interface=Interface.NNI))
                for vpi, octet in ((0x105, b"1"), (0x905, b"2")))
    _, values = captured((one[0] + two[0] + two[1] + one[1], RECEIVED), interface=Interface.NNI)
    assert pdus(values) == [(cpcs_pdu(b"2" * 60), RECEIVED), (cpcs_pdu(b"1" * 60), RECEIVED)]


@pytest.mark.parametrize("header", [
    CellHeader(5, 40, 4), CellHeader(5, 40, 5), CellHeader(5, 40, 6), CellHeader(5, 40, 7),
    CellHeader(5, 16, 5), CellHeader(0, 0, 0, 1), CellHeader(0, 0, 1), CellHeader(5, 1, 1),
    CellHeader(5, 3, 1), CellHeader(5, 4, 1), CellHeader(5, 6, 1)])
def test_cells_that_carry_no_user_data_are_in_no_pdu(header: CellHeader) -> None:
    first, last = cells_of(train_of(b"x" * 60, vci=header.vci if header.pti >= 4 else 40))
    other = header.pack() + bytes(48)
    _, values = captured((first + other + last, SENT))
    assert values == [ErfCell(TIME, first, SENT), ErfCell(TIME, other, SENT), ErfCell(TIME, last, SENT),
                      ErfPdu(TIME, last[:4], cpcs_pdu(b"x" * 60), SENT)]


@pytest.mark.parametrize("vci", [5, 16, 17, 18, 32, 65535])
def test_signalling_and_user_vcs_are_rebuilt(vci: int) -> None:
    assert pdus(captured((train_of(bytes(60), vci=vci), SENT))[1]) == [(cpcs_pdu(bytes(60)), SENT)]


@pytest.mark.parametrize("bit", range(40))
def test_a_cell_with_one_wrong_header_bit_is_in_the_pdu_of_its_vc(bit: int) -> None:
    train = train_of(bytes(60))
    damaged = flipped(train, 53 * 8 + bit)
    _, values = captured((damaged, SENT))
    assert values[-1] == ErfPdu(TIME, train[53:57], cpcs_pdu(bytes(60)), SENT)
    assert isinstance(values[1], ErfCell)
    assert values[1].hec_error
    assert values[1].cell[:4] == damaged[53:57]


def test_a_cell_with_more_wrong_header_bits_is_in_no_pdu() -> None:
    train = train_of(bytes(100))
    _, values = captured((flipped(train, 53 * 8 + 9, 53 * 8 + 22), SENT))
    pdu = cpcs_pdu(bytes(100))
    assert pdus(values) == [(pdu[:48] + pdu[96:], SENT)]


def test_the_greatest_pdu_that_a_record_holds_is_rebuilt() -> None:
    sdu = bytes(n % 253 for n in range(MAX_PDU_CELLS * 48 - 8))
    capture, values = captured((train_of(sdu), SENT))
    assert pdus(values) == [(cpcs_pdu(sdu), SENT)]
    assert not capture.drops


@pytest.mark.parametrize("cells_in_it", [1365, 1366, 3000])
def test_a_longer_pdu_is_given_up_to_its_end(cells_in_it: int) -> None:
    train = train_of(b"x" * 60)
    long = train[:53] * (cells_in_it - 1) + train[53:]
    capture, values = captured((long + train, SENT))
    assert pdus(values) == [(cpcs_pdu(b"x" * 60), SENT)]
    assert sum(isinstance(value, ErfCell) for value in values) == cells_in_it + 2
    assert dict(capture.drops) == {DropReason.OVERSIZE: 1}


def test_the_oldest_pdu_gives_way_when_too_many_cells_wait() -> None:
    file = io.BytesIO()
    capture = ErfCapture(file, max_waiting=3)
    a1, a2, a3 = cells_of(train_of(b"a" * 100, vci=40))
    b1, b2, b3 = cells_of(train_of(b"b" * 100, vci=41))
    for cell in (a1, a2, b1, b2, b3):
        capture.record(TIME, cell, SENT)
    assert pdus(read_back(file)) == [(cpcs_pdu(b"b" * 100), SENT)]
    assert dict(capture.drops) == {DropReason.REASSEMBLY_OVERFLOW: 1}
    # All of the room is there again: three cells may wait, and their PDUs are whole.
    for cell in (a3, a1, a2, b1, a3):
        capture.record(TIME, cell, SENT)
    assert pdus(read_back(file))[-1] == (cpcs_pdu(b"a" * 100), SENT)
    assert capture.drops.total() == 1


def test_half_a_cell_is_refused_and_nothing_written() -> None:
    file = io.BytesIO()
    with pytest.raises(ValueError, match="80 octets are no whole number of cells"):
        ErfCapture(file).record(TIME, bytes(80), SENT)
    assert len(file.getvalue()) == 24
