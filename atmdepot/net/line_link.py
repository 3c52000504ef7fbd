"""A wrapper around a link that adds a line's rate, delay and impairments to its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.wire.frame_relay import frames_of

if TYPE_CHECKING:
    from atmdepot.atm.line import Line
    from atmdepot.bearer.frame_line import FrameLine


class PortLink:
    """Interface between the pump and a link; times in ns. A base class, so that compiled code calls it in C."""

    def fileno(self) -> int:
        """The descriptor to wait on."""
        raise NotImplementedError

    def send(self, cells: bytes, now: int) -> None:
        """Send cells (a multiple of 53 octets)."""
        raise NotImplementedError

    def receive_burst(self, most: int) -> list[bytes]:
        """The whole cells that wait, from at most `most` reads."""
        raise NotImplementedError

    def wants_write(self) -> bool:
        """True while cells wait for room."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send the cells that wait."""
        raise NotImplementedError

    def next_timer(self) -> int | None:
        """The time at which `handle_timer` has work; None for a link without timers."""
        return None

    def handle_timer(self, now: int) -> None:
        """Send the cells that are due."""

    def unlined(self) -> PortLink:
        """The link itself, without a line."""
        return self

    def late_cells(self) -> int:
        """Cells that a line with a rate could have sent while the node was too late."""
        return 0

    def trouble(self) -> str:
        """A fault of this end for people; empty as a rule."""
        return ""

    def error(self) -> str:
        """The last error of the kernel's, in words; empty without one."""
        return ""

    def close(self) -> None:
        """Close the link."""
        raise NotImplementedError


class LineLink(PortLink):
    """A link behind a line: cells pass through the line first, and leave by the link when they are due."""

    def __init__(self, link: PortLink, line: Line | FrameLine) -> None:
        self.link = link
        self.line: Any = line  # of frames in `FrameLineLink`

    def fileno(self) -> int:
        """The inner link's descriptor."""
        return self.link.fileno()

    def receive_burst(self, most: int) -> list[bytes]:
        """Read from the inner link; the line affects sent cells only."""
        return self.link.receive_burst(most)

    def wants_write(self) -> bool:
        """True while the inner link has cells waiting."""
        return self.link.wants_write()

    def flush(self) -> None:
        """Send the cells that wait in the inner link."""
        self.link.flush()

    def unlined(self) -> PortLink:
        """The inner link."""
        return self.link

    def late_cells(self) -> int:
        """Cells that the line could have sent."""
        return int(self.line.lost)

    def close(self) -> None:
        """Close the inner link."""
        self.link.close()

    def send(self, cells: bytes, now: int) -> None:
        """Send cells into the line, after the cells that are due.

        A line without a rate then passes on the cells that it lets through at once.
        """
        self.handle_timer(now)
        self.line.enter(cells, now)
        if not self.line.rate:  # with a rate, cells wait for their departure times
            self.handle_timer(now)

    def next_timer(self) -> int | None:
        """The time at which cells leave the line (ns), or None."""
        time: int | None = self.line.next_timer()
        return time

    def handle_timer(self, now: int) -> None:
        """Send the cells that have left the line."""
        if cells := self.line.leave(now):
            self.link.send(cells, now)


class FrameLineLink(LineLink):
    """A link of frames behind a line, which leave one by one."""

    def send(self, cells: bytes, now: int) -> None:
        """Send the frames of a train (`train_of`) into the line, after the frames that are due."""
        self.handle_timer(now)
        for frame in frames_of(cells):
            self.line.enter(frame, now)
        self.handle_timer(now)

    def handle_timer(self, now: int) -> None:
        """Send the frames that have left the line."""
        for frame in self.line.leave(now):
            self.link.send(frame, now)
