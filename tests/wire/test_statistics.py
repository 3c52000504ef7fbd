"""The edge node's report: octets and values, and everything that is none."""

from __future__ import annotations

import pytest
from construct import ConstructError
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire import layouts
from atmdepot.wire.statistics import ServerState, Statistics, is_statistics

word, long = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
reports = st.builds(Statistics, st.sampled_from(ServerState), st.integers(0, 65535), word, word, long, long, long,
                    long, word, word, long, st.integers(0, 65535), st.integers(0, 65535), st.just(0),
                    st.just(""))
following = st.builds(lambda report, term, follows: report._replace(term=term, follows=follows), reports,
                      st.integers(1, 2**64 - 1), st.from_regex(r"[A-Za-z0-9_-]{0,32}", fullmatch=True))
REPORT = Statistics(ServerState.ACCEPTS, 2, 3, 4, 5, 6, 7, 8, 1500, 250, 11, 0x1234, 0x5678)


@given(reports | following)
def test_report_is_read_as_it_was_written(report: Statistics) -> None:
    octets = report.pack()
    assert len(octets) == (77 + len(report.follows) if report.term else 68)
    assert Statistics.unpack(octets) == report


def test_octets_of_a_report() -> None:
    assert REPORT.pack().hex(" ", -4) == (
        "41445354 01010002 00000003 00000004 00000000 00000005 00000000 00000006 00000000 00000007 "
        "00000000 00000008 000005dc 000000fa 00000000 0000000b 12345678")


def test_octets_of_a_report_of_an_edge_node_that_follows_a_depot() -> None:
    octets = REPORT._replace(term=7, follows="depot2").pack()
    assert octets[:4] + b"\1" + octets[5:68] == REPORT.pack()
    assert octets[4] == 2
    assert octets[68:] == bytes.fromhex("0000000000000007 06") + b"depot2"


@pytest.mark.parametrize("length", [*range(68), 69, 96])
def test_report_of_another_length_is_none(length: int) -> None:
    octets = (REPORT.pack() + bytes(30))[:length]
    with pytest.raises(ValueError, match=f"have 68 octets( or more)?, here are {length}"):
        Statistics.unpack(octets)


@given(following, st.binary(max_size=9), st.data())
def test_report_of_version_2_has_all_its_fields_and_no_more(
        report: Statistics, more: bytes, data: st.DataObject) -> None:
    octets = report.pack()
    for wrong in (octets + b"\0" + more, octets[:data.draw(st.integers(68, len(octets) - 1))]):
        assert not is_statistics(wrong)
        with pytest.raises(ValueError, match=f"statistics of version 2 have [0-9]+ octets, here are {len(wrong)}"):
            Statistics.unpack(wrong)


def test_name_of_a_depot_is_no_longer_than_in_a_table() -> None:
    octets = REPORT._replace(term=7, follows="d" * 33).pack()
    with pytest.raises(ValueError, match="name a depot by at most 32 octets, not 33"):
        Statistics.unpack(octets)


@pytest.mark.parametrize(("at", "octet", "told"), [
    (0, 0x42, "statistics begin"), (3, 0, "statistics begin"), (4, 0, "statistics begin"),
    (4, 2, "statistics of version 2 have 77"),
    (5, 4, "4 is not a valid"), (5, 255, "255 is not a valid")])
def test_report_of_another_magic_version_or_state_is_none(at: int, octet: int, told: str) -> None:
    octets = bytearray(REPORT.pack())
    octets[at] = octet
    with pytest.raises(ValueError, match=told):
        Statistics.unpack(bytes(octets))


@given(st.binary(min_size=68, max_size=68))
def test_only_value_error_escapes(octets: bytes) -> None:
    try:
        report = Statistics.unpack(octets)
    except ValueError:
        return
    assert report.pack()[:4] + octets[4:5] + report.pack()[5:] == octets[:68]


def later(octets: bytes, version: int = 3, more: bytes = b"\0") -> bytes:
    """A report as a later version has it: the same fields, and more octets behind them."""
    return octets[:4] + bytes((version,)) + octets[5:] + more


@given(following, st.integers(3, 255), st.binary(max_size=100))
def test_report_of_a_later_version_is_read_as_far_as_it_is_known(
        report: Statistics, version: int, more: bytes) -> None:
    octets = later(report.pack(), version, more)
    assert is_statistics(octets)
    assert Statistics.unpack(octets) == report


@pytest.mark.parametrize("version", [2, 3, 255])
@pytest.mark.parametrize("length", [0, 4, 5, 67, 68, 76])
def test_report_of_a_later_version_is_longer(version: int, length: int) -> None:
    octets = later(REPORT._replace(term=1).pack(), version)[:length]
    assert not is_statistics(octets)
    with pytest.raises(ValueError, match=r"^statistics .* (68|77) octets( or more)?, here are"):
        Statistics.unpack(octets)


@pytest.mark.parametrize("more", [b"", b"\0"])
def test_report_of_an_older_version_is_none_and_the_version_is_told(more: bytes) -> None:
    with pytest.raises(ValueError, match="version 1 or later, not b'ADST' and 0"):
        Statistics.unpack(later(REPORT.pack(), 0, more))


def test_state_that_a_later_version_has_is_unknown() -> None:
    octets = bytearray(later(REPORT._replace(term=1).pack()))
    octets[5] = 4
    assert Statistics.unpack(bytes(octets)) == REPORT._replace(server=ServerState.UNKNOWN, term=1)


@given(reports.map(lambda report: (report, 1, b"")) | following.map(lambda report: (report, 2, b""))
       | st.tuples(following, st.integers(3, 255), st.binary(max_size=9)))
def test_layout_agrees(told: tuple[Statistics, int, bytes]) -> None:
    report, version, more = told
    octets = later(report.pack(), version, more)
    *names, follows = report._fields
    fields = {name: int(getattr(report, name)) for name in names}
    if version == 1:
        del fields["term"]
    made = fields | {"version": version, "appended": more, "follows": report.follows.encode()}
    assert layouts.STATISTICS.build(made) == octets
    seen = layouts.STATISTICS.parse(octets)
    assert {name: int(seen[name]) for name in fields} == fields
    assert (seen.version, seen.appended) == (version, more)
    assert (seen[follows] or b"").decode() == report.follows


@given(st.sampled_from([0, 1, 2, 9]), st.integers(60, 80), st.sampled_from([b"ADST", b"ADSU"]), st.integers(0, 40))
def test_layout_agrees_with_the_codec(version: int, length: int, magic: bytes, name: int) -> None:
    octets = (magic + bytes((version,)) + REPORT.pack()[5:] + bytes(8) + bytes((name,)) + b"d" * 20)[:length]
    try:
        layouts.STATISTICS.parse(octets)
    except ConstructError:
        assert not is_statistics(octets)
    else:
        assert is_statistics(octets)
