"""A direction of an emulated line of Frame Relay: frames are lost, or leave later, in their order.

A frame with a wrong bit is a lost frame: its FCS would tell, which a datagram does not carry. A seeded generator draws
all random values, and the time (ns) is an argument.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason

if TYPE_CHECKING:
    from atmdepot.config.links import Line as LineSettings
    from atmdepot.drops import Drops

_MAX_OCTETS_UNDER_WAY = 64 * 2**20


class FrameLine:
    """A direction with loss, bit errors, delay and jitter."""

    rate = lost = 0  # it paces nothing, so it is never late

    def __init__(self, settings: LineSettings, drops: Drops) -> None:
        self.delay = int(settings.delay or 0)
        self.jitter = int(settings.jitter or 0)
        self.impairments = None
        self._loss = settings.cell_loss or 0.0
        self._bit_errors = settings.payload_bit_errors or 0.0
        self._random = Random(settings.seed or 0)
        self._drops = drops
        self._under_way: deque[tuple[int, bytes]] = deque()
        self._octets_under_way = 0

    def succeed(self, other: FrameLine, now: int) -> None:
        """Take the place of another line: the frames on their way in it begin anew here, and it is empty."""
        for _, frame in other._under_way:
            self._put(frame, now)
        other._under_way.clear()
        other._octets_under_way = 0

    def enter(self, frame: bytes, now: int) -> None:
        """Send a frame into the line."""
        loss = 1 - (1 - self._loss) * (1 - self._bit_errors) ** (8 * len(frame))
        if self._random.random() < loss or self._octets_under_way + len(frame) > _MAX_OCTETS_UNDER_WAY:
            self._drops.count(DropReason.LOST_FRAME, 1, frame)
        else:
            self._put(frame, now)

    def _put(self, frame: bytes, now: int) -> None:
        due = now + self.delay + self._random.randint(0, self.jitter)
        self._under_way.append((max(due, self._under_way[-1][0]) if self._under_way else due, frame))
        self._octets_under_way += len(frame)

    def leave(self, now: int) -> list[bytes]:
        """Remove and return the frames that are due, in order."""
        ready = []
        while self._under_way and self._under_way[0][0] <= now:
            ready.append(self._under_way.popleft()[1])
        self._octets_under_way -= sum(map(len, ready))
        return ready

    def next_timer(self) -> int | None:
        """The time (ns) at which the next frame leaves, or None."""
        return self._under_way[0][0] if self._under_way else None
