"""Figures out of what ab, wrk and iperf3 say; whatever went wrong makes no figure."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bench.readings import AbReading, IperfReading, NoFigure, WrkReading, read_ab, read_iperf, read_wrk
from tests.bench.recorded import AB, IPERF, IPERF_REFUSED, WRK

KB = 1024


def test_ab() -> None:
    assert read_ab(AB, KB) == AbReading(requests=8502, rate=8486.34, p50=2.242, p99=5.042)


@pytest.mark.parametrize(("old", "new", "why"), [
    ("Failed requests:        0", "Failed requests:        3\n   (Connect: 0, Receive: 0, Length: 3, Exceptions: 0)",
     "3 requests failed"),
    ("Failed requests:        0", "Failed requests:        0\nNon-2xx responses:      8502", "8502 answers were err"),
    ("Document Length:        1024", "Document Length:        153", "153 octets in place of 1024"),
    ("Complete requests:      8502", "Complete requests:      0", "no request was answered"),
    ("Requests per second", "Requests per fortnight", "did not say"),
    ("99,5.042", "99,", "did not say"),
])
def test_ab_that_does_not_count(old: str, new: str, why: str) -> None:
    assert old in AB
    with pytest.raises(NoFigure, match=why):
        read_ab(AB.replace(old, new), KB)


def test_another_page_than_was_asked_for_does_not_count() -> None:
    with pytest.raises(NoFigure, match="1024 octets in place of 10240"):
        read_ab(AB, 10 * KB)


def test_wrk() -> None:
    assert read_wrk(WRK, KB) == WrkReading(requests=22471, rate=20414.88)


@pytest.mark.parametrize(("old", "new", "why"), [
    ("Requests/sec:", "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec:", "read 3"),
    ("Requests/sec:", "  Non-2xx or 3xx responses: 22471\nRequests/sec:", "responses: 22471"),
    ("22471 requests", "0 requests", "no request was answered"),
    ("27.79MB", "7.79MB", "shorter than 1024 octets"),
    ("27.79MB", "27.79KB", "shorter than 1024 octets"),
    ("27.79MB read", "nothing", "shorter than 1024 octets"),
    ("Requests/sec:", "Requests/fortnight:", "did not say"),
])
def test_wrk_that_does_not_count(old: str, new: str, why: str) -> None:
    assert old in WRK
    with pytest.raises(NoFigure, match=why):
        read_wrk(WRK.replace(old, new), KB)


@pytest.mark.parametrize("amount", ["22.50MB", "0.03GB"])
def test_wrk_tells_amounts_in_units(amount: str) -> None:
    assert read_wrk(WRK.replace("27.79MB", amount), KB).requests == 22471


def test_iperf_counts_received_octets() -> None:
    assert read_iperf(IPERF) == IperfReading(rate=11358567508.019951 / 1e6, seconds=1.011228)


@pytest.mark.parametrize(("told", "why"), [
    (IPERF_REFUSED, "Connection refused"),
    ("", "not its JSON"),
    ("iperf3: parameter error\n", "not its JSON"),
    ('{"end": {}}', "nothing was received"),
    (IPERF.replace("11358567508.019951", "0"), "nothing was received"),
    (IPERF.replace('"seconds":	1.011228', '"seconds":	0'), "nothing was received"),
    (IPERF.replace('"seconds":	1.011228', '"seconds":	"one"'), "not its JSON"),
])
def test_iperf_that_does_not_count(told: str, why: str) -> None:
    with pytest.raises(NoFigure, match=why):
        read_iperf(told)


@given(st.data())
def test_any_output_raises_at_most_no_figure(data: st.DataObject) -> None:
    """However a program's output is cut and mixed up."""
    text = data.draw(st.sampled_from([AB, WRK, IPERF]))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    text = text[:start] + data.draw(st.text(max_size=20)) + text[end:]
    for read in (read_ab, read_wrk):
        with contextlib.suppress(NoFigure):
            assert read(text, KB).rate >= 0
    with contextlib.suppress(NoFigure):
        assert read_iperf(text).rate > 0
