"""ERF records: to the octet, there and back, damaged; and captures of a link with its PDUs rebuilt."""

from __future__ import annotations

import io
import itertools
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.trace.capture.erf import MAX_PDU_CELLS
from atmdepot.trace.capture.files import open_capture
from atmdepot.trace.capture.pcap import LinkType
from atmdepot.trace.capture.write import open_writer
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen, Remark
from atmdepot.wire.aal5 import cpcs_pdu
from atmdepot.wire.cell import CellHeader, Interface
from tests.trace.captures import cells_of, erf_cell, erf_pdu, flipped, pcap_file, train_of
from tests.trace.traced import traced

if TYPE_CHECKING:
    from atmdepot.trace.capture.write import CaptureWriter
    from atmdepot.trace.sources import SourceRecord
    from atmdepot.trace.tracer import Totals

TIME = 1_700_000_000_123_456_789
HALF_PAST_THREE = 3_500_000_000
CELL = CellHeader(5, 40).pack() + bytes(range(48))
BODY = CELL[:4] + CELL[5:]
CELL_READ = CapturedCells(HALF_PAST_THREE, "link", "out", CELL, hec=HecMark.ABSENT)

headers = st.builds(CellHeader, st.integers(0, 255), st.integers(0, 65535), st.integers(0, 7),
                    st.integers(0, 1), st.integers(0, 15)).map(CellHeader.pack)
cells = st.builds(bytes.__add__, headers, st.binary(min_size=48, max_size=48))
ways = st.sampled_from(["out", "in"])


def read(octets: bytes) -> tuple[list[SourceRecord], dict[str, int]]:
    """The records of a capture, and what was passed over."""
    with open_capture(io.BytesIO(octets)) as source:
        return list(source), source.passed_over


def read_record(record: bytes) -> tuple[list[SourceRecord], dict[str, int]]:
    """The same of a capture that holds an ERF record as a whole, whatever the record itself says."""
    head = pcap_file([], link_type=LinkType.ERF)
    return read(head + struct.pack("<IIII", 0, 0, len(record), len(record)) + record)


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
    with open_writer(file) as writer:
        writer.cells(HALF_PAST_THREE, "n", "l", "in", CELL)
    assert file.getvalue()[24 + 16:].hex(" ", -4) == (
        "00000080 03000000"      # 3.5 s: the fraction, then the seconds, little-endian
        " 03050044 00000034"     # type 3, interface 1, varying length; 68 octets, none lost, 52 on the wire
        " 00500280"              # the header without its HEC
        " " + bytes(range(48)).hex(" ", -4))


def test_the_octets_of_a_pdu() -> None:
    file = io.BytesIO()
    with open_writer(file) as writer:
        writer.pdu(HALF_PAST_THREE, "n", "l", "out", CELL[:4], bytes(96))
    assert file.getvalue()[24 + 16:].hex(" ", -4) == (
        "00000080 03000000 04040074 00000064 00500280 " + bytes(96).hex(" ", -4))


@given(cells, st.integers(0, 39))
def test_a_wrong_hec_is_told(cell: bytes, bit: int) -> None:
    file, damaged = io.BytesIO(), flipped(cell, bit)
    with open_writer(file) as writer:
        writer.cells(TIME, "n", "l", "out", damaged)
    [seen], _ = read(file.getvalue())
    assert isinstance(seen, CapturedCells)
    assert seen.hec is HecMark.BAD
    assert (seen.octets[:4], seen.octets[5:]) == (damaged[:4], damaged[5:])


def test_padding_after_the_wire_length_and_after_the_record_is_left_out() -> None:
    assert read_record(erf_record(3, BODY, padding=bytes(4)) + b"more") == ([CELL_READ], {})
    assert read_record(erf_record(4, BODY, length=72, padding=bytes(4))) == (
        [PduSeen(HALF_PAST_THREE, "link", "out", CELL[:4], CELL[5:])], {})


@pytest.mark.parametrize("record", [erf_record(3, BODY), erf_record(4, bytes(100))])
def test_every_cut_of_a_record_is_damage(record: bytes) -> None:
    assert read_record(record)[1] == {}
    for cut in range(len(record)):
        [remark], passed_over = read_record(record[:cut])
        assert isinstance(remark, Remark)
        assert remark.text.startswith(("the capture, octet 24: an ERF header", "the capture, octet 24: an ERF record"))
        assert passed_over == {"damaged ERF records": 1}


@pytest.mark.parametrize(("record", "why"), [
    (erf_record(3, CELL), "body of 53"), (erf_record(3, bytes(51)), "body of 51"),
    (erf_record(4, bytes(3)), "body of 3"), (erf_record(2, bytes(60)), "type 2 "),
    (erf_record(0x83, bytes(52)), "cut short or damaged"), (erf_record(3, bytes(52), length=67), "record length 67"),
    (erf_record(3, bytes(52), length=0), "record length 0"),
    (erf_record(3, bytes(52), wire=53), "wire length 53"),
])
def test_faults_of_a_record_are_told(record: bytes, why: str) -> None:
    [remark], _ = read_record(record)
    assert isinstance(remark, Remark)
    assert why in remark.text


@given(st.binary(max_size=150), st.sampled_from([3, 4, 7, 9, 0x83, 0x84, 0x87, 0x89, None]))
def test_random_records_are_read_or_counted(noise: bytes, kind: int | None) -> None:
    if kind is not None:
        noise = noise[:8] + bytes((kind,)) + noise[9:]
    records, passed_over = read_record(noise)
    found = [record for record in records if not isinstance(record, Remark)]
    lost = int.from_bytes(noise[12:14], "big") if len(noise) >= 16 else 0
    assert passed_over.get("records lost by the capturing card", 0) == lost
    assert len(found) + sum(passed_over.values()) - lost == 1
    for record in found:
        assert isinstance(record, CapturedCells | PduSeen)
        assert 0 <= record.time <= 2**32 * 10**9
        assert record.link in ("link", "link.2", "link.3")
        assert record.direction in ("out", "in")


@given(st.integers(0, 16 * 8 - 1))
def test_a_wrong_bit_in_a_record_header_raises_no_error_and_spoils_no_cell(bit: int) -> None:
    records, _ = read_record(flipped(erf_record(3, BODY), bit))
    found = [record for record in records if not isinstance(record, Remark)]
    if found:
        [seen] = found
        assert isinstance(seen, CapturedCells)
        assert seen.octets == CELL
    else:
        assert bit // 8 in {8, 10, 11, 14, 15}


# ── files ──

def test_records_of_other_types_are_skipped_and_counted() -> None:
    records = [erf_record(2, bytes(60)), erf_record(3, BODY), erf_record(2, b""), erf_record(48, bytes(4))]
    seen, passed_over = read(pcap_file([(0, 0, record) for record in records], link_type=LinkType.ERF))
    assert [record for record in seen if not isinstance(record, Remark)] == [CELL_READ]
    assert passed_over == {"ERF records of type 2": 2, "ERF records of type 48": 1}


def test_a_damaged_record_is_named_by_file_and_place_and_passed_over() -> None:
    file = io.BytesIO(pcap_file([(0, 0, octets) for octets in (erf_cell(CELL), b"\x03", erf_cell(CELL))],
                                link_type=LinkType.ERF, magic=0xA1B23C4D))
    file.name = "x.erf"  # type: ignore[misc]
    first, remark, last = open_capture(file)
    assert first == last == CELL_READ
    assert isinstance(remark, Remark)
    assert remark.text == "x.erf, octet 108: an ERF header has 16 octets, here are 1"


def test_every_truncation_of_a_file_gives_the_whole_records() -> None:
    file = io.BytesIO()
    traced(file, [(TIME, "out", train_of(bytes(60)))])
    whole = file.getvalue()
    values, _ = read(whole)
    ends = [24, 24 + 84, 24 + 168, 24 + 168 + 132]
    assert len(whole) == ends[-1]
    assert len(values) == 3
    for cut in range(24, len(whole) + 1):
        records, _ = read(whole[:cut])
        assert records[:sum(end <= cut for end in ends) - 1] == values[:sum(end <= cut for end in ends) - 1]
        assert [type(record) for record in records[sum(end <= cut for end in ends) - 1:]] == (
            [] if cut in ends else [Remark])


# ── captures ──

def captured(*trains: tuple[bytes, str], interface: Interface = Interface.UNI,
             max_cells: int = 1000) -> tuple[CaptureWriter, Totals, list[SourceRecord]]:
    """The contents of a capture of trains, a ns apart; the words of its writer and of its tracer."""
    file = io.BytesIO()
    writer, totals = traced(file, ((TIME + n, way, train) for n, (train, way) in enumerate(trains)),
                            interface=interface, max_cells=max_cells)
    return writer, totals, read(file.getvalue())[0]


def captured_pdus(*trains: tuple[bytes, str], interface: Interface = Interface.UNI) -> list[tuple[bytes, str]]:
    return pdus(captured(*trains, interface=interface)[2])


def pdus(records: list[SourceRecord]) -> list[tuple[bytes, str]]:
    return [(record.octets, record.direction) for record in records if isinstance(record, PduSeen)]


def cell_seen(time: int, octets: bytes, hec: HecMark = HecMark.ABSENT) -> CapturedCells:
    return CapturedCells(time, "link", "out", octets, hec=hec)


def test_a_pdu_follows_its_last_cell_at_its_time() -> None:
    first, last = cells_of(train_of(b"x" * 60))
    _, _, records = captured((first, "out"), (last + first, "out"))
    assert records == [cell_seen(TIME, first), cell_seen(TIME + 1, last),
                       PduSeen(TIME + 1, "link", "out", last[:4], cpcs_pdu(b"x" * 60)), cell_seen(TIME + 1, first)]


def test_a_damaged_pdu_is_written_as_it_came() -> None:
    train = train_of(bytes(100))
    assert captured_pdus((flipped(train, 60 * 8), "out")) == [(flipped(cpcs_pdu(bytes(100)), (60 - 10) * 8), "out")]


@given(st.lists(st.tuples(st.integers(5, 6), st.integers(40, 41), ways, st.binary(min_size=1, max_size=200)),
                max_size=12), st.data())
def test_interleaved_vcs_are_rebuilt_each_by_itself(
        sdus: list[tuple[int, int, str, bytes]], data: st.DataObject) -> None:
    queues: dict[tuple[int, int, str], list[bytes]] = {}
    for vpi, vci, way, sdu in sdus:
        queues.setdefault((vpi, vci, way), []).extend(cells_of(train_of(sdu, vpi, vci)))
    sent: list[tuple[bytes, str]] = []
    while queues:
        vc = data.draw(st.sampled_from(list(queues)))
        sent.append((queues[vc].pop(0), vc[2]))
        queues = {key: rest for key, rest in queues.items() if rest}
    writer, totals, records = captured(*sent)
    assert [(record.octets, record.direction) for record in records if isinstance(record, CapturedCells)] == sent
    rebuilt: dict[tuple[int, int, str], list[bytes]] = {}
    for before, record in itertools.pairwise(records):
        if isinstance(record, PduSeen):
            assert isinstance(before, CapturedCells)
            assert CellHeader.unpack(before.octets).is_last
            header = CellHeader.unpack(record.header)
            rebuilt.setdefault((header.vpi, header.vci, record.direction), []).append(record.octets)
    expected: dict[tuple[int, int, str], list[bytes]] = {}
    for vpi, vci, way, sdu in sdus:
        expected.setdefault((vpi, vci, way), []).append(cpcs_pdu(sdu))
    assert rebuilt == expected
    assert not writer.left_out
    assert (totals.unfinished, totals.not_written) == (0, {})


def test_the_two_directions_of_a_vc_are_rebuilt_each_by_itself() -> None:
    out, back = (cells_of(train_of(octet * 60)) for octet in (b"1", b"2"))
    assert captured_pdus((out[0], "out"), (back[0], "in"), (out[1], "out"), (back[1], "in")) == [
        (cpcs_pdu(b"1" * 60), "out"), (cpcs_pdu(b"2" * 60), "in")]


def test_flow_control_bits_do_not_tell_vcs_apart_at_a_uni() -> None:
    first = cells_of(train_of(bytes(60), gfc=0))[0]
    last = cells_of(train_of(bytes(60), gfc=9))[1]
    assert captured_pdus((first + last, "out")) == [(cpcs_pdu(bytes(60)), "out")]


def test_all_twelve_bits_of_a_vpi_tell_vcs_apart_at_an_nni() -> None:
    one, two = (cells_of(train_of(octet * 60, vpi, interface=Interface.NNI))
                for vpi, octet in ((0x105, b"1"), (0x905, b"2")))
    _, _, records = captured((one[0] + two[0] + two[1] + one[1], "in"), interface=Interface.NNI)
    assert pdus(records) == [(cpcs_pdu(b"2" * 60), "in"), (cpcs_pdu(b"1" * 60), "in")]
    assert [record.header for record in records if isinstance(record, PduSeen)] == [two[1][:4], one[1][:4]]


@pytest.mark.parametrize("header", [
    CellHeader(5, 40, 4), CellHeader(5, 40, 5), CellHeader(5, 40, 6), CellHeader(5, 40, 7),
    CellHeader(5, 16, 5), CellHeader(0, 0, 0, 1), CellHeader(0, 0, 1), CellHeader(5, 1, 1),
    CellHeader(5, 3, 1), CellHeader(5, 4, 1), CellHeader(5, 6, 1)])
def test_cells_that_carry_no_user_data_are_in_no_pdu(header: CellHeader) -> None:
    first, last = cells_of(train_of(b"x" * 60, vci=header.vci if header.pti >= 4 else 40))
    other = header.pack() + bytes(48)
    _, _, records = captured((first + other + last, "out"))
    assert records == [cell_seen(TIME, first), cell_seen(TIME, other), cell_seen(TIME, last),
                       PduSeen(TIME, "link", "out", last[:4], cpcs_pdu(b"x" * 60))]


@pytest.mark.parametrize("vci", [5, 16, 17, 18, 32, 65535])
def test_signalling_and_user_vcs_are_rebuilt(vci: int) -> None:
    assert captured_pdus((train_of(bytes(60), vci=vci), "out")) == [(cpcs_pdu(bytes(60)), "out")]


@pytest.mark.parametrize("bit", range(40))
def test_a_cell_with_one_wrong_header_bit_is_in_the_pdu_of_its_vc(bit: int) -> None:
    train = train_of(bytes(60))
    damaged = flipped(train, 53 * 8 + bit)
    _, _, records = captured((damaged, "out"))
    assert records[-1] == PduSeen(TIME, "link", "out", train[53:57], cpcs_pdu(bytes(60)))
    assert isinstance(records[1], CapturedCells)
    # A record has no HEC by which to mend it again, so it is written as the receiver took it.
    assert records[1].hec is HecMark.ABSENT
    assert records[1].octets == train[53:]


def test_a_cell_with_more_wrong_header_bits_is_in_no_pdu() -> None:
    train, pdu = train_of(bytes(100)), cpcs_pdu(bytes(100))
    assert captured_pdus((flipped(train, 53 * 8 + 9, 53 * 8 + 22), "out")) == [(pdu[:48] + pdu[96:], "out")]


def test_the_greatest_pdu_that_a_record_holds_is_rebuilt() -> None:
    sdu = bytes(n % 253 for n in range(MAX_PDU_CELLS * 48 - 8))
    writer, _, records = captured((train_of(sdu), "out"), max_cells=MAX_PDU_CELLS)
    assert pdus(records) == [(cpcs_pdu(sdu), "out")]
    assert not writer.left_out


@pytest.mark.parametrize(("cells_in_it", "left_out", "unfinished"), [(1365, 1, 0), (1366, 1, 0), (3000, 0, 1)])
def test_a_longer_pdu_is_left_out_to_its_end_and_counted(cells_in_it: int, left_out: int, unfinished: int) -> None:
    train = train_of(b"x" * 60)
    long = train[:53] * (cells_in_it - 1) + train[53:]
    writer, totals, records = captured((long + train, "out"), max_cells=5000)
    assert pdus(records) == [(cpcs_pdu(b"x" * 60), "out")]
    assert sum(isinstance(record, CapturedCells) for record in records) == cells_in_it + 2
    assert writer.left_out[f"PDUs of more than {MAX_PDU_CELLS} cells"] == writer.left_out.total() == left_out
    assert totals.unfinished == unfinished


def test_the_oldest_pdu_gives_way_when_too_many_cells_wait() -> None:
    a1, a2, a3 = cells_of(train_of(b"a" * 100, vci=40))
    b1, b2, b3 = cells_of(train_of(b"b" * 100, vci=41))
    _, totals, records = captured(*((cell, "out") for cell in (a1, a2, b1, b2, b3)), max_cells=3)
    assert pdus(records) == [(cpcs_pdu(b"b" * 100), "out")]
    assert totals.unfinished == 1
    # All of the room is there again: three cells may wait, and their PDUs are whole.
    _, totals, records = captured(*((cell, "out") for cell in (a1, a2, b1, b2, b3, a3, a1, a2, b1, a3)), max_cells=3)
    assert pdus(records) == [(cpcs_pdu(b"b" * 100), "out"), (cpcs_pdu(b"a" * 100), "out")]
    assert totals.unfinished == 2, "b has begun anew"


@given(headers, st.binary(max_size=200), ways)
def test_incomplete_pdus_are_written_unchanged(header: bytes, octets: bytes, way: str) -> None:
    """As captures of others may hold it."""
    file = io.BytesIO()
    with open_writer(file) as writer:
        assert writer.pdu(TIME, "n", "l", way, header[:4], octets)
    assert read(file.getvalue()) == ([PduSeen(TIME, "link", way, header[:4], octets)], {})
    assert read_record(erf_pdu(header, octets))[0] == [PduSeen(HALF_PAST_THREE, "link", "out", header[:4], octets)]
