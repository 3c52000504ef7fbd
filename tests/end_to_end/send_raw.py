"""Packets of ill-behaved nodes: `send_raw.py KIND COUNT SOURCE:PORT DESTINATION:PORT [SEED]`; it prints COUNT.

From the address and port of a link's own end it sends what only the peer could; the kernel lets root do that with raw
sockets. KIND is one of `KINDS` below. `packets` takes addresses without ports.
"""

from __future__ import annotations

import random
import socket
import sys
from struct import pack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CELL = 53


def _hec(header: bytes) -> int:
    """The HEC of I.432.1, bit by bit: nothing here comes from the code under test."""
    register = 0
    for octet in header:
        register ^= octet
        for _ in range(8):
            register = (register << 1 ^ (0x07 if register & 0x80 else 0)) & 0xFF
    return register ^ 0x55


def _cell(draw: random.Random, vpi: int, vci: int, pti: int = 0) -> bytes:
    header = (vpi << 20 | vci << 4 | pti << 1).to_bytes(4, "big")
    return header + bytes([_hec(header)]) + draw.randbytes(48)


def random_cells(draw: random.Random) -> bytes:
    """A train of octets that are no cells."""
    return draw.randbytes(27 * _CELL)


def unknown_vcs(draw: random.Random) -> bytes:
    """A train of good cells on VPs that nobody has."""
    return b"".join(_cell(draw, draw.randint(100, 255), draw.randint(32, 65535)) for _ in range(27))


def session_vcs(draw: random.Random) -> bytes:
    """A train of cells that begin a PDU on every VC of VP 1, and seldom end one."""
    return b"".join(_cell(draw, 1, draw.randint(64, 65535), draw.random() < 0.1) for _ in range(27))


def odd_lengths(draw: random.Random) -> bytes:
    """A datagram of any length but a multiple of 53."""
    return draw.randbytes(draw.choice([0, 1, 52, 54, 100, 1000, 1430]))


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    kind.__name__: kind for kind in (random_cells, unknown_vcs, session_vcs, odd_lengths)}


def packets(draw: random.Random) -> Iterator[tuple[int, bytes]]:
    """Protocol and payload of IPv4 packets that a router forwards, and that make no sense to whoever reads on."""
    while True:
        yield socket.IPPROTO_TCP, draw.randbytes(draw.randint(0, 19))  # cut short
        yield socket.IPPROTO_TCP, pack(">HHIIBBHHH", 1024, 80, 1, 0, draw.randint(0, 4) << 4, 2, 1, 0, 0)
        yield socket.IPPROTO_TCP, pack(">HHIIBBHHH", 1024, 80, 1, 0, 0xF0, 2, 1, 0, 0)  # options that are not there
        yield socket.IPPROTO_UDP, draw.randbytes(draw.randint(0, 7))


def main() -> None:
    kind, count, source, destination, *seed = sys.argv[1:]
    draw = random.Random(int(seed[0]) if seed else 1)
    if kind == "packets":
        _send_packets(draw, int(count), destination)
    elif kind == "foreign":
        _send_foreign(int(count), _address(destination))
    else:
        _send_as_peer(KINDS[kind], draw, int(count), _address(source), _address(destination))
    sys.stdout.write(count)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _send_foreign(count: int, destination: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.connect(destination)
        for _ in range(count):
            plain.send(bytes(_CELL))


def _send_as_peer(
    kind: Callable[[random.Random], bytes], draw: random.Random, count: int, source: tuple[str, int],
    destination: tuple[str, int],
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        ends = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
        for _ in range(count):
            data = kind(draw)
            udp = pack(">HHHH", source[1], destination[1], 8 + len(data), 0) + data
            raw.sendto(pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + ends + udp, (destination[0], 0))


def _send_packets(draw: random.Random, count: int, destination: str) -> None:
    made = packets(draw)
    sockets = {protocol: socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
               for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP)}
    for _ in range(count):
        protocol, payload = next(made)
        sockets[protocol].sendto(payload, (destination, 0))


if __name__ == "__main__":
    main()
