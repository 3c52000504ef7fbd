"""A byte log with offsets: what was appended last, up to a bound, for readers that each are somewhere in it."""

from __future__ import annotations

from collections import deque

from atmdepot.wire.replication import octets_at

MOST = 16 * 1024 * 1024
"""Octets that a log keeps."""
_CHUNKS = 256


class ByteLog:
    """The last octets of a stream. Offsets count from the first octet ever appended."""

    def __init__(self, most: int = MOST) -> None:
        """Make an empty log that keeps at least `most` octets, and less than a 256th more, in pieces of that size."""
        self.start = 0
        """The offset of the oldest octet kept."""
        self.end = 0
        self.most = most
        """Octets that it keeps at least."""
        self.tail = bytearray()
        """The newest octets. Who puts some at its end calls `settle` before anybody reads."""
        self._size = max(most // _CHUNKS, 1)
        self._chunks: deque[bytes] = deque()
        self._tail_at = 0

    def append(self, octets: bytes) -> None:
        """Append octets; the oldest chunks go."""
        self.tail += octets
        self.settle()

    def settle(self) -> None:
        """Count the octets put at the end of the tail; the oldest chunks go."""
        self.end = self._tail_at + len(self.tail)
        while self.end - self._tail_at >= self._size:
            self._chunks.append(octets_at(self.tail, 0, self._size))
            del self.tail[:self._size]
            self._tail_at += self._size
        while self.end - self.start - self._size >= self.most:
            self._chunks.popleft()
            self.start += self._size

    def read(self, offset: int, most: int) -> bytes:
        """At most `most` octets from an offset on, and no more than a chunk; raise ValueError where they are gone."""
        if not self.start <= offset <= self.end:
            raise ValueError(f"offset {offset} is not in the log, which has {self.start} to {self.end}")
        if offset >= self._tail_at:
            found: bytes = octets_at(self.tail, offset - self._tail_at, most)
            return found
        at = (offset - self.start) % self._size
        chunk: bytes = self._chunks[(offset - self.start) // self._size]
        return chunk[at:at + most]
