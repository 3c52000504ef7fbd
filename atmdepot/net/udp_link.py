"""A UDP-emulated ATM link: cells in datagrams, one (what Dynamips and GNS3 speak) or a train of them in each.

A burst of cells goes out in one system call where the kernel cuts it into datagrams (UDP_SEGMENT), and comes in
with one where it joined them (UDP_GRO). Both are probed when the link opens; sending falls back at run time, since
some devices refuse what the socket accepts.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason, Drops
from atmdepot.errors import EnvironmentLacks
from atmdepot.net.sockets import grow_buffers
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from atmdepot.units import UdpAddress

_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_RXQ_OVFL = 40
_MAX_SEGMENTS = 64
_MAX_DATAGRAM = 65_507
_BUFFER = 8 * 2**20
_MAX_BACKLOG = 4 * 2**20
_U16, _INT, _U32 = Struct("=H"), Struct("=i"), Struct("=I")
_ANCILLARY = socket.CMSG_SPACE(_INT.size) + socket.CMSG_SPACE(_U32.size)
_NO_OFFLOAD = {errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP}


class UdpLink:
    """One end of a link. Sends and receives never block and never raise; what is lost is counted in `drops`."""

    def __init__(self, name: str, local: UdpAddress, peer: UdpAddress, cells: int, drops: Drops) -> None:
        """Bind the link's own end; raise EnvironmentLacks when the address cannot be had.

        A peer whose port is 0 is heard on any port, and answered on the one that it last sent from.
        """
        self.name = name
        self.cells = cells
        self.drops = drops
        self.tx_datagrams = self.rx_datagrams = 0
        self.last_error = ""
        family, self._peer = _resolve(name, peer)
        self._datagram = cells * CELL_SIZE
        self._burst = min(_MAX_SEGMENTS, _MAX_DATAGRAM // self._datagram) * self._datagram
        self._backlog: deque[bytes] = deque()
        self._backlog_octets = 0
        self._overflow_seen = 0
        self._buffer = memoryview(bytearray(65_536))
        self._socket = _bind(name, family, local)
        self.segment_offload = _enable(self._socket, _UDP_SEGMENT, 0)
        self.receive_offload = _enable(self._socket, _UDP_GRO, 1)
        self._peer_key = self._peer[:2]
        self._any_port = peer.port == 0

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    # Out.

    def send(self, cells: bytes, now: int) -> None:
        """Send cells (a multiple of 53 octets) in as few datagrams and system calls as can be."""
        if not self._peer[1]:
            self.last_error = "the far end has sent nothing yet, so its port is not known"
            self.drops.count(DropReason.TX_ERROR, len(cells) // CELL_SIZE, cells)
            return
        size = self._burst if self.segment_offload else self._datagram
        for at in range(0, len(cells), size):
            chunk = cells[at:at + size]
            if rest := chunk if self._backlog else self._transmit(chunk):
                self._hold(rest)

    def _transmit(self, chunk: bytes) -> bytes:
        """One system call; what the socket's buffer had no room for comes back."""
        segmented = len(chunk) > self._datagram
        try:
            if segmented:
                self._socket.sendmsg([chunk], [(_SOL_UDP, _UDP_SEGMENT, _U16.pack(self._datagram))], 0, self._peer)
            else:
                self._socket.sendto(chunk, self._peer)
        except BlockingIOError:
            return chunk
        except OSError as error:
            if segmented and error.errno in _NO_OFFLOAD:
                self.segment_offload = False
                return self._resend(chunk)
            self.last_error = str(error.strerror)
            self.drops.count(DropReason.TX_ERROR, len(chunk) // CELL_SIZE, chunk)
            return b""
        self.tx_datagrams += -(-len(chunk) // self._datagram)
        return b""

    def _resend(self, chunk: bytes) -> bytes:
        """The device has no use for segmentation offload: the same cells again, a datagram a call."""
        for at in range(0, len(chunk), self._datagram):
            if self._transmit(chunk[at:at + self._datagram]):
                return chunk[at:]
        return b""

    def _hold(self, chunk: bytes) -> None:
        if self._backlog_octets + len(chunk) > _MAX_BACKLOG:
            self.drops.count(DropReason.TX_OVERFLOW, len(chunk) // CELL_SIZE, chunk)
            return
        self._backlog.append(chunk)
        self._backlog_octets += len(chunk)

    @property
    def wants_write(self) -> bool:
        """Whether cells wait for room in the socket's buffer."""
        return bool(self._backlog)

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self._backlog:
            chunk = self._backlog.popleft()
            rest = self._transmit(chunk)
            self._backlog_octets -= len(chunk) - len(rest)
            if rest:
                self._backlog.appendleft(rest)
                return

    # In.

    def receive_burst(self, most: int) -> list[bytes]:
        """The whole cells of the datagrams that are there, of at most `most` reads.

        Each item is of one datagram, or of several that the kernel joined.
        """
        received = []
        for _ in range(most):
            try:
                length, ancillary, _, address = self._socket.recvmsg_into([self._buffer], _ANCILLARY)
            except BlockingIOError:
                break
            except OSError as error:  # an ICMP error for something sent before
                self.last_error = str(error.strerror)
                continue
            if cells := self._take(length, ancillary, address):
                received.append(cells)
        return received

    def _take(self, length: int, ancillary: list[tuple[int, int, bytes]], address: tuple[str, int]) -> bytes:
        """What one read has put into the buffer, as far as it is the peer's and whole cells."""
        segment = self._read_ancillary(ancillary) or length
        datagrams = max(1, -(-length // segment)) if segment else 1
        self.rx_datagrams += datagrams
        if address[:2] != self._peer_key and not self._is_peer_on_new_port(address):
            self.drops.count(DropReason.NOT_THE_PEER, datagrams, self._buffer[:length])
            return b""
        if length and length % CELL_SIZE == 0 and segment % CELL_SIZE == 0:
            return bytes(self._buffer[:length])
        return self._whole_cells(length, segment)

    def _is_peer_on_new_port(self, address: tuple[str, int]) -> bool:
        """Whether the peer may have any port, and now has this one: address translation between us changes it."""
        if not self._any_port or address[0] != self._peer[0]:
            return False
        self._peer, self._peer_key = address, address[:2]
        return True

    def _whole_cells(self, length: int, segment: int) -> bytes:
        """Of the datagrams in the buffer, those that are whole cells."""
        good = []
        for at in range(0, max(length, 1), max(segment, 1)):
            size = min(segment, length - at)
            if size <= 0 or size % CELL_SIZE:
                self.drops.count(DropReason.NOT_WHOLE_CELLS, 1, self._buffer[at:at + size])
            else:
                good.append(bytes(self._buffer[at:at + size]))
        return b"".join(good)

    def _read_ancillary(self, ancillary: list[tuple[int, int, bytes]]) -> int:
        """Note what the socket had to drop; return the size of joined datagrams, or 0."""
        segment = 0
        for level, kind, data in ancillary:
            if level == _SOL_UDP and kind == _UDP_GRO and len(data) >= _INT.size:
                segment = _INT.unpack_from(data)[0]
            elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL and len(data) >= _U32.size:
                seen = _U32.unpack_from(data)[0]
                if seen != self._overflow_seen:
                    self.drops.count(DropReason.RX_OVERFLOW, (seen - self._overflow_seen) & 0xFFFFFFFF)
                    self._overflow_seen = seen
        return segment

    def next_timer(self) -> int | None:
        """Never: a socket has no time of its own."""
        return None

    def handle_timer(self, now: int) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _resolve(link: str, address: UdpAddress) -> tuple[int, tuple[str, int]]:
    try:
        family, _, _, _, found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EnvironmentLacks(f"link {link}: {address.host} cannot be resolved: {reason}") from None
    return family, found  # type: ignore[return-value]


def _bind(link: str, family: int, local: UdpAddress) -> socket.socket:
    own_family, address = _resolve(link, local)
    if own_family != family:
        raise EnvironmentLacks(f"link {link}: its two ends have addresses of different versions")
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setblocking(False)
    grow_buffers(made, _BUFFER)
    made.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    try:
        made.bind(address)
    except OSError as error:
        made.close()
        hint = {errno.EADDRINUSE: "another process has this port: is the daemon already running?",
                errno.EADDRNOTAVAIL: "this machine has no such address: is this the right node?"}
        raise EnvironmentLacks(f"link {link}: cannot bind {local}: {error.strerror}; "
                               f"{hint.get(error.errno or 0, 'see `atmdepot doctor`')}") from None
    return made


def _enable(link: socket.socket, option: int, value: int) -> bool:
    try:
        link.setsockopt(_SOL_UDP, option, value)
    except OSError:
        return False
    return True
