"""The talk of client and server in `bench failover`: numbered requests, answers, a paced download. Pure.

An answer names the connection at the server and counts its answers. So the client knows that the very connection which
it opened goes on, not another one that a server opened for the same ports.
"""

from __future__ import annotations

from struct import Struct

from atmdepot.errors import AtmdepotError

REQUEST = Struct(">4sI")
"""The question (`ASK` or `PACE`), and the number of the request on its connection, from 1."""

ANSWER = Struct(">4sIIQ")
"""`SAID`, the request's number, answers on this connection so far, and the connection's own number at the server."""

ASK, PACE, SAID = b"ASK?", b"PACE", b"SAID"
CHUNK = 1400
"""Octets of a chunk of a download: its number (4), then zeros. It fits a packet with any MTU from 1452 on."""

PACE_NS = 10_000_000
"""Nanoseconds between two chunks of a download."""


class WrongAnswer(AtmdepotError):
    """Octets from the server that do not belong to this connection at this place."""


def request(number: int, what: bytes = ASK) -> bytes:
    """A request, by its number on the connection."""
    return REQUEST.pack(what, number)


def chunk(number: int) -> bytes:
    """A chunk of a download, by its number from 0."""
    return number.to_bytes(4, "big") + bytes(CHUNK - 4)


class Answers:
    """The answers of a connection, read from its octets; each must be the next one of the same connection."""

    __slots__ = ("_connection", "_rest", "number")

    def __init__(self) -> None:
        self._rest = b""
        self._connection: int | None = None
        self.number = 0

    def feed(self, octets: bytes) -> int:
        """Read octets and return how many answers they completed; raise WrongAnswer when one is not the next."""
        octets = self._rest + octets
        whole = len(octets) // ANSWER.size
        for at in range(0, whole * ANSWER.size, ANSWER.size):
            said, number, count, connection = ANSWER.unpack_from(octets, at)
            if self._connection is None:
                self._connection = connection
            if (said, number, count, connection) != (SAID, self.number + 1, self.number + 1, self._connection):
                raise WrongAnswer(f"answer {number} ({count} of connection {connection:x}) came in place of answer "
                                  f"{self.number + 1} of connection {self._connection:x}")
            self.number += 1
        self._rest = octets[whole * ANSWER.size:]
        return whole


class Chunks:
    """The chunks of a download, read from its octets; each must be the next."""

    __slots__ = ("_rest", "number")

    def __init__(self) -> None:
        self._rest = bytearray()
        self.number = 0

    def feed(self, octets: bytes) -> int:
        """Read octets and return how many chunks they completed; raise WrongAnswer when one is not the next."""
        self._rest += octets
        whole = len(self._rest) // CHUNK
        for at in range(0, whole * CHUNK, CHUNK):
            if self._rest[at:at + CHUNK] != chunk(self.number):
                raise WrongAnswer(f"chunk {self.number} of the download has wrong octets")
            self.number += 1
        del self._rest[:whole * CHUNK]
        return whole


class Requests:
    """The requests of a connection at the server, read from its octets."""

    __slots__ = ("_rest", "answered", "connection")

    def __init__(self, connection: int) -> None:
        """Take the connection's number."""
        self.connection = connection
        self.answered = 0
        self._rest = b""

    def feed(self, octets: bytes) -> tuple[bytes, bool]:
        """Read octets; return the answers to send, and True when a download is wanted.

        Raises:
            WrongAnswer: the octets are no requests of this benchmark.

        """
        octets = self._rest + octets
        whole = len(octets) // REQUEST.size
        told, paced = [], False
        for at in range(0, whole * REQUEST.size, REQUEST.size):
            what, number = REQUEST.unpack_from(octets, at)
            if what == PACE:
                paced = True
            elif what == ASK:
                self.answered += 1
                told.append(ANSWER.pack(SAID, number, self.answered, self.connection))
            else:
                raise WrongAnswer(f"{what!r} is no request")
        self._rest = octets[whole * REQUEST.size:]
        return b"".join(told), paced
