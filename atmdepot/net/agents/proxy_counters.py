"""Counters of the answers of caching proxies that could not be read, by reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.net.agents.agent import PLACE, Family
from atmdepot.net.agents.rows import CounterRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.node.proxy_counts import ProxyCounts

_REASONS = {"refused": "it answered with another status than 200: who asks is not in its ACL of the manager",
            "too-long": "its answer was longer than any page of counters",
            "late": "its whole answer did not come in time",
            "malformed": "its page does not have each of squid's counters once",
            "untrue": "its counters fell, or there were more hits than requests"}


FAMILIES = {"proxy_pages_unread": Family(True, "Answers of caching proxies that could not be read as their counters.",
                                         ("place", "reason"))}
METRIC_OF_COUNTER = {f"page-{reason}": ("proxy_pages_unread", (PLACE, reason)) for reason in _REASONS}


def rows_of(node: str, place: str, counts: ProxyCounts | None) -> Iterator[CounterRow]:
    """The rows of a proxy; none where none is asked."""
    if counts is None:
        return
    for reason, meaning in _REASONS.items():
        yield CounterRow(node, place, f"page-{reason}", counts.unread[reason], "answers", meaning)
