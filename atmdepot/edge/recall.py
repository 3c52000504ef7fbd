"""The answer of an edge node to a depot's recall: the flows that it has learnt, each with its channel.

The answer is told in slices while packets go on, so it holds nobody up. It walks the wheel in which the flows' timers
stand, so a flow is told once or twice, never left out. Flows that their clients have ended are not told. Each slice
makes a part of the answer, even if it has no flow: so the depot sees that the answer goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.timers import Walk
from atmdepot.wire.announcement import FIRST_FLOW, FLOW_SIZES, MOST_AGE, Flows, Recall, ToldFlow

if TYPE_CHECKING:
    from atmdepot.atm.timers import Expiring, TimerWheel
    from atmdepot.edge.protection import DepotWay

_MS = 1_000_000
_LOOKED_AT = 1024
"""Flows looked at in a slice, which takes about half a millisecond."""
_PAUSE = _MS
_AT_FIRST = 4
"""Slices told without a pause, so that a short answer is whole at once."""


class Answer:
    """The answer to a recall; `due` (ns) is the time of the next slice."""

    def __init__(self, recall: Recall, way: DepotWay, wheel: TimerWheel, now: int) -> None:
        self.way, self.due = way, now
        self._recall, self._walk = recall, Walk(wheel)
        self._room = way.mtu - FIRST_FLOW
        self._flows: list[ToldFlow] = []
        self._octets = self._part = self._slices = 0

    def some(self, now: int) -> list[Expiring] | None:
        """The items of the wheel to look at in this slice; None after the last."""
        if self._slices:
            self._send(is_last=False)
        self._slices += 1
        self.due = now if self._slices < _AT_FIRST else now + _PAUSE
        return self._walk.take(_LOOKED_AT) or None

    def tell(self, key: bytes, channel: int, age: int, is_half_open: bool) -> None:
        """Tell a flow whose last packet came `age` ns ago, if it is asked for."""
        if self._recall.since and age > self._recall.since * _MS:
            return
        size = FLOW_SIZES[len(key)]
        if self._octets + size > self._room:
            self._send(is_last=False)
        self._flows.append(ToldFlow(key, channel, min(age // _MS, MOST_AGE), is_half_open))
        self._octets += size

    def end(self) -> None:
        """Send the last part, which may be empty."""
        self._send(is_last=True)

    def give_up(self) -> None:
        """End without the rest: the depot asks for another answer."""
        self._walk.end()

    def _send(self, *, is_last: bool) -> None:
        self._flows.sort(key=lambda flow: len(flow.key))  # IPv4 first
        part = Flows(self._recall.number, self._part, is_last, self._flows)
        self.way.tell(part.pack())
        self._part += 1
        self._flows, self._octets = [], 0
