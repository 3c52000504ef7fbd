"""SunATM's records to the octet, and frames of link type 100: LLC, or cells as GNS3 writes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.events import Cells
from atmdepot.trace.capture.sunatm import Rfc1483Decoder, SunAtmDecoder, sunatm_record
from atmdepot.trace.notes import Notes
from atmdepot.trace.sources import PduSeen
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.llc import LLC_IPV4, LLC_IPV6
from tests.trace.captures import cells_of, flipped, http_packet, train_of

TRAIN = train_of(http_packet(4))


def notes() -> Notes:
    return Notes(lambda: "here")


# ── SunATM ──

def test_the_octets_of_a_record() -> None:
    header = CellHeader(5, 0x1234).pack()[:4]
    assert sunatm_record(header, LLC_IPV4 + b"E", sent=True).hex(" ") == "82 05 12 34 aa aa 03 00 00 00 08 00 45"
    assert sunatm_record(header, b"E", sent=False).hex(" ") == "00 05 12 34 45"
    assert sunatm_record(CellHeader(0, 16).pack(), b"x", sent=False).hex(" ") == "05 00 00 10 78"
    assert sunatm_record(CellHeader(0, 5).pack(), b"x", sent=True).hex(" ") == "86 00 00 05 78"


@given(st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=60), st.booleans(), st.integers(0, 9))
def test_there_and_back(vpi: int, vci: int, sdu: bytes, sent: bool, missing: int) -> None:
    header = CellHeader(vpi, vci, 1).pack()[:4]
    record = sunatm_record(header, sdu, sent=sent)
    seen = SunAtmDecoder(notes(), "depot", "to-web1").decode(7, record, missing, "")
    assert seen == PduSeen(7, "to-web1", "out" if sent else "in", header, sdu, False, missing, "depot")


def test_a_direction_that_the_capture_tells_goes_first() -> None:
    seen = SunAtmDecoder(notes(), "", "link").decode(7, bytes(5), 0, "out")
    assert isinstance(seen, PduSeen)
    assert seen.direction == "out"


def test_a_record_shorter_than_its_header_is_told() -> None:
    told = notes()
    for size in range(4):
        assert SunAtmDecoder(told, "", "link").decode(7, bytes(size), 0, "") is None
    assert told.passed_over == {"damaged SunATM records": 4}


# ── link type 100 ──

def decode(frame: bytes, missing: int = 0, direction: str = "") -> object:
    return Rfc1483Decoder(notes(), "n", "l").decode(7, frame, missing, direction)


def test_raw_cells_are_cells_with_the_hec_as_it_is() -> None:
    for cell in cells_of(TRAIN):
        assert decode(cell) == Cells(7, "l", "", cell, "n")
    assert decode(TRAIN, direction="in") == Cells(7, "l", "in", TRAIN, "n")
    wrong = flipped(TRAIN, 3)
    assert decode(wrong) == Cells(7, "l", "", wrong, "n")


def test_llc_is_a_pdu_even_if_it_is_as_long_as_a_cell() -> None:
    for begin in (LLC_IPV4, LLC_IPV6, bytes.fromhex("FEFE0383"), bytes.fromhex("424203000000000000")):
        for size in (52, 53, 54, 106):
            frame = begin.ljust(size, b"E")
            assert decode(frame, missing=3) == PduSeen(7, "l", "", bytes((0, 0, 0, 2)), frame, False, 3, "n")
            assert decode(frame) == PduSeen(7, "l", "", bytes((0, 0, 0, 2)), frame, False, 0, "n")


def test_a_cell_whose_header_begins_as_llc_does_needs_a_right_hec() -> None:
    header = CellHeader(0xAA, 0xA030, 0, 0, 0xA).pack()
    assert header.startswith(bytes.fromhex("AAAA03"))
    assert isinstance(decode(header + bytes(48)), Cells)
    assert isinstance(decode(flipped(header, 39) + bytes(48)), PduSeen)


def test_frames_of_neither_kind_are_told() -> None:
    for frame in (b"", TRAIN[:52], TRAIN + b"x", flipped(TRAIN, 0, 1), TRAIN[:53] + flipped(TRAIN[53:106], 7, 30)):
        told = notes()
        assert Rfc1483Decoder(told, "", "l").decode(7, frame, 0, "") is None
        assert told.passed_over == {"frames of link type 100 that are neither cells nor LLC": 1}
    assert decode(TRAIN, missing=1) is None


@given(st.binary(max_size=120))
def test_any_octets_raise_no_error(frame: bytes) -> None:
    assert decode(frame) is None or isinstance(decode(frame), Cells | PduSeen)
    assert SunAtmDecoder(notes(), "", "l").decode(0, frame, 0, "") is None or len(frame) >= 4
