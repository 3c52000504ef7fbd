"""Names asked of a DNS server, as a client does that keeps answers or asks each time (RFC 1035)."""

from __future__ import annotations

import secrets
import socket
import struct

_PORT, _SECONDS = 53, 2.0
_HEADER = struct.Struct("!6H")
_RECURSION, _A, _IN = 0x0100, 1, 1
_POINTER = 0xC0
_LONGEST = 512


class NoAddress(OSError):
    """A name for which no address was told, and why."""


class Lookup:
    """The resolvers of some clients, each known by its source address."""

    def __init__(self, server: str, *, keeps: bool) -> None:
        """Take the address of the DNS server; clients keep the first answer for the whole run when `keeps`."""
        self._server, self._keeps = server, keeps
        self._kept: dict[tuple[str, str], str] = {}

    def find(self, name: str, source: str) -> str:
        """The first address of a name; raise NoAddress without one."""
        if found := self._kept.get((name, source)):
            return found
        number = secrets.randbits(16)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as of:
            of.settimeout(_SECONDS)
            of.connect((self._server, _PORT))
            try:
                of.send(question(name, number))
                found = first_address(of.recv(_LONGEST), number)
            except TimeoutError:
                raise NoAddress(0, "the DNS server does not answer") from None
        if self._keeps:
            self._kept[name, source] = found
        return found


def question(name: str, number: int) -> bytes:
    """A question for the IPv4 addresses of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return _HEADER.pack(number, _RECURSION, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", _A, _IN)


def first_address(octets: bytes, number: int) -> str:
    """The first IPv4 address of an answer; raise NoAddress when it has none or is no answer."""
    try:
        ours, _, questions, answers, _, _ = _HEADER.unpack_from(octets)
        at = _HEADER.size
        for _ in range(questions):
            at = _after_name(octets, at) + 4
        for _ in range(answers if ours == number else 0):
            at = _after_name(octets, at)
            kind, _, _, length = struct.unpack_from("!HHIH", octets, at)
            at += 10
            if kind == _A and length == 4 and len(octets) >= at + 4:
                return socket.inet_ntoa(octets[at:at + 4])
            at += length
    except (struct.error, IndexError):
        pass  # cut off, or no answer of DNS
    raise NoAddress(0, "the DNS server tells no address")


def _after_name(octets: bytes, at: int) -> int:
    while length := octets[at]:
        if length >= _POINTER:
            return at + 2
        at += 1 + length
    return at + 1
