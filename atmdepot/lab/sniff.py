"""Print the IP packets that cross a node's TUN device: `python -m atmdepot.lab.sniff INTERFACE`, in its namespace.

The sniffer prints READY, then a line for each packet: `in` (from the node to the host) or `out` (from the host to the
node), and its octets in hexadecimal. It ends at the end of its standard input. Of a server that stands alone it is the
interface, and the packets are those in its frames.

Where the device has offload, the kernel shows frames of many segments, without checksums; the sniffer cuts them into
the packets that they stand for.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from atmdepot import build
from atmdepot.errors import AtmdepotError
from atmdepot.lab.servers import INTERFACE
from atmdepot.net.sockets import grow_buffers
from atmdepot.wire.ethernet import HEADER_SIZE
from atmdepot.wire.frame_records import BEFORE_PACKET, moved
from atmdepot.wire.llc import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from atmdepot.wire.offload import HEADER_LENGTH, cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.lab.testbed import Lab

_ETH_P_ALL = 3
_OUTGOING = 4
_ARPHRD_ETHER = 1
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_MAX_FRAME = 10 + 65_600  # a virtio_net_hdr, and a frame of many segments
_BUFFER = 32 * 2**20


class Crossing(NamedTuple):
    """A packet that crossed a TUN device: `in` or `out` as the host sees it, and its octets."""

    direction: str
    octets: bytes


class Sniffer:
    """A sniffer that runs in a node; `packets` has the packets that it saw, once it is stopped."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.packets: list[Crossing] = []

    def stop(self) -> None:
        """End the sniffer and read the packets that it saw."""
        told, _ = self._process.communicate()
        for line in told.splitlines():
            direction, _, octets = line.partition(" ")
            self.packets.append(Crossing(direction, bytes.fromhex(octets)))


@contextmanager
def sniffing(lab: Lab, node: str) -> Iterator[Sniffer]:
    """Sniff a node's device, or a server's, while the block runs; raise AtmdepotError when it cannot be watched."""
    device = lab.network.nodes[node].device if node in lab.network.nodes else INTERFACE
    command = build.python("-m", "atmdepot.lab.sniff", device)
    process = lab.popen(node, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    sniffer = Sniffer(process)
    if process.stdout.readline() != "READY\n":
        raise AtmdepotError(f"{node}: its device {device} cannot be watched")
    try:
        yield sniffer
    finally:
        sniffer.stop()


def open_tap(interface: str) -> socket.socket:
    """Open a socket that sees all packets of a device, each with its virtio_net_hdr; raise OSError."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    try:
        tap.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        # A burst must not overflow the socket while the sniffer waits for the processor.
        grow_buffers(tap, _BUFFER)
        tap.bind((interface, _ETH_P_ALL))
    except OSError:
        tap.close()
        raise
    return tap


def read_packets(tap: socket.socket) -> Iterator[Crossing]:
    """Yield the packets of the next frame."""
    frame, address = tap.recvfrom(_MAX_FRAME)
    if address[1] not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):  # ARP, on an Ethernet
        return
    if address[3] == _ARPHRD_ETHER:
        frame = moved(frame[:HEADER_LENGTH], -HEADER_SIZE) + frame[BEFORE_PACKET:]
    direction = "out" if address[2] == _OUTGOING else "in"
    for octets in cut(frame):
        yield Crossing(direction, octets)


def main() -> None:
    """Sniff until standard input ends; print the packets still in the buffer as well."""
    try:
        tap = open_tap(sys.argv[1])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")
    with tap:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        while True:
            readable, _, _ = select.select([tap, sys.stdin], [], [])
            # The tap comes first: at the end of standard input, its buffer is read to the last frame.
            if tap in readable:
                for direction, octets in read_packets(tap):
                    sys.stdout.write(f"{direction} {octets.hex()}\n")
            elif sys.stdin in readable:
                return


if __name__ == "__main__":
    main()
