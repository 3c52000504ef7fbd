"""A file read in great blocks, so that the readers of captures take records apart where they lie.

A reader looks at `data` from `at` on, moves `at` past what it has used, and asks for more with `want`. Files may be
pipes: nothing is sought, and what a pipe has is given at once. Those compressed by gzip are unpacked on the way.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 1 << 18
"""How many octets are read at once: with those of one unfinished record, all that is ever held."""
GZIP_MAGIC = bytes.fromhex("1F8B")
_GZIP_FORMAT = 31


class OctetReader:
    """The octets of a file, in order.

    `data[at:]` is what is there; `broken` tells why there is no more where the file itself gave no end: an error of
    the system, or damage to what is compressed. `unpacked` tells that the file was compressed.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read nothing yet; `file` is the caller's to close."""
        # read1 gives what a pipe has; an unbuffered file does so anyway.
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)
        self.data = b""
        self.at = 0
        self._base = 0
        self.broken = ""
        self.unpacked = False

    @property
    def offset(self) -> int:
        """How many octets of the file lie before `at`; of the unpacked file, if it is compressed."""
        return self._base + self.at

    @property
    def left(self) -> int:
        """How many octets are there."""
        return len(self.data) - self.at

    def want(self, count: int) -> bool:
        """Have `count` octets at `at`, or all that there are; tells whether there are so many.

        What lies before `at` is forgotten, so `at` is 0 if anything had to be read.
        """
        if self.left >= count:
            return True
        parts = [self.data[self.at:]]
        there = len(parts[0])
        while there < count and (more := self._more()):
            parts.append(more)
            there += len(more)
        self._base += self.at
        self.data, self.at = b"".join(parts), 0
        return there >= count

    def skip(self, count: int) -> bool:
        """Move `count` octets on without holding them; tells whether there were so many."""
        while count > self.left:
            count -= self.left
            self.at = len(self.data)
            if not self.want(1):
                return False
        self.at += count
        return True

    def unpack(self) -> None:
        """Take what follows for a gzip file if it begins like one."""
        if self.want(len(GZIP_MAGIC)) and self.data.startswith(GZIP_MAGIC, self.at):
            self._read = _Gunzip(self._read, self.data[self.at:]).read
            self.data, self.at, self._base, self.unpacked = b"", 0, 0, True

    def _more(self) -> bytes:
        try:
            return self._read(BLOCK)
        except OSError as error:
            self.broken = error.strerror or str(error)
        except zlib.error as error:
            self.broken = f"what is compressed is damaged ({error})"
        except EOFError:
            self.broken = "the compressed file is cut short"
        return b""


class _Gunzip:
    """What the members of a gzip file hold, one after the other (RFC 1952), never more than asked for at once."""

    def __init__(self, read: Callable[[int], bytes], waiting: bytes) -> None:
        self._read = read
        self._waiting = waiting
        self._member = zlib.decompressobj(_GZIP_FORMAT)
        self._begun = False

    def read(self, count: int) -> bytes:
        """At most `count` octets, none only at the end; raises zlib.error and EOFError for damage and a cut."""
        while True:
            if not self._begun:
                # Zeros between members, or after the last, are padding.
                self._waiting = self._waiting.lstrip(b"\0")
                self._begun = bool(self._waiting)
            octets = self._member.decompress(self._waiting, count)
            self._waiting = self._member.unconsumed_tail
            if self._member.eof:
                self._waiting = self._member.unused_data
                self._member, self._begun = zlib.decompressobj(_GZIP_FORMAT), False
            if octets:
                return octets
            if not self._waiting and not self._next_block():
                return b""

    def _next_block(self) -> bool:
        self._waiting = self._read(BLOCK)
        if not self._waiting and self._begun:
            raise EOFError
        return bool(self._waiting)
