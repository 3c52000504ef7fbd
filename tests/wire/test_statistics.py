"""The edge node's report: octets and values, and everything that is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire.statistics import ServerState, Statistics

word, long = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
reports = st.builds(Statistics, st.sampled_from(ServerState), st.integers(0, 65535), word, word, long, long, long,
                    long, word, word, long)
REPORT = Statistics(ServerState.ACCEPTS, 2, 3, 4, 5, 6, 7, 8, 1500, 250, 11)


@given(reports)
def test_report_is_read_as_it_was_written(report: Statistics) -> None:
    octets = report.pack()
    assert len(octets) == 68
    assert Statistics.unpack(octets) == report


def test_octets_of_a_report() -> None:
    assert REPORT.pack().hex(" ", -4) == (
        "41445354 01010002 00000003 00000004 00000000 00000005 00000000 00000006 00000000 00000007 "
        "00000000 00000008 000005dc 000000fa 00000000 0000000b 00000000")


@pytest.mark.parametrize("length", [*range(68), 69, 96])
def test_report_of_another_length_is_none(length: int) -> None:
    octets = (REPORT.pack() + bytes(30))[:length]
    with pytest.raises(ValueError, match=f"statistics have 68 octets, here are {length}"):
        Statistics.unpack(octets)


@pytest.mark.parametrize(("at", "octet", "told"), [
    (0, 0x42, "statistics begin"), (3, 0, "statistics begin"), (4, 0, "statistics begin"), (4, 2, "statistics begin"),
    (5, 4, "4 is not a valid"), (5, 255, "255 is not a valid")])
def test_report_of_another_magic_version_or_state_is_none(at: int, octet: int, told: str) -> None:
    octets = bytearray(REPORT.pack())
    octets[at] = octet
    with pytest.raises(ValueError, match=told):
        Statistics.unpack(bytes(octets))


@given(st.binary(min_size=68, max_size=68))
def test_nothing_but_value_error_escapes(octets: bytes) -> None:
    try:
        report = Statistics.unpack(octets)
    except ValueError:
        return
    assert report.pack()[:64] == octets[:64]
