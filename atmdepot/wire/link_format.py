"""The interface of a link's formats other than plain cells: datagrams with a tag, or those of a pseudowire."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from atmdepot.drops import DropReason


class Refused(ValueError):
    """A datagram that a format refuses; `reason` is the reason to count it by."""

    reason: ClassVar[DropReason]


class LinkFormat:
    """The format of a link's datagrams; an object of it has the state of an end of the link."""

    __slots__ = ()

    @staticmethod
    def size(cells: int) -> int:
        """Octets of a datagram with so many cells."""
        raise NotImplementedError

    @staticmethod
    def cells(octets: int) -> int:
        """Cells in a datagram of so many octets."""
        raise NotImplementedError

    def carried(self, datagram: bytes) -> bytes:
        """The cells of a datagram that `seal` made."""
        raise NotImplementedError

    def seal(self, cells: bytes) -> bytes:
        """The datagram that carries the cells (a multiple of 53 octets)."""
        raise NotImplementedError

    def open(self, datagram: bytes) -> bytes:
        """The cells of a datagram; raise Refused."""
        raise NotImplementedError
