"""The edge node's report: octets and values, and everything that is none."""

from __future__ import annotations

import pytest
from construct import ConstructError
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire import layouts
from atmdepot.wire.statistics import ProxyFigures, ServerState, Statistics, is_statistics

word, long = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
reports = st.builds(Statistics, st.sampled_from(ServerState), st.integers(0, 65535), word, word, long, long, long,
                    long, word, word, long, st.integers(0, 65535), st.integers(0, 65535), st.just(0),
                    st.just(""), st.none())
following = st.builds(lambda report, term, follows: report._replace(term=term, follows=follows), reports,
                      st.integers(1, 2**64 - 1), st.from_regex(r"[A-Za-z0-9_-]{0,32}", fullmatch=True))
proxies = st.builds(ProxyFigures, long, long, long, long, word)
of_proxies = st.builds(lambda report, proxy: report._replace(proxy=proxy), reports | following, proxies)
REPORT = Statistics(ServerState.ACCEPTS, 2, 3, 4, 5, 6, 7, 8, 1500, 250, 11, 0x1234, 0x5678)


@given(reports | following | of_proxies)
def test_report_is_read_as_it_was_written(report: Statistics) -> None:
    octets = report.pack()
    size = 77 + len(report.follows) if report.term or report.proxy else 68
    assert len(octets) == size + (36 if report.proxy else 0)
    assert octets[4] == (3 if report.proxy else 2 if report.term else 1)
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


def test_octets_of_a_report_of_a_proxy() -> None:
    octets = REPORT._replace(proxy=ProxyFigures(10, 4, 7, 99, 1)).pack()
    assert octets[:4] + b"\1" + octets[5:68] == REPORT.pack()
    assert octets[68:] == bytes.fromhex(
        "0000000000000000 00 000000000000000a 0000000000000004 0000000000000007 0000000000000063 00000001")
    assert Statistics.unpack(octets).proxy == (10, 4, 7, 99, 1)


@pytest.mark.parametrize(("told", "misses"), [((10, 4), 6), ((4, 10), 0)])
def test_misses_are_the_requests_that_were_no_hits(told: tuple[int, int], misses: int) -> None:
    assert ProxyFigures(*told, 0, 0, 0).misses == misses


@pytest.mark.parametrize("length", [*range(68), 69, 96])
def test_report_of_another_length_is_none(length: int) -> None:
    octets = (REPORT.pack() + bytes(30))[:length]
    with pytest.raises(ValueError, match=f"have 68 octets( or more)?, here are {length}"):
        Statistics.unpack(octets)


@given(following | of_proxies, st.binary(max_size=9), st.data())
def test_report_of_version_2_or_3_has_all_its_fields_and_no_more(
        report: Statistics, more: bytes, data: st.DataObject) -> None:
    octets = report.pack()
    for wrong in (octets + b"\0" + more, octets[:data.draw(st.integers(68, len(octets) - 1))]):
        assert not is_statistics(wrong)
        with pytest.raises(ValueError, match=f"statistics of version [23] have [0-9]+ octets, here are {len(wrong)}"):
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


def later(octets: bytes, version: int = 4, more: bytes = b"\0") -> bytes:
    """A report as a later version has it: the same fields, and more octets behind them."""
    return octets[:4] + bytes((version,)) + octets[5:] + more


@given(of_proxies, st.integers(4, 255), st.binary(max_size=100))
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
    with pytest.raises(ValueError, match=r"^statistics .* (68|77|113) octets( or more)?, here are"):
        Statistics.unpack(octets)


@pytest.mark.parametrize("more", [b"", b"\0"])
def test_report_of_an_older_version_is_none_and_the_version_is_told(more: bytes) -> None:
    with pytest.raises(ValueError, match="version 1 or later, not b'ADST' and 0"):
        Statistics.unpack(later(REPORT.pack(), 0, more))


def test_state_that_a_later_version_has_is_unknown() -> None:
    octets = bytearray(later(REPORT._replace(proxy=ProxyFigures(1, 1, 1, 1, 1)).pack()))
    octets[5] = 4
    assert Statistics.unpack(bytes(octets)) == REPORT._replace(server=ServerState.UNKNOWN, proxy=(1, 1, 1, 1, 1))


@given(reports.map(lambda report: (report, 1, b"")) | following.map(lambda report: (report, 2, b""))
       | of_proxies.map(lambda report: (report, 3, b""))
       | st.tuples(of_proxies, st.integers(4, 255), st.binary(max_size=9)))
def test_layout_agrees(told: tuple[Statistics, int, bytes]) -> None:
    report, version, more = told
    octets = later(report.pack(), version, more)
    *names, follows, _ = report._fields
    fields = {name: int(getattr(report, name)) for name in names}
    if version == 1:
        del fields["term"]
    proxy = None if report.proxy is None else report.proxy._asdict()
    made = fields | {"version": version, "appended": more, "follows": report.follows.encode(), "proxy": proxy}
    assert layouts.STATISTICS.build(made) == octets
    seen = layouts.STATISTICS.parse(octets)
    assert {name: int(seen[name]) for name in fields} == fields
    assert (seen.version, seen.appended) == (version, more)
    assert (seen[follows] or b"").decode() == report.follows
    assert (seen.proxy and {name: seen.proxy[name] for name in ProxyFigures._fields}) == proxy


@given(st.sampled_from([0, 1, 2, 3, 9]), st.integers(60, 120), st.sampled_from([b"ADST", b"ADSU"]), st.integers(0, 40))
def test_layout_agrees_with_the_codec(version: int, length: int, magic: bytes, name: int) -> None:
    octets = (magic + bytes((version,)) + REPORT.pack()[5:] + bytes(8) + bytes((name,)) + b"d" * 60)[:length]
    try:
        layouts.STATISTICS.parse(octets)
    except ConstructError:
        assert not is_statistics(octets)
    else:
        assert is_statistics(octets)
