"""ERF files: records back to back; what is none of cells is counted; damage is told with the record's number."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.events import Cells
from atmdepot.trace.capture.files import open_capture
from atmdepot.trace.capture.pcap import CaptureError
from atmdepot.trace.sources import PduSeen, Remark, SourceRecord
from atmdepot.wire.aal5 import cpcs_pdu
from tests.trace.captures import cells_of, erf_cell, erf_pdu, http_packet, train_of

FIRST, SECOND, LAST = cells_of(train_of(http_packet(4)))
PDU = cpcs_pdu(http_packet(4))
PLAIN = [erf_cell(FIRST), erf_cell(SECOND), erf_cell(LAST), erf_pdu(FIRST, PDU)]


class Erf(io.BytesIO):
    name = "x.erf"


def record(kind: int, body: bytes, *, padding: int = 0, length: int | None = None) -> bytes:
    """A record of any type."""
    length = 16 + len(body) + padding if length is None else length
    return struct.pack("<QBB", 3 << 32, kind, 4) + struct.pack(">HHH", length, 0, len(body)) + body + bytes(padding)


def read(octets: bytes) -> tuple[list[SourceRecord], list[str], dict[str, int]]:
    with open_capture(Erf(octets)) as source:
        records = list(source)
    return ([one for one in records if not isinstance(one, Remark)],
            [one.text for one in records if isinstance(one, Remark)], dict(source.passed_over))


def test_cells_and_pdus() -> None:
    seen, remarks, passed = read(b"".join(PLAIN))
    assert [one.octets for one in seen if isinstance(one, Cells)] == [FIRST, SECOND, LAST]
    assert [one.octets for one in seen if isinstance(one, PduSeen)] == [PDU]
    assert {one.link for one in seen if isinstance(one, Cells)} == {"link"}
    assert (remarks, passed) == ([], {})


def test_a_compressed_one_is_read_alike() -> None:
    assert read(gzip.compress(b"".join(PLAIN)))[0] == read(b"".join(PLAIN))[0]


def test_extension_headers_channels_and_padding() -> None:
    extended = erf_pdu(FIRST, PDU, kind=0x84, extra=bytes((0x81,)) + bytes(7) + bytes(8))
    channel = erf_pdu(FIRST, PDU, kind=9, extra=bytes(4))
    padded = record(4, FIRST[:4] + PDU, padding=5)
    seen, _, passed = read(extended + channel + padded)
    assert [one.octets for one in seen if isinstance(one, PduSeen)] == [PDU] * 3
    assert passed == {}


def test_records_of_other_types_are_skipped_and_counted() -> None:
    others = record(48, bytes(8)) + record(27, bytes(9), padding=7)
    seen, remarks, passed = read(record(2, bytes(60)) + PLAIN[0] + others + record(2, bytes(60)) + PLAIN[1])
    assert len(seen) == 2
    assert passed == {"ERF records of type 2": 2, "ERF records of type 48": 1, "ERF records of type 27": 1}
    assert len(remarks) == 3


@pytest.mark.parametrize("kept", [1, 15, 16, 40, 67])
def test_a_cut_is_told_with_the_records_number(kept: int) -> None:
    seen, [remark], passed = read(PLAIN[0] + PLAIN[1] + PLAIN[2][:kept])
    assert len(seen) == 2
    assert remark.startswith(f"x.erf, octet {2 * 68}: record 3: ")
    assert passed == {"cuts": 1}


@pytest.mark.parametrize("length", [0, 1, 15])
def test_a_length_below_a_headers_ends_the_reading(length: int) -> None:
    seen, [remark], passed = read(b"".join(PLAIN[:3]) + record(3, bytes(52), length=length) + PLAIN[0])
    assert len(seen) == 3
    assert f"record 4: it claims {length} octets" in remark
    assert passed == {"damaged places": 1}


def test_a_length_beyond_the_file() -> None:
    seen, [remark], _ = read(b"".join(PLAIN[:3]) + record(3, bytes(52), length=0xFFFF))
    assert len(seen) == 3
    assert "record 4: the file ends in it: 68 of 65535 octets are there" in remark


@pytest.mark.parametrize("octets", [
    b"", bytes(100), record(0, bytes(52)), record(60, bytes(52)), record(3, bytes(52), length=8),
    record(3, bytes(52), length=0xFFFF), b"Dear reader, this is a text of some length, and no capture at all.\n" * 9,
    b"\xff" * 300])
def test_a_file_that_is_not_erf_is_refused(octets: bytes) -> None:
    with pytest.raises(CaptureError):
        read(octets)


@given(st.lists(st.sampled_from(PLAIN) | st.builds(
    record, st.integers(0, 255), st.binary(max_size=80), padding=st.integers(0, 9),
    length=st.none() | st.integers(0, 300))), st.integers(0, 400), st.binary(max_size=3))
def test_only_the_captures_error_escapes(records: list[bytes], at: int, change: bytes) -> None:
    octets = b"".join(records)
    octets = octets[:at] + change + octets[at + len(change):]
    with contextlib.suppress(CaptureError):
        seen, _, _ = read(octets)
        assert len(seen) <= len(octets) // 16
