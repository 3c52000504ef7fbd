"""Counts of a proxy out of its counters: only the clients' requests, over its restarts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.node.proxy_counts import ProxyCounts
from atmdepot.wire.proxy_counters import Counters

steps = st.lists(st.one_of(
    st.tuples(st.just("clients"), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("asked"), st.just(0), st.just(0)), st.tuples(st.just("unanswered"), st.just(0), st.just(0)),
    st.tuples(st.just("restarted"), st.just(0), st.just(0))), max_size=40)


class Proxy:
    """A model of squid: it counts a question when it has answered."""

    def __init__(self) -> None:
        self.requests = self.hits = 0

    def ask(self) -> Counters:
        told = Counters(self.requests, self.hits, self.requests - self.hits, 0)
        self.requests += 1
        return told


@given(steps)
def test_the_clients_requests_are_counted_and_no_question(steps: list[tuple[str, int, int]]) -> None:
    proxy, counts, hits, misses, lost = Proxy(), ProxyCounts(), 0, 0, False
    counts.asked()
    counts.answered(proxy.ask())
    for step, hit, missed in [*steps, ("asked", 0, 0)]:
        if step == "clients":
            proxy.requests, proxy.hits = proxy.requests + hit + missed, proxy.hits + hit
            hits, misses = hits + hit, misses + missed
        elif step == "restarted":
            lost, proxy = True, Proxy()  # what it counted since the last answer is gone
        else:
            counts.asked()
            told = proxy.ask()
            if step == "asked":
                counts.answered(told)
    figures = counts.figures()
    assert figures.hits <= figures.requests
    if not lost:
        assert (figures.hits, figures.misses) == (hits, misses)


def test_a_proxy_that_starts_anew_counts_on() -> None:
    counts = ProxyCounts()
    for told in (Counters(100, 40, 60, 600), Counters(111, 45, 65, 650), Counters(4, 1, 3, 30)):
        counts.asked()
        counts.answered(told)
    assert counts.figures() == (10 + 4, 5 + 1, 5 + 3, 50 + 30, 0)


@pytest.mark.parametrize("told", [Counters(9, 5, 9, 9), Counters(20, 4, 9, 9), Counters(11, 8, 9, 9),
                                  Counters(20, 6, 8, 9)])
def test_counters_that_cannot_follow_are_of_a_proxy_that_was_started_anew(told: Counters) -> None:
    counts = ProxyCounts()
    counts.asked()
    counts.answered(Counters(10, 5, 9, 9))
    counts.asked()
    counts.answered(told)
    assert counts.figures() == (*told, 0)


def test_counts_stay_what_their_octets_hold() -> None:
    counts = ProxyCounts()
    counts.unread["late"] = 2**40
    assert counts.figures().unread == 2**32 - 1
