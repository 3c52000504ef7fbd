"""Records of the replication link between two depots of a set, over TCP: what holds frames together, and the set's key.

The format is this project's own::

    record        length 4 | channel 1 | payload of `length` - 1 octets | tag 16, with a key and after the proof

Each direction begins with a HELLO, and with a proof where the set has a key. On the channel `CONTROL` come whole frames
that are no part of the stream of sessions (HEARTBEAT, ACK...), on `STREAM` the stream's octets, cut anywhere; for both
see `wire/replication.py`.

The proof is keyed BLAKE2b (RFC 7693) over the sender's name and both HELLOs, each of which has a fresh challenge: so a
recorded proof is good for no second connection. A tag is BLAKE2b over the record and its number, under a key that
follows from both HELLOs and the sender. Nothing is encrypted.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from struct import Struct

MAX_PAYLOAD = 65_536 + 4
"""Greatest payload: the greatest frame, with its head."""
CHALLENGE_SIZE, TAG_SIZE, PROOF_SIZE = 16, 16, 32
HELLO, PROOF, CONTROL, STREAM = range(4)
"""Channels."""
_HEAD = Struct(">IB")


class BadRecord(Exception):
    """Octets that are no record of this format, or that lack the right tag; the text says which."""


def proof_of(key: bytes, sender: str, own: bytes, other: bytes) -> bytes:
    """The proof that the sender of the HELLO `own` has the key, in answer to the HELLO `other`."""
    return _keyed(key, b"proof", sender, own, other)


def is_proof(key: bytes, sender: str, own: bytes, other: bytes, proof: bytes) -> bool:
    """True for the proof of a sender; in constant time."""
    return compare_digest(proof_of(key, sender, own, other), proof)


def key_of_direction(key: bytes, sender: str, own: bytes, other: bytes) -> bytes:
    """The key of the tags in the sender's direction, whose HELLO was `own`."""
    return _keyed(key, b"tags", sender, own, other)


def _keyed(key: bytes, use: bytes, sender: str, own: bytes, other: bytes) -> bytes:
    made = blake2b(key=key, digest_size=PROOF_SIZE)
    for part in (use, sender.encode(), own, other):
        made.update(len(part).to_bytes(4, "big") + part)
    return made.digest()


class RecordWriter:
    """Makes the records of a direction."""

    __slots__ = ("_count", "key")

    def __init__(self) -> None:
        self.key = b""
        """The key of the tags; empty for records without."""
        self._count = 0

    def record(self, channel: int, payload: bytes) -> bytes:
        """The record that carries a payload of at most `MAX_PAYLOAD` octets."""
        head = _HEAD.pack(1 + len(payload), channel)
        if not self.key:
            return head + payload
        self._count += 1
        return head + payload + _tag(self.key, self._count, head, payload)


class RecordReader:
    """Reads the records of a direction from octets as they come; it holds one unfinished record and a read at most."""

    __slots__ = ("_count", "_held", "key")

    def __init__(self) -> None:
        self.key = b""
        self._count = 0
        self._held = bytearray()

    def feed(self, octets: bytes) -> None:
        """Take octets; the caller has taken all whole records before."""
        self._held += octets

    def next(self) -> tuple[int, bytes] | None:
        """The channel and the payload of the next record, or None until it is whole; raise BadRecord."""
        held = self._held
        if len(held) < _HEAD.size:
            return None
        length, channel = _HEAD.unpack_from(held)
        if not 1 <= length <= 1 + MAX_PAYLOAD:
            raise BadRecord(f"a record whose length is {length}: it is 1 to {1 + MAX_PAYLOAD}")
        end = _HEAD.size - 1 + length
        whole = end + TAG_SIZE * bool(self.key)
        if len(held) < whole:
            return None
        payload = bytes(held[_HEAD.size:end])
        if self.key:
            self._count += 1
            if not compare_digest(_tag(self.key, self._count, bytes(held[:_HEAD.size]), payload), held[end:whole]):
                raise BadRecord("a record without the right tag")
        del held[:whole]
        return channel, payload


def _tag(key: bytes, count: int, head: bytes, payload: bytes) -> bytes:
    made = blake2b(count.to_bytes(8, "big"), key=key, digest_size=TAG_SIZE)
    made.update(head)
    made.update(payload)
    return made.digest()
