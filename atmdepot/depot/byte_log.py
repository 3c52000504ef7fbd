"""A byte log with offsets: what was appended last, up to a bound, for readers that each are somewhere in it."""

from __future__ import annotations

from collections import deque

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
        self._size = max(most // _CHUNKS, 1)
        self._chunks: deque[bytes] = deque()
        self._tail = bytearray()

    def append(self, octets: bytes) -> None:
        """Append octets; the oldest chunks go."""
        self._tail += octets
        self.end += len(octets)
        while len(self._tail) >= self._size:
            self._chunks.append(bytes(self._tail[:self._size]))
            del self._tail[:self._size]
        while self.end - self.start - self._size >= self.most:
            self._chunks.popleft()
            self.start += self._size

    def read(self, offset: int, most: int) -> bytes:
        """At most `most` octets from an offset on, and no more than a chunk; raise ValueError where they are gone."""
        if not self.start <= offset <= self.end:
            raise ValueError(f"offset {offset} is not in the log, which has {self.start} to {self.end}")
        number, at = divmod(offset - self.start, self._size)
        if number < len(self._chunks):
            return self._chunks[number][at:at + most]
        return bytes(self._tail[at:at + most])
