"""Performance monitoring of a VP or VC: lost, misinserted and errored cells, block by block (ITU-T I.610 section 10.3).

The source puts a forward cell behind each block of user cells, with running counts of what it sent and the block's
BIP-16. The sink compares them with what came, and answers with a backward cell, so that both ends know. Counts run
modulo 65536; cells are of one connection and in order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from atmdepot.atm.runs import Run, runs_of
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.oam_messages import Backward, Forward, bip16
from atmdepot.wire.octets import payloads

BLOCK_SIZES = tuple(1 << n for n in range(7, 16))
"""The nominal sizes of blocks: 128, 256 and so on up to 32768 cells."""
_COUNTS, _SEQUENCES = 1 << 16, 1 << 8
_SEVERE = 32
"""A block is severely errored when more than a 32nd of its cells is lost, misinserted or errored (ITU-T I.356)."""


@dataclass(frozen=True, slots=True)
class Performance:
    """Sums in cells: what was sent, lost and misinserted; errored parity bits; blocks severely errored, and all."""

    sent: int = 0
    lost: int = 0
    misinserted: int = 0
    errors: int = 0
    bad_blocks: int = 0
    blocks: int = 0


class _Totals:
    """Running counts of user cells, and the parity of the block under way."""

    __slots__ = ("all", "clp0", "parity")

    def __init__(self) -> None:
        self.all = self.clp0 = self.parity = 0

    def count(self, run: Run, cells: bytes, first: int, count: int) -> None:
        """Count user cells of a run, from cell `first` of the train on."""
        self.all = (self.all + count) % _COUNTS
        if not run.clp:
            self.clp0 = (self.clp0 + count) % _COUNTS
        self.parity = bip16(payloads(cells, first, count), self.parity)

    def next_block(self) -> None:
        """Begin another block."""
        self.parity = 0


class MonitoringSource:
    """The source: puts forward cells into what a connection sends."""

    def __init__(self, header: bytes, block: int = BLOCK_SIZES[0]) -> None:
        """Send forward cells with a header (5 octets); raise ValueError for no nominal block size."""
        if block not in BLOCK_SIZES:
            raise ValueError(f"{block} is no block size: choose {', '.join(map(str, BLOCK_SIZES))}")
        self.block = block
        self._header = header
        self._totals = _Totals()
        self._sequence = self._in_block = 0

    def insert(self, cells: bytes) -> bytes:
        """The cells to send, with a forward cell behind each full block; raise ValueError for no whole cells."""
        out: list[bytes] = []
        copied = 0
        for run in runs_of(cells):
            at = run.first
            while run.is_user and at < run.end:
                count = min(run.end - at, self.block - self._in_block)
                self._totals.count(run, cells, at, count)
                self._in_block += count
                at += count
                if self._in_block == self.block:
                    out += [cells[copied * CELL_SIZE:at * CELL_SIZE], self._header + self._forward().pack()]
                    copied = at
        return b"".join([*out, cells[copied * CELL_SIZE:]]) if out else cells

    def _forward(self) -> Forward:
        totals = self._totals
        made = Forward(self._sequence, totals.all, totals.parity, totals.clp0)
        self._sequence = (self._sequence + 1) % _SEQUENCES
        self._in_block = 0
        totals.next_block()
        return made


class _Block(NamedTuple):
    """The counts of both ends at a forward cell."""

    sequence: int
    sent: int
    received: int


class MonitoringSink:
    """The sink: judges each block, and makes the backward cell that tells it."""

    def __init__(self) -> None:
        self.performance = Performance()
        self._totals = _Totals()
        self._last: _Block | None = None
        self._sequence = 0

    def user_cells(self, cells: bytes) -> None:
        """Count cells of the connection that came (those without user data are left out).

        Raises ValueError for no whole number of cells.
        """
        for run in runs_of(cells):
            if run.is_user:
                self._totals.count(run, cells, run.first, run.size)

    def forward(self, cell: Forward) -> Backward:
        """End a block at its forward cell, and return the backward cell to send.

        The first forward cell only begins: what was sent before is not known. Where forward cells were lost, several
        blocks are judged as one, without their parity.
        """
        totals, last, errors = self._totals, self._last, 0
        if last is not None:
            sent = (cell.cells - last.sent) % _COUNTS
            received = (totals.all - last.received) % _COUNTS
            # A block that lost or won cells has another parity anyway.
            if received == sent and cell.sequence == (last.sequence + 1) % _SEQUENCES:
                errors = (cell.block_errors ^ totals.parity).bit_count()
            self.performance = _with_block(self.performance, sent, received, errors)
        self._last = _Block(cell.sequence, cell.cells, totals.all)
        totals.next_block()
        made = Backward(self._sequence, cell.cells, cell.cells_clp0, cell.sequence,
                        self.performance.bad_blocks % _SEQUENCES, totals.clp0, errors, totals.all)
        self._sequence = (self._sequence + 1) % _SEQUENCES
        return made


class MonitoringReport:
    """The far end's judgement, as backward cells tell it to the source."""

    def __init__(self) -> None:
        self.performance = Performance()
        self._last: Backward | None = None

    def backward(self, cell: Backward) -> None:
        """Take a backward cell; where some were lost, their blocks are judged as one."""
        last, self._last = self._last, cell
        if last is None:
            return
        sent = (cell.cells - last.cells) % _COUNTS
        received = (cell.received - last.received) % _COUNTS
        made = _with_block(self.performance, sent, received, cell.errors)
        # The far end's own count of bad blocks, which knows of blocks whose cells were lost on the way back.
        bad = (cell.bad_blocks - last.bad_blocks) % _SEQUENCES
        self.performance = replace(made, bad_blocks=self.performance.bad_blocks + bad)


def _with_block(sums: Performance, sent: int, received: int, errors: int) -> Performance:
    lost, misinserted = max(0, sent - received), max(0, received - sent)
    bad = _SEVERE * (lost + misinserted + errors) > sent
    return Performance(sums.sent + sent, sums.lost + lost, sums.misinserted + misinserted, sums.errors + errors,
                       sums.bad_blocks + bad, sums.blocks + 1)
