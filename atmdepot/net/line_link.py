"""A wrapper around any link that gives what it sends a line's rate, delay and impairments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atmdepot.atm.line import Line


class CellLink:
    """What the pump needs of a link. Times in ns. A class to be derived from, so that compiled code calls it in C."""

    def fileno(self) -> int:
        """The descriptor to wait on."""
        raise NotImplementedError

    def send(self, cells: bytes, now: int) -> None:
        """Send cells (a multiple of 53 octets)."""
        raise NotImplementedError

    def receive_burst(self, most: int) -> list[bytes]:
        """The whole cells that are there, of at most so many reads."""
        raise NotImplementedError

    def wants_write(self) -> bool:
        """Whether cells wait for room."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what waits."""
        raise NotImplementedError

    def next_timer(self) -> int | None:
        """When `handle_timer` has something to do; never, where a link has no time of its own."""
        return None

    def handle_timer(self, now: int) -> None:
        """Send what has become due."""

    def late_cells(self) -> int:
        """Cells that a line with a rate could have sent while the node was too late."""
        return 0

    def close(self) -> None:
        """Give the link up."""
        raise NotImplementedError


class LineLink(CellLink):
    """Cells go through the line first, then, when their time has come, out of the link."""

    def __init__(self, link: CellLink, line: Line) -> None:
        self.link = link
        self.line = line

    def fileno(self) -> int:
        """The inner link's descriptor."""
        return self.link.fileno()

    def receive_burst(self, most: int) -> list[bytes]:
        """What the inner link has; the line is for what is sent."""
        return self.link.receive_burst(most)

    def wants_write(self) -> bool:
        """Whether the inner link has cells waiting."""
        return self.link.wants_write()

    def flush(self) -> None:
        """Send what waits in the inner link."""
        self.link.flush()

    def late_cells(self) -> int:
        """Cells that the line could have sent."""
        return self.line.lost

    def close(self) -> None:
        """Give the inner link up."""
        self.link.close()

    def send(self, cells: bytes, now: int) -> None:
        """Send cells into the line, after what is due by now; cells that it lets through at once go out at once."""
        self.handle_timer(now)
        self.line.enter(cells, now)
        if not self.line.rate:
            self.handle_timer(now)

    def next_timer(self) -> int | None:
        """When cells leave the line (ns), or None."""
        return self.line.next_timer()

    def handle_timer(self, now: int) -> None:
        """Send the cells that have come out of the line."""
        if cells := self.line.leave(now):
            self.link.send(cells, now)
