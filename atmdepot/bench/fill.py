"""Fill a depot with idle sessions: `python -m atmdepot.bench.fill SESSIONS VIP DEPOT_END OWN_END`, in the depot's node.

It plays the clients and the server at once. SYNs from unused addresses are routed into the depot's TUN device. Their
cells come over the link to OWN_END, which answers with SYN+ACKs on the same VC; then the clients' ACKs follow. Every
handshake is complete, and no packet follows it. Packets from the depot to these clients go to a blackhole route.
"""

from __future__ import annotations

import socket
import sys
import time
from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.config.units import UdpAddress
from atmdepot.errors import AtmdepotError
from atmdepot.wire.aal5 import cpcs_pdu
from atmdepot.wire.cell import CELL_SIZE, HEADER_SIZE
from atmdepot.wire.ip import PROTOCOL_TCP, ip_packet
from atmdepot.wire.tcp import ACK, SYN

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK = "10.16.0.0/12"
"""The network of the clients."""

_FIRST = int.from_bytes(socket.inet_aton("10.16.0.1"), "big")
_FIRST_PORT, _PORTS = 1024, 50_000
_SERVICE_PORT = 80
_CLIENT_ISN, _SERVER_ISN = 100, 300
_WINDOW = 65_535
_TCP = Struct(">HHIIBBHHH")
_BATCH = 256  # handshakes open at a time
_TRAIN = 27  # cells in a datagram, so that it fits an MTU of 1500 octets
_PATIENCE = 0.5  # s without an answer until SYNs are sent again
_TRIES = 20
_LARGEST = 65_535
_BUFFER = 4 * 2**20


def client(number: int) -> tuple[bytes, int]:
    """The address and port of a client, by its number (0, 1, 2...)."""
    return (_FIRST + number // _PORTS).to_bytes(4, "big"), _FIRST_PORT + number % _PORTS


def syn(number: int, vip: bytes) -> bytes:
    """A client's SYN. The depot reads no TCP checksum, so all TCP headers here have 0 there."""
    return _from_client(number, vip, _CLIENT_ISN, 0, SYN)


def ack(number: int, vip: bytes) -> bytes:
    """A client's ACK of the server's SYN."""
    return _from_client(number, vip, _CLIENT_ISN + 1, _SERVER_ISN + 1, ACK)


def _from_client(number: int, vip: bytes, sequence: int, acknowledgment: int, flags: int) -> bytes:
    address, port = client(number)
    header = _TCP.pack(port, _SERVICE_PORT, sequence, acknowledgment, 0x50, flags, _WINDOW, 0, 0)
    return ip_packet(PROTOCOL_TCP, address, vip, header)


def answers(train: bytes) -> Iterator[tuple[tuple[bytes, int], bytes]]:
    """The clients whose SYNs are in a train of cells, each with the cell of its SYN+ACK.

    A packet without options or data fills a single cell. The answer goes on the same VC, so its cell header is the
    same.
    """
    for start in range(0, len(train) - CELL_SIZE + 1, CELL_SIZE):
        header, packet = train[start:start + HEADER_SIZE], train[start + HEADER_SIZE:start + CELL_SIZE]
        if packet[33] == SYN:  # TCP's flags, behind 20 octets of IPv4 header
            address, vip, port = packet[12:16], packet[16:20], int.from_bytes(packet[20:22], "big")
            answer = _TCP.pack(_SERVICE_PORT, port, _SERVER_ISN, _CLIENT_ISN + 1, 0x50, SYN | ACK, _WINDOW, 0, 0)
            yield (address, port), header + cpcs_pdu(ip_packet(PROTOCOL_TCP, vip, address, answer))


class _Filler:
    """The clients' raw socket and the server's UDP socket."""

    def __init__(self, vip: str, depot_end: UdpAddress, own_end: UdpAddress) -> None:
        self._vip, self._packed = vip, socket.inet_aton(vip)
        self._clients = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._server.bind((own_end.host, own_end.port))
        self._server.connect((depot_end.host, depot_end.port))
        self._server.settimeout(_PATIENCE)

    def open_sessions(self, numbers: range) -> None:
        """Send SYNs and answer all of them, resending lost SYNs; raise AtmdepotError after `_TRIES` tries."""
        waiting = {client(number): syn(number, self._packed) for number in numbers}
        for _ in range(_TRIES):
            for packet in waiting.values():
                self._clients.sendto(packet, (self._vip, 0))
            try:
                while waiting:
                    self._answer(waiting)
            except TimeoutError:  # cells were lost: send the SYNs again that are still waiting
                continue
            return
        raise AtmdepotError(f"{len(waiting)} SYNs of {len(numbers)} did not come through the depot")

    def _answer(self, waiting: dict[tuple[bytes, int], bytes]) -> None:
        cells = []
        for whose, cell in answers(self._server.recv(_LARGEST)):
            waiting.pop(whose, None)  # None: a SYN sent again may come twice
            cells.append(cell)
        for start in range(0, len(cells), _TRAIN):
            self._server.send(b"".join(cells[start:start + _TRAIN]))

    def acknowledge(self, numbers: range) -> None:
        """Send the clients' ACKs."""
        for number in numbers:
            self._clients.sendto(ack(number, self._packed), (self._vip, 0))


def fill(sessions: int, vip: str, depot_end: UdpAddress, own_end: UdpAddress) -> None:
    """Open this many sessions; raise AtmdepotError when they cannot be opened."""
    filler = _Filler(vip, depot_end, own_end)
    opened = range(0)
    for first in range(0, sessions, _BATCH):
        numbers = range(first, min(first + _BATCH, sessions))
        filler.open_sessions(numbers)
        # SYN+ACKs and ACKs reach the depot by two ways. This batch came through, so the SYN+ACKs before it have too.
        filler.acknowledge(opened)
        opened = numbers
    time.sleep(_PATIENCE)
    filler.acknowledge(opened)
    time.sleep(_PATIENCE)


def main() -> None:
    """Fill as the command line says; on an error print it and exit with 1."""
    sessions, vip, depot_end, own_end = sys.argv[1:]
    try:
        fill(int(sessions), vip, UdpAddress.parse(depot_end), UdpAddress.parse(own_end))
    except (AtmdepotError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
