"""A UDP-emulated ATM link: cells in datagrams, one (what Dynamips and GNS3 speak) or a train of them in each.

A burst of cells goes out in one system call where the kernel cuts it into datagrams (UDP_SEGMENT), and comes in
with one where it joined them (UDP_GRO). Both are probed when the link opens; sending falls back at run time, since
some devices refuse what the socket accepts.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason, Drops
from atmdepot.errors import EnvironmentLacks
from atmdepot.net.bursts import Datagrams
from atmdepot.net.line_link import CellLink
from atmdepot.net.sockets import grow_buffers
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from atmdepot.config.units import UdpAddress
    from atmdepot.net.bursts import Received

_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_RXQ_OVFL = 40
_MAX_SEGMENTS = 64
_MAX_DATAGRAM = 65_507
_BUFFER = 8 * 2**20
_MAX_BACKLOG = 4 * 2**20
_NO_OFFLOAD = {errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP}


class UdpLink(CellLink):
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
        self._socket = _bind(name, family, local)
        self._datagrams = Datagrams(self._socket.fileno(), family, self._peer)
        self.segment_offload = _enable(self._socket, _UDP_SEGMENT, 0)
        self.receive_offload = _enable(self._socket, _UDP_GRO, 1)
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
        elif self._backlog:
            self._hold(cells)
        elif rest := self._transmit(cells):
            self._hold(rest)

    def _transmit(self, cells: bytes) -> bytes:
        """Send; what the socket's buffer had no room for comes back."""
        at = 0
        while True:
            size = self._burst if self.segment_offload else self._datagram
            before = at
            at, error = self._datagrams.send(cells, at, size, self._datagram)
            self.tx_datagrams += -(-(at - before) // self._datagram)
            if not error:
                return b""
            if error == errno.EAGAIN:
                return cells[at:]
            if self.segment_offload and error in _NO_OFFLOAD and len(cells) - at > self._datagram:
                # The device has no use for segmentation offload: the same cells again, a datagram a call.
                self.segment_offload = False
                continue
            self.last_error = os.strerror(error)
            lost = cells[at:at + size]
            self.drops.count(DropReason.TX_ERROR, len(lost) // CELL_SIZE, lost)
            at += len(lost)

    def _hold(self, chunk: bytes) -> None:
        if self._backlog_octets + len(chunk) > _MAX_BACKLOG:
            self.drops.count(DropReason.TX_OVERFLOW, len(chunk) // CELL_SIZE, chunk)
            return
        self._backlog.append(chunk)
        self._backlog_octets += len(chunk)

    def wants_write(self) -> bool:
        """Whether cells wait for room in the socket's buffer."""
        return bool(self._backlog)

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self._backlog:
            cells = self._backlog.popleft()
            rest = self._transmit(cells)
            self._backlog_octets -= len(cells) - len(rest)
            if rest:
                self._backlog.appendleft(rest)
                return

    # In.

    def receive_burst(self, most: int) -> list[bytes]:
        """The whole cells of the datagrams that are there, of at most `most` reads.

        Each item is of one datagram, or of several that the kernel joined.
        """
        received, error = self._datagrams.receive(most)
        if error:
            self.last_error = os.strerror(error)
        self.rx_datagrams += self._datagrams.joined
        for item in received:
            if not isinstance(item, bytes):
                return self._sorted_out(received)
        return received  # type: ignore[return-value]

    def _sorted_out(self, received: list[Received]) -> list[bytes]:
        """The whole cells of what is not all of it whole cells of the peer's."""
        good = []
        for item in received:
            if isinstance(item, bytes):
                good.append(item)
                continue
            octets, segment, overflow, stranger = item
            if overflow != self._overflow_seen and overflow >= 0:
                self._note_overflow(overflow)
            if cells := self._whole_cells(octets, segment, stranger):
                good.append(cells)
        return good

    def _note_overflow(self, seen: int) -> None:
        self.drops.count(DropReason.RX_OVERFLOW, (seen - self._overflow_seen) & 0xFFFFFFFF)
        self._overflow_seen = seen

    def _is_peer_on_new_port(self, address: tuple[str, int]) -> bool:
        """Whether the peer may have any port, and now has this one: address translation between us changes it."""
        if not self._any_port or address[0] != self._peer[0]:
            return False
        self._peer = address
        self._datagrams.answer(address)
        return True

    def _whole_cells(self, octets: bytes, segment: int, stranger: tuple[str, int] | None) -> bytes:
        """Of the datagrams that were read at once, those that are the peer's and whole cells."""
        datagrams = max(1, -(-len(octets) // segment)) if segment else 1
        self.rx_datagrams += datagrams
        if stranger is not None and not self._is_peer_on_new_port(stranger):
            self.drops.count(DropReason.NOT_THE_PEER, datagrams, octets)
            return b""
        good = []
        for at in range(0, max(len(octets), 1), max(segment, 1)):
            datagram = octets[at:at + segment]
            if not datagram or len(datagram) % CELL_SIZE:
                self.drops.count(DropReason.NOT_WHOLE_CELLS, 1, datagram)
            else:
                good.append(datagram)
        return b"".join(good)

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
