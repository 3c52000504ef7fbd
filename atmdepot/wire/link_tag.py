"""The tag of datagrams on a link with a key: 24 octets behind the cells, which prove origin and freshness.

The format is this project's own::

    cells 53, once or more | counter 8 | tag 16

The tag is keyed BLAKE2s (RFC 7693) of 16 octets over direction (1 octet), counter and cells. The direction is 0 from
the end whose node's name sorts first, by octets, and 1 from the other end. The counter grows with each datagram of a
direction. It begins with the sender's wall clock in ns and grows slower than that clock, so it never repeats after a
restart unless the clock goes back. A receiver accepts each counter once, and rejects a counter that is `WINDOW` or more
behind the greatest (as RFC 4303 section 3.4.3). The cells are not encrypted.
"""

from __future__ import annotations

from hashlib import blake2s
from hmac import compare_digest

from atmdepot.drops import DropReason
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.link_format import LinkFormat, Refused

TAG_SIZE = 24
"""Octets of counter and tag."""
WINDOW = 1024
_COUNTER_SIZE, _DIGEST_SIZE = 8, 16


class BadTag(Refused):
    """A datagram without a tag, with the tag of another key or direction, or with a damaged tag."""

    reason = DropReason.BAD_TAG


class Replayed(Refused):
    """A datagram whose counter was accepted before, or is too old for the replay window."""

    reason = DropReason.REPLAYED


def direction_of(sender: str, receiver: str) -> int:
    """The direction from node `sender` to node `receiver`, 0 or 1, by the order of their names."""
    return int(sender > receiver)


def tag_of(key: bytes, direction: int, counter: int, cells: bytes) -> bytes:
    """The 24 octets behind the cells."""
    octets = counter.to_bytes(_COUNTER_SIZE, "big")
    return octets + _digest(key, direction, octets, cells)


def is_tagged_with(key: bytes, direction: int, datagram: bytes) -> bool:
    """True when a datagram's tag was made with the key for the direction; the counter is not checked."""
    if len(datagram) < TAG_SIZE:
        return False
    cells, counter, digest = _split(datagram)
    # In constant time, so that the time of a refusal tells no part of the right tag.
    return compare_digest(_digest(key, direction, counter, cells), digest)


def _digest(key: bytes, direction: int, counter: bytes, cells: bytes) -> bytes:
    made = blake2s(bytes((direction,)) + counter, key=key, digest_size=_DIGEST_SIZE)
    made.update(cells)
    return made.digest()


def _split(datagram: bytes) -> tuple[bytes, bytes, bytes]:
    return datagram[:-TAG_SIZE], datagram[-TAG_SIZE:-_DIGEST_SIZE], datagram[-_DIGEST_SIZE:]


class ReplayWindow:
    """The counters already accepted: the greatest, and a bit for each of the `WINDOW` - 1 below it."""

    __slots__ = ("_greatest", "_taken")

    def __init__(self) -> None:
        self._greatest = -1
        self._taken = 0  # bit n stands for the counter n below the greatest

    def take(self, counter: int) -> bool:
        """Accept a counter; False when it was accepted before, or is too old."""
        ahead = counter - self._greatest
        if ahead > 0:
            # Without `min`, a leap of the counter would make a huge number before the mask cuts it.
            self._taken = (self._taken << min(ahead, WINDOW) | 1) & (1 << WINDOW) - 1
            self._greatest = counter
            return True
        bit = 1 << -ahead if -ahead < WINDOW else 0
        if not bit or self._taken & bit:
            return False
        self._taken |= bit
        return True


class LinkTag(LinkFormat):
    """An end of a link with a key: it tags datagrams to send, and verifies received datagrams."""

    __slots__ = ("_counter", "_key", "_received", "_sent", "_window")

    def __init__(self, key: bytes, direction: int, counter: int) -> None:
        """Use a key to send in a direction; the first datagram has `counter`, the wall clock in ns."""
        self._key = key
        self._sent, self._received = direction, 1 - direction
        self._counter = counter
        self._window = ReplayWindow()

    @staticmethod
    def size(cells: int) -> int:
        """Octets of a datagram with so many cells."""
        return CELL_SIZE * cells + TAG_SIZE

    @staticmethod
    def cells(octets: int) -> int:
        """Cells in a datagram of so many octets."""
        return (octets - TAG_SIZE) // CELL_SIZE

    def carried(self, datagram: bytes) -> bytes:
        """The cells of a datagram that `seal` made."""
        return datagram[:-TAG_SIZE]

    def seal(self, cells: bytes) -> bytes:
        """The datagram that carries the cells."""
        datagram = cells + tag_of(self._key, self._sent, self._counter, cells)
        self._counter += 1
        return datagram

    def open(self, datagram: bytes) -> bytes:
        """The cells of a datagram; raise BadTag or Replayed."""
        # The tag before the window: a forged counter must not move the window.
        if not is_tagged_with(self._key, self._received, datagram):
            raise BadTag
        cells, counter, _ = _split(datagram)
        if not self._window.take(int.from_bytes(counter, "big")):
            raise Replayed
        return cells
