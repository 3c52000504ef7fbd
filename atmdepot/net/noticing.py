"""Noticing what an administrator has a log for: a look at the node now and then, and a line for what has changed.

It looks twice a second, so the data path pays nothing. Conditions are told when they change (a server, a link). Counts
are told at their first rise, and then at most once a minute for each place and reason.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from atmdepot.drops import DropReason
from atmdepot.net.agents.facts import Count, Fact
from atmdepot.net.event_log import about
from atmdepot.net.kinds import agent_of
from atmdepot.net.relay_view import relay_ports_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.net.pump import Pump

_LOOK = 0.5
_PAUSE = 60 * 10**9
"""Time (ns) between two lines about the same count."""
_FULL = (DropReason.TABLE_FULL,)

log = logging.getLogger("atmdepot")


class Noticing:
    """Looks at a node, and tells what has changed."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._agent = agent_of(pump.node)
        self._states: dict[tuple[str, str], object] = {}
        self._told: dict[tuple[str, str], tuple[int, int]] = {}  # the count and the time (ns) of the last line

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await trio.sleep(_LOOK)

    def look(self) -> None:
        """Tell what has changed since the last look."""
        now = self._pump.clock()
        self._agent.sample(now)
        facts = {(fact.topic, fact.subject): fact for fact in self._facts(now)}
        for key, fact in facts.items():
            if self._states.get(key, fact.state if fact.is_normal else None) != fact.state:
                log.log(fact.level, "%s", fact.text, extra=about(fact.kind, fact.subject, **fact.data))
        self._states = {key: fact.state for key, fact in facts.items()}
        for count in self._counts():
            self._tell(count, now)

    def _facts(self, now: int) -> Iterator[Fact]:
        yield from self._agent.facts(now)
        silent = self._agent.links_without_signal()
        for name, link in self._pump.links.items():
            trouble = "no signal: the far end is silent" if name in silent else link.unlined().trouble()
            yield Fact("link", name, trouble, not trouble, logging.ERROR if trouble else logging.WARNING,
                       "link-down" if trouble else "link-up",
                       f"link {name}: {trouble}" if trouble else f"link {name} is whole again", {})
        for port in relay_ports_of(self._pump.node):
            for path in list(port.paths.values()):
                if path.use == "default":
                    yield _pvc(f"{port.name} {path.dlci}", port.trouble_of(path.dlci))

    def _counts(self) -> Iterator[Count]:
        node = self._pump.node
        yield from self._agent.counts()
        for place, drops in [(link.name, link.drops) for link in node.links.values()] + [("packets", node.drops)]:
            for reason, count in list(drops.items()):
                yield _dropped(place, reason, count)
        yield _dropped("tun", DropReason.TUN_QUEUE_FULL, self._pump.queue_drops())

    def _tell(self, count: Count, now: int) -> None:
        key = (count.kind + count.reason, count.subject)
        before, told_at = self._told.get(key, (0, now - _PAUSE))
        if (more := count.total - before) > 0 and now - told_at >= _PAUSE:
            self._told[key] = (count.total, now)
            log.log(count.level, "%s", count.text(more), extra=about(
                count.kind, count.subject, reason=count.reason, count=more, total=count.total, unit=count.unit))


def _pvc(subject: str, trouble: str) -> Fact:
    return Fact("pvc", subject, trouble, not trouble, logging.ERROR if trouble else logging.WARNING,
                "pvc-down" if trouble else "pvc-up",
                f"PVC {subject}: {trouble}" if trouble else f"PVC {subject} is active again", {})


def _dropped(place: str, reason: DropReason, count: int) -> Count:
    kind = "table-full" if reason in _FULL else "drops"
    level = logging.INFO if reason is DropReason.MULTICAST else logging.WARNING  # each host sends some
    return Count(kind, place, reason.value, count, reason.unit, f"dropped, {reason.value}: {reason.text}", level)
