"""A file read in large blocks; the readers of captures parse records in place.

A reader parses `data` from `at` on, moves `at` past the parsed octets, and asks for more with `want`. Files may be
pipes: the reader never seeks, and takes the octets that a pipe has at once. Files compressed by gzip are unpacked.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 1 << 18
"""Octets read at once. At most a block and an unfinished record are held."""
GZIP_MAGIC = bytes.fromhex("1F8B")
_GZIP_FORMAT = 31  # zlib's wbits: 15 for the window, and 16 for gzip's header and trailer


class OctetReader:
    """The octets of a file, in order.

    `data[at:]` holds the octets at hand. `broken` gives the reason when the octets end before the file does: an error
    of the system, or damaged compression. `unpacked` is True when the file was compressed.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Take `file` without reading; the caller closes it."""
        # read1 returns the octets that a pipe has without waiting for more; an unbuffered file's read does the same.
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)
        self.data = b""
        self.at = 0
        self._base = 0
        self.broken = ""
        self.unpacked = False

    @property
    def offset(self) -> int:
        """Octets of the file before `at`; of the unpacked file, if it is compressed."""
        return self._base + self.at

    @property
    def left(self) -> int:
        """Number of octets at hand."""
        return len(self.data) - self.at

    def want(self, count: int) -> bool:
        """Have `count` octets at `at`, or all up to the end; return True if there are `count`.

        Octets before `at` are dropped: `at` is 0 after a read.
        """
        if self.left >= count:
            return True
        # Parts are collected in a list, and joined once for a record of many blocks.
        parts = [self.data[self.at:]]
        there = len(parts[0])
        while there < count and (more := self._more()):
            parts.append(more)
            there += len(more)
        self._base += self.at
        self.data, self.at = b"".join(parts), 0
        return there >= count

    def skip(self, count: int) -> bool:
        """Skip `count` octets without holding them; return False if the file ends before."""
        while count > self.left:
            count -= self.left
            self.at = len(self.data)
            if not self.want(1):
                return False
        self.at += count
        return True

    def unpack(self) -> None:
        """Unpack the octets that follow if they begin with gzip's magic."""
        if self.want(len(GZIP_MAGIC)) and self.data.startswith(GZIP_MAGIC, self.at):
            # The octets at hand already belong to the gzip file.
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
    """Decompressed members of a gzip file in sequence (RFC 1952); never more octets at once than asked for."""

    def __init__(self, read: Callable[[int], bytes], waiting: bytes) -> None:
        self._read = read
        self._waiting = waiting
        self._member = zlib.decompressobj(_GZIP_FORMAT)
        self._begun = False

    def read(self, count: int) -> bytes:
        """Return at most `count` octets, empty only at the end; raise zlib.error for damage and EOFError for a cut."""
        while True:
            if not self._begun:
                # Zeros between members, or after the last member, are padding.
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
            # The file ended within a member.
            raise EOFError
        return bool(self._waiting)
