"""Write down every packet on an interface, until standard input ends: `capture.py INTERFACE FILE`.

A record is one octet (1: the kernel sent it, 0: it came in), four octets of length, the packet. At the end the number
of packets that the kernel could not give us goes to standard output: a capture with gaps proves nothing.
"""

from __future__ import annotations

import select
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from atmdepot.lab.sniff import open_tap, read_packets

if TYPE_CHECKING:
    import socket

_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_HEAD = struct.Struct(">BI")


def main() -> None:
    interface, file = sys.argv[1:]
    tap = open_tap(interface)
    tap.setblocking(False)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    with Path(file).open("wb") as records:
        wanted = True
        while wanted:
            ready, _, _ = select.select([tap, sys.stdin], [], [])
            wanted = sys.stdin not in ready
            drain(tap, records.write)
    _, drops = struct.unpack("II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    sys.stdout.write(f"{drops}\n")


def drain(tap: socket.socket, write: object) -> None:
    while True:
        try:
            for direction, packet in read_packets(tap):
                write(_HEAD.pack(direction == "out", len(packet)) + packet)  # type: ignore[operator]
        except BlockingIOError:
            return


def read(file: Path) -> tuple[list[bytes], list[bytes]]:
    """The packets of a capture: those that came in, and those that the kernel sent."""
    octets, at = file.read_bytes(), 0
    packets: tuple[list[bytes], list[bytes]] = ([], [])
    while at < len(octets):
        outgoing, length = _HEAD.unpack_from(octets, at)
        at += _HEAD.size + length
        packets[outgoing].append(octets[at - length:at])
    return packets


if __name__ == "__main__":
    main()
