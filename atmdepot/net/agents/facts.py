"""Facts about a node that the log tells: conditions that change, and counts that rise (see `net/noticing.py`)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.config.units import count_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.depot.servers import Server

_NS = 1e9


class Fact(NamedTuple):
    """A condition: it is told when `state` is another than before; at the first look only if it is not normal."""

    topic: str
    subject: str
    state: object
    is_normal: bool
    level: int
    kind: str
    text: str
    data: dict[str, Any]


class Count(NamedTuple):
    """A count of what should not happen."""

    kind: str
    subject: str
    reason: str
    total: int
    unit: str
    what: str
    level: int = logging.WARNING

    def text(self, more: int) -> str:
        """A line about `more` of them."""
        return f"{self.subject}: {count_text(more, self.unit.removesuffix('s'))} {self.what}"


def of_server(server: Server, now: int) -> Iterator[Fact]:
    """A server's list and its draining."""
    condition, name = server.condition, server.name
    if condition.alive:
        span = condition.last_death / _NS
        yield Fact("list", name, condition.deaths, condition.deaths == 0, logging.WARNING, "server-alive",
                   f"server {name} is alive again after {span:.1f} s: {condition.why}",
                   {"dead_s": round(span, 3), "why": condition.why})
    else:
        yield Fact("list", name, (condition.deaths, "dead"), False, logging.ERROR, "server-dead",
                   f"server {name} is dead: {condition.why}",
                   {"why": condition.why, "sessions": server.primary_sessions})
    yield _draining(server, now)


def _draining(server: Server, now: int) -> Fact:
    name, left = server.name, server.primary_sessions
    if not server.draining:
        return Fact("draining", name, "", True, logging.INFO, "undrained", f"server {name} takes new sessions again",
                    {})
    if left:
        wait = max(0, server.flows_leave_at - now) / _NS
        return Fact("draining", name, "draining", False, logging.INFO, "draining",
                    f"server {name} is draining: {count_text(left, 'session')} left"
                    + f", of which {count_text(server.flows, 'UDP flow')} may stay for {wait:.0f} s"
                    * bool(server.flows),
                    {"sessions": left, "flows": server.flows, "flows_leave_s": round(wait, 3)})
    return Fact("draining", name, "drained", False, logging.INFO, "drained",
                f"server {name} is drained: it has no session left", {"sessions": 0})
