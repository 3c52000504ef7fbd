"""See the IP packets that cross a node's TUN device: `python -m atmdepot.lab.sniff INTERFACE`, in its namespace.

It says READY, then prints a line for each packet: `in` (from the node to the host) or `out` (from the host to the
node), and its octets in hexadecimal. It ends when its standard input does.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from atmdepot.errors import AtmdepotError
from atmdepot.net.sockets import grow_buffers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.lab.testbed import Lab

_ETH_P_ALL = 3
_OUTGOING = 4
_MAX_PACKET = 65_600
_BUFFER = 32 * 2**20


class Crossing(NamedTuple):
    """A packet that crossed a TUN device: `in` or `out` as the host sees it, and its octets."""

    direction: str
    octets: bytes


class Sniffer:
    """A sniffer that runs in a node; `packets` has what it saw, once it was stopped."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.packets: list[Crossing] = []

    def stop(self) -> None:
        """End the sniffer and read what it saw."""
        told, _ = self._process.communicate()
        for line in told.splitlines():
            direction, _, octets = line.partition(" ")
            self.packets.append(Crossing(direction, bytes.fromhex(octets)))


@contextmanager
def sniffing(lab: Lab, node: str) -> Iterator[Sniffer]:
    """Sniff a node's TUN device while the block runs."""
    command = [sys.executable, "-m", "atmdepot.lab.sniff", lab.network.nodes[node].tun]
    process = lab.popen(node, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    sniffer = Sniffer(process)
    if process.stdout.readline() != "READY\n":
        raise AtmdepotError(f"{node}: its TUN device cannot be watched")
    try:
        yield sniffer
    finally:
        sniffer.stop()


def main() -> None:
    """Sniff until standard input ends, and then what is still in the buffer."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as tap:
        grow_buffers(tap, _BUFFER)
        try:
            tap.bind((sys.argv[1], _ETH_P_ALL))
        except OSError as error:
            sys.exit(f"{sys.argv[1]}: {error.strerror}")
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        while True:
            readable, _, _ = select.select([tap, sys.stdin], [], [])
            if tap in readable:
                octets, address = tap.recvfrom(_MAX_PACKET)
                sys.stdout.write(f"{'out' if address[2] == _OUTGOING else 'in'} {octets.hex()}\n")
            elif sys.stdin in readable:
                return


if __name__ == "__main__":
    main()
