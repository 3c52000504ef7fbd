"""One direction of an emulated line: impairments, then the line's rate, then its delay.

Everything is drawn from a seeded generator and everything takes `now`, so a run can be repeated cell for cell.
"""

from __future__ import annotations

import math
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE

if TYPE_CHECKING:
    from atmdepot.config.model import Line as LineSettings

DEFAULT_QUEUE = 8192
_NS = 1_000_000_000
_HEADER_BITS = HEADER_SIZE * 8
_PAYLOAD_BITS = (CELL_SIZE - HEADER_SIZE) * 8
_MAX_AHEAD = 16
_NEVER = 1 << 62
_MAX_OCTETS_UNDER_WAY = 64 * 2**20


class Trials:
    """Independent trials of one probability; only the hits cost anything, since the gaps between them are drawn."""

    __slots__ = ("_next", "_probability", "_random")

    def __init__(self, probability: float, random: Random) -> None:
        self._probability = probability
        self._random = random
        self._next = self._gap()

    def _gap(self) -> int:
        """Failures before the next hit: geometrically distributed."""
        if self._probability <= 0:
            return _NEVER
        if self._probability >= 1:
            return 0
        # The least probabilities that a float can hold make gaps that it cannot.
        return int(min(_NEVER, math.log(1.0 - self._random.random()) / math.log1p(-self._probability)))

    def hits(self, count: int) -> list[int]:
        """Which of the next `count` trials hit, as positions from 0."""
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

    def apply(self, cells: bytes) -> bytes:
        """What comes out of the line for `cells` (a multiple of 53 octets)."""
        train = [cells[at:at + CELL_SIZE] for at in range(0, len(cells), CELL_SIZE)]
        for position in reversed(self._loss.hits(len(train))):
            self._drops.count(DropReason.LINE_LOSS, octets=train.pop(position))
        self._misinsert(train)
        self._reorder(train)
        out = bytearray(b"".join(train))
        self._flip(out, self._header.hits(len(train) * _HEADER_BITS), _HEADER_BITS, 0)
        self._flip(out, self._payload.hits(len(train) * _PAYLOAD_BITS), _PAYLOAD_BITS, HEADER_SIZE)
        return bytes(out)

    def _misinsert(self, train: list[bytes]) -> None:
        """A stray payload, of a cell that passed before, turns up under a VC's header with a good HEC."""
        for position in reversed(self._misinsertion.hits(len(train))):
            stray, self._stray = self._stray, train[position][HEADER_SIZE:]
            train.insert(position, train[position][:HEADER_SIZE] + stray)
            self.misinserted += 1

    def _reorder(self, train: list[bytes]) -> None:
        """A cell overtakes cells of other VCs, never one of its own: ATM keeps the order within a VC (I.150)."""
        for position in self._reordering.hits(len(train)):
            vc = _vc_bits(train[position])
            target = position
            for _ in range(self._random.randint(1, _MAX_AHEAD)):
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


class Line:
    """A direction with a rate, a delay and impairments: cells enter, and leave when their time has come.

    A train leaves as one when its last cell would have left a real line: that is what store and forward of an
    AAL5 PDU sees, and it keeps the emulation to one timer for each train.
    """

    def __init__(self, settings: LineSettings, drops: Drops) -> None:
        """Make a line that drops what finds its queue (in cells) full."""
        self.rate = int(settings.rate or 0)
        self.delay = int(settings.delay or 0)
        self.queue = settings.queue or DEFAULT_QUEUE
        self.impairments = Impairments(settings, drops) if settings.impaired else None
        self._drops = drops
        self._busy_until = 0
        self._remainder = 0
        self._under_way: deque[tuple[int, bytes]] = deque()
        self._octets_under_way = 0

    def enter(self, cells: bytes, now: int) -> None:
        """Send cells (a multiple of 53 octets) into the line."""
        if self.impairments is not None:
            cells = self.impairments.apply(cells)
        if self.rate and (excess := len(cells) // CELL_SIZE - self._room(now)) > 0:
            room = len(cells) - excess * CELL_SIZE
            self._drops.count(DropReason.LINE_OVERFLOW, excess, cells[room:])
            cells = cells[:room]
        if self._octets_under_way + len(cells) > _MAX_OCTETS_UNDER_WAY:
            self._drops.count(DropReason.LINE_OVERFLOW, len(cells) // CELL_SIZE, cells)
        elif cells:
            self._octets_under_way += len(cells)
            self._under_way.append((self._transmit(len(cells) // CELL_SIZE, now) + self.delay, cells))

    def _room(self, now: int) -> int:
        """Cells that the queue still takes."""
        return max(0, self.queue - self.waiting(now))

    def waiting(self, now: int) -> int:
        """Cells that have not left the sender yet."""
        return -(-max(0, self._busy_until - now) * self.rate // _NS)

    def _transmit(self, count: int, now: int) -> int:
        """When the last of `count` cells has been sent; in integers, with the remainder carried on."""
        if not self.rate:
            return now
        if self._busy_until < now:
            self._busy_until, self._remainder = now, 0
        whole, self._remainder = divmod(count * _NS + self._remainder, self.rate)
        self._busy_until += whole
        return self._busy_until

    def leave(self, now: int) -> bytes:
        """The cells whose time has come, in order."""
        ready = []
        while self._under_way and self._under_way[0][0] <= now:
            ready.append(self._under_way.popleft()[1])
        self._octets_under_way -= sum(map(len, ready))
        return b"".join(ready)

    def next_timer(self) -> int | None:
        """When `leave` has cells to give (ns), or None."""
        return self._under_way[0][0] if self._under_way else None
