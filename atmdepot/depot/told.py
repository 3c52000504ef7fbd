"""The live entries that a stream between depots has told of, as a digest that both ends hold against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.splitmix64 import mix64

if TYPE_CHECKING:
    from atmdepot.depot.session import Session

_SIGN_FREE = 2**63 - 1


def spread(told: int) -> int:
    """A hash of a digest of an entry, 63 bits: the XOR of many is a digest of them all."""
    return mix64(told) & _SIGN_FREE


class ToldEntries:
    """The epoch of a depot's stream, and the digest of all live entries as they were told in it."""

    __slots__ = ("digest", "epoch")

    def __init__(self) -> None:
        self.epoch = 0
        """The number of the last stream, to others or from the active: an entry is told if `told_in` has it."""
        self.digest = 0
        """A digest of all live entries as they were told in this epoch, the same at both ends of the stream."""

    def begin(self) -> None:
        """Begin a stream, of which no entry has been told."""
        self.epoch += 1
        self.digest = 0

    def of(self, session: Session) -> int:
        """The digest of an entry as it was told; 0 when this stream has not told it as live."""
        return session.told if session.told_in == self.epoch else 0

    def note(self, session: Session, told: int) -> None:
        """Note that an entry is told with this digest from now on, or as no longer live (0)."""
        known = self.of(session)
        if known:
            self.digest ^= spread(known)
        if told:
            self.digest ^= spread(told)
        session.told, session.told_in = told, self.epoch

    def leave(self, session: Session) -> bool:
        """Take an entry that is removed out of the digest; False when this stream has not told it."""
        if session.told_in != self.epoch:
            return False
        self.digest ^= spread(session.told)
        return True
