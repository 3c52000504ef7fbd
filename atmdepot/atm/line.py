"""A direction of an emulated line: impairments, then jitter, then the line's rate, then its delay.

A seeded generator draws all random values, and the time is an argument (`now`), so a run can be repeated cell for cell.
"""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from atmdepot.config.links import LEAST_BURST
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE

if TYPE_CHECKING:
    from atmdepot.config.links import Line as LineSettings

DEFAULT_QUEUE = 8192
_GRAIN = 50_000
"""Cells that leave within this span (ns) leave together: a loop cannot wake up for each cell of an OC-3."""
_NS = 1_000_000_000
_HEADER_BITS = HEADER_SIZE * 8
_PAYLOAD_BITS = (CELL_SIZE - HEADER_SIZE) * 8
_MAX_AHEAD = 16
_NEVER = 1 << 62
_MAX_OCTETS_UNDER_WAY = 64 * 2**20


class Trials:
    """Independent trials with the same probability. Only hits cost time, since the gaps between them are drawn."""

    __slots__ = ("_next", "_probability", "_random")

    def __init__(self, probability: float, random: Random) -> None:
        self._probability = probability
        self._random = random
        self._next = self._gap()

    def _gap(self) -> int:
        """Failures before the next hit: geometrically distributed."""
        if self._probability <= 0:  # the formula below needs a probability between 0 and 1
            return _NEVER
        if self._probability >= 1:
            return 0
        # The least probabilities of a float make gaps beyond its range (infinity), which `int` would refuse.
        return int(min(_NEVER, math.log(1.0 - self._random.random()) / math.log1p(-self._probability)))

    def hits(self, count: int) -> list[int]:
        """The hits among the next `count` trials, as positions from 0."""
        found = []
        while self._next < count:
            found.append(self._next)
            self._next += 1 + self._gap()
        self._next -= count
        return found


class Impairments:
    """Cell loss, bit errors in headers and payloads, misinsertion, and reordering between VCs."""

    def __init__(self, settings: LineSettings, drops: Drops) -> None:
        random = Random(settings.seed or 0)
        self._random = random
        self._loss = Trials(settings.cell_loss or 0, random)
        self._header = Trials(settings.header_bit_errors or 0, random)
        self._payload = Trials(settings.payload_bit_errors or 0, random)
        self._misinsertion = Trials(settings.misinsertion or 0, random)
        self._reordering = Trials(settings.reordering or 0, random)
        self._stray = bytes(CELL_SIZE - HEADER_SIZE)
        self._drops = drops
        self.misinserted = self.reordered = self.bits_flipped = 0

    def count_on(self, other: Impairments) -> None:
        """Go on with the counts of impairments whose place these take."""
        self.misinserted, self.reordered = other.misinserted, other.reordered
        self.bits_flipped = other.bits_flipped

    def apply(self, cells: bytes) -> bytes:
        """Impair `cells` (a multiple of 53 octets): return the cells that come out of the line."""
        train = [cells[at:at + CELL_SIZE] for at in range(0, len(cells), CELL_SIZE)]
        # From the end, so that the earlier positions stay valid.
        for position in reversed(self._loss.hits(len(train))):
            self._drops.count(DropReason.LINE_LOSS, octets=train.pop(position))
        self._misinsert(train)
        self._reorder(train)
        out = bytearray(b"".join(train))
        self._flip(out, self._header.hits(len(train) * _HEADER_BITS), _HEADER_BITS, 0)
        self._flip(out, self._payload.hits(len(train) * _PAYLOAD_BITS), _PAYLOAD_BITS, HEADER_SIZE)
        return bytes(out)

    def _misinsert(self, train: list[bytes]) -> None:
        """Insert stray cells: the payload of an earlier cell under the header of a VC, with a good HEC."""
        # From the end, so that the earlier positions stay valid.
        for position in reversed(self._misinsertion.hits(len(train))):
            stray, self._stray = self._stray, train[position][HEADER_SIZE:]
            train.insert(position, train[position][:HEADER_SIZE] + stray)
            self.misinserted += 1

    def _reorder(self, train: list[bytes]) -> None:
        """Let cells overtake cells of other VCs, never of their own: ATM keeps the order within a VC (I.150)."""
        for position in self._reordering.hits(len(train)):
            vc = _vc_bits(train[position])
            target = position
            for _ in range(self._random.randint(1, _MAX_AHEAD)):
                # A cell stops behind the nearest earlier cell of its own VC.
                if target == 0 or _vc_bits(train[target - 1]) == vc:
                    break
                target -= 1
            if target != position:
                train.insert(target, train.pop(position))
                self.reordered += 1

    def _flip(self, out: bytearray, bits: list[int], bits_per_cell: int, offset: int) -> None:
        for bit in bits:
            cell, within = divmod(bit, bits_per_cell)
            out[cell * CELL_SIZE + offset + within // 8] ^= 0x80 >> within % 8
        self.bits_flipped += len(bits)


def _vc_bits(cell: bytes) -> int:
    return int.from_bytes(cell[:4], "big") & 0x0FFFFFF0


class _Train:
    """Cells that entered the line together; `gone` of them have left.

    Cell k (from 1) leaves the sender at `start` + (`remainder` + k seconds) / rate, rounded down to ns.
    """

    __slots__ = ("cells", "count", "gone", "remainder", "start")

    def __init__(self, cells: bytes, start: int, remainder: int) -> None:
        self.cells = cells
        self.count = len(cells) // CELL_SIZE
        self.gone = 0
        self.start = start
        self.remainder = remainder


class Line:
    """A direction with a rate, a delay and impairments: cells enter, and each cell leaves at its time.

    With a rate, a cell leaves at the end of each cell time (1/rate). Without a rate, cells that entered together leave
    together, after the delay. After a late wake-up `leave` returns at most `burst` cells at once, so that a short
    buffer at the far end (256 datagrams at a Dynamips router) can hold them. The line then continues from that time,
    and `lost` counts the cells that it could have sent in the time missed.
    """

    def __init__(self, settings: LineSettings, drops: Drops) -> None:
        """Make a line; it drops the cells for which its queue (in cells) has no room."""
        self.rate = int(settings.rate or 0)
        self.delay = int(settings.delay or 0)
        self.jitter = int(settings.jitter or 0)
        self._random = Random(settings.seed or 0)
        self.queue = settings.queue or DEFAULT_QUEUE
        self.burst = settings.burst or LEAST_BURST
        self.lost = 0
        self.impairments = Impairments(settings, drops) if settings.impaired else None
        self._drops = drops
        self._slip = 0  # ns by which the line's own time is behind, because of late wake-ups
        self._free_at = self._remainder = 0  # when the line comes free, in its own time
        self._look_at = 0
        self._trains: deque[_Train] = deque()
        self._octets_under_way = 0

    def enter(self, cells: bytes, now: int) -> None:
        """Send cells (a multiple of 53 octets) into the line; the caller has called `leave` for `now` before."""
        if self.impairments is not None:
            cells = self.impairments.apply(cells)
        if self.rate and (excess := len(cells) // CELL_SIZE - self._room(now)) > 0:
            room = len(cells) - excess * CELL_SIZE
            self._drops.count(DropReason.LINE_OVERFLOW, excess, cells[room:])
            cells = cells[:room]
        # A line without a rate has no queue to fill, but a long delay could hold any number of cells.
        if self._octets_under_way + len(cells) > _MAX_OCTETS_UNDER_WAY:
            self._drops.count(DropReason.LINE_OVERFLOW, len(cells) // CELL_SIZE, cells)
        elif cells:
            self._octets_under_way += len(cells)
            self._trains.append(self._scheduled(cells, now - self._slip))

    def succeed(self, other: Line, now: int) -> None:
        """Take the place of another line: the cells on their way in it begin anew here, unimpaired, and it is empty."""
        cells = b"".join(train.cells[train.gone * CELL_SIZE:] for train in other._trains)
        other._trains.clear()
        other._octets_under_way = 0
        self.lost = other.lost
        if self.impairments is not None and other.impairments is not None:
            self.impairments.count_on(other.impairments)
        if cells:
            self._octets_under_way = len(cells)
            self._trains.append(self._scheduled(cells, now))

    def _room(self, now: int) -> int:
        """The number of cells for which the queue has room; what waits by jitter takes none of it."""
        return max(0, self.queue + self.jitter * self.rate // _NS - self.waiting(now))

    def waiting(self, now: int) -> int:
        """The number of cells that have not left the sender yet."""
        return -(-max(0, self._free_at + self._slip - now) * self.rate // _NS)  # rounded up: a cell on its way counts

    def _scheduled(self, cells: bytes, time: int) -> _Train:
        """A train with its start in the line's time, in integers; the remainder is carried on to the next train."""
        if self.jitter:
            time += self._random.randint(0, self.jitter)
        # An idle line begins at once; a busy line sends the train behind the last.
        if self._free_at < time:
            self._free_at, self._remainder = time, 0
        train = _Train(cells, self._free_at, self._remainder)
        if self.rate:
            whole, self._remainder = divmod(train.count * _NS + self._remainder, self.rate)
            self._free_at += whole
        return train

    def leave(self, now: int) -> bytes:
        """Remove and return the cells that are due, in order."""
        ready = []
        most = self.burst if self.rate else _NEVER
        while self._trains and (due := min(self._due(self._trains[0], now), most)):
            train = self._trains[0]
            ready.append(train.cells[train.gone * CELL_SIZE:(train.gone + due) * CELL_SIZE])
            train.gone += due
            most -= due
            if train.gone == train.count:
                self._trains.popleft()
        if not ready:
            return b""
        self._look_at = now + _GRAIN
        if not most:
            self._catch_up(now)
        self._octets_under_way -= sum(map(len, ready))
        return b"".join(ready)

    def _due(self, train: _Train, now: int) -> int:
        """The number of cells still in a train that may leave at `now`."""
        passed = now - self._slip - self.delay - train.start
        if passed < 0:
            return 0
        if not self.rate:
            return train.count - train.gone
        # The exact inverse of `_departure`, so that a timer at a cell's departure finds the cell due.
        return max(0, min(train.count, ((passed + 1) * self.rate - 1 - train.remainder) // _NS) - train.gone)

    def _catch_up(self, now: int) -> None:
        """Count the cells still due after a full burst in `lost`, and let the next cell leave a cell time from now."""
        for train in self._trains:
            due = self._due(train, now)
            self.lost += due
            if train.gone + due < train.count:
                break
        # The double minus rounds the cell time up.
        if self._trains and (late := now - self._departure(self._trains[0])) >= 0:
            self._slip += late - (-_NS // self.rate)

    def _departure(self, train: _Train) -> int:
        """The time (ns) at which the next cell of a train leaves."""
        within = ((train.gone + 1) * _NS + train.remainder) // self.rate if self.rate else 0
        return train.start + within + self.delay + self._slip

    def next_timer(self) -> int | None:
        """The time (ns) of the next call of `leave`, or None; with a rate, calls are at least 50 us apart."""
        if not self._trains:
            return None
        departure = self._departure(self._trains[0])
        return max(departure, self._look_at) if self.rate else departure
