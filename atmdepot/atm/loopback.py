"""Loopbacks of an OAM flow: cells that ask and wait for their answer, and the answers to others (I.610 section 10.2.3).

An answer is awaited for 5 s and told by its tag. Cells that wait, and answers that wait to be sent, are bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.oam_messages import END_POINT, LOCATION_SIZE, Loopback, looped

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT = 5_000_000_000
"""The time (ns) for which an answer is awaited (I.610 section 9.2.1.3)."""
MOST_WAITING = 256
MOST_ANSWERS = 64
_TAGS = 1 << 32


class Echo(NamedTuple):
    """The end of a loopback: its tag, the place that was asked, and the round-trip time in ns, None without answer."""

    tag: int
    location: bytes
    round_trip: int | None


class _Asked(NamedTuple):
    location: bytes
    at: int
    done: Callable[[Echo], None]


class Loopbacks:
    """The loopbacks of a node on a flow; `location` is the node's own (16 octets)."""

    def __init__(self, location: bytes, *, first_tag: int = 1) -> None:
        """Begin with nothing under way; raise ValueError for a location of another size."""
        if len(location) != LOCATION_SIZE:
            raise ValueError(f"a location has {LOCATION_SIZE} octets, not {len(location)}")
        self.location = location
        self.out: list[bytes] = []
        """Payloads (48 octets) to send; their owner takes them."""
        self._tag = first_tag % _TAGS
        self._waiting: dict[int, _Asked] = {}  # the oldest first, since all wait for the same time

    def ask(self, now: int, done: Callable[[Echo], None], location: bytes = END_POINT) -> int:
        """Send a loopback to a place (by default the end point), call `done` at its end, and return its tag.

        Raises ValueError for a location of another size than 16, and when 256 wait for their answers.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise ValueError(f"{MOST_WAITING} loopbacks wait for their answers: ask again when these have ended")
        tag = self._tag
        self.out.append(Loopback(True, tag, location, self.location).pack())
        self._tag = (tag + 1) % _TAGS
        self._waiting[tag] = _Asked(location, now, done)
        return tag

    def receive(self, cell: Loopback, payload: bytes, now: int, *, end_point: bool = True) -> bool:
        """Answer a loopback for this place, or take an answer; return False for all others.

        `payload` is the 48 octets of `cell`; `end_point` is True where the flow ends here.
        """
        if cell.to_be_looped:
            if not cell.is_for(self.location, end_point=end_point) or len(self.out) >= MOST_ANSWERS:
                return False
            self.out.append(looped(payload))
            return True
        asked = self._waiting.get(cell.tag)
        # An answer has the source of its question; the tag alone would take a stranger's answer for ours.
        if asked is None or cell.source != self.location:
            return False
        del self._waiting[cell.tag]
        asked.done(Echo(cell.tag, asked.location, now - asked.at))
        return True

    def next_timer(self) -> int | None:
        """The time (ns) at which the oldest loopback has waited enough, or None."""
        return next((asked.at + WAIT for asked in self._waiting.values()), None)

    def handle_timer(self, now: int) -> None:
        """End the loopbacks that have waited for 5 s."""
        while (due := self.next_timer()) is not None and due <= now:
            tag = next(iter(self._waiting))
            asked = self._waiting.pop(tag)
            asked.done(Echo(tag, asked.location, None))
