"""A UDP-emulated ATM link: a cell in each datagram (as Dynamips and GNS3 do) or a train of cells.

The kernel cuts a burst of cells into datagrams (UDP_SEGMENT), and joins datagrams that came in (UDP_GRO), so a burst
takes a single system call each way. Both options are probed when the link opens. Sending falls back at run time, since
some devices refuse what the socket accepts, and a route may have a small MTU for a while; so UDP_SEGMENT is tried
again.

A datagram is the peer's when it has the peer's address and comes by an interface by which the peer is reached: an
address alone can be forged by any host with another path to this machine. On a link with a key it must have a valid tag
as well.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from atmdepot.drops import DropReason, Drops
from atmdepot.errors import EnvironmentLacks
from atmdepot.net.bursts import Datagrams
from atmdepot.net.line_link import PortLink
from atmdepot.net.routes import PeerInterfaces, interfaces_towards
from atmdepot.net.sockets import grow_buffers
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.link_format import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.units import UdpAddress
    from atmdepot.net.bursts import Received, Sender
    from atmdepot.wire.link_format import LinkFormat

_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_RXQ_OVFL = 40
_TELL_INTERFACE: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 8), socket.AF_INET6: (socket.IPPROTO_IPV6, 49),
}
"""IP_PKTINFO (ip(7)) and IPV6_RECVPKTINFO (RFC 3542): each datagram is received with the interface it came by."""
_MAX_SEGMENTS = 64
_MAX_DATAGRAM = 65_507
_BUFFER = 8 * 2**20
_MAX_BACKLOG = 4 * 2**20
# The errors by which devices and routes refuse UDP_SEGMENT; EMSGSIZE: a datagram exceeds the MTU of the route.
NO_OFFLOAD = {errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP}
_SHORT_PAUSE, _LONG_PAUSE = 1_000_000_000, 60_000_000_000
"""Pauses (ns) before UDP_SEGMENT is tried again: the first, and the longest after repeated refusals."""
_NEVER = 2**63 - 1

log = logging.getLogger("atmdepot")


class UdpLink(PortLink):
    """An end of a link. Sends and receives never block and never raise; lost cells are counted in `drops`."""

    def __init__(
        self, name: str, local: UdpAddress, peer: UdpAddress, cells: int, drops: Drops, *,
        any_interface: bool = False, form: LinkFormat | None = None, clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Bind the link's own end; raise EnvironmentLacks when the address is not available.

        A peer with port 0 may send from any port, and is answered on the port that it last sent from.

        Args:
            name: the link's name, for errors.
            local: this end.
            peer: the far end.
            cells: the most cells in a datagram.
            drops: counts the lost cells and datagrams.
            any_interface: also take the peer's datagrams from interfaces by which it is not reached.
            form: makes and reads the datagrams, on a link of another format than plain cells.
            clock: gives the time (ns) by which the routes are asked again.

        """
        self.name = name
        self.cells = cells
        self.drops = drops
        self.tx_datagrams = self.rx_datagrams = 0
        self.last_error = ""
        family, self._peer = _resolve(name, peer)
        self._knows_port = peer.port != 0
        self._form = form
        self._train = cells * CELL_SIZE
        self._datagram = self._train if form is None else form.size(cells)
        # UDP_SEGMENT takes at most 64 segments (UDP_MAX_SEGMENTS), and the longest UDP payload in all.
        self._burst = min(_MAX_SEGMENTS, _MAX_DATAGRAM // self._datagram) * self._datagram
        self._backlog: deque[bytes] = deque()
        self._backlog_octets = 0
        self._overflow_seen = 0
        self._socket = _bind(name, family, local, tell_interface=not any_interface)
        self._datagrams = Datagrams(self._socket.fileno(), family, self._peer)
        self.segment_offload = _enable(self._socket, _UDP_SEGMENT, 0)
        self.segment_refusals = 0
        self._segment_at, self._segment_pause, self._segment_since = _NEVER, _SHORT_PAUSE, -_LONG_PAUSE
        self._on_trial = False
        self._now = 0
        self.receive_offload = _enable(self._socket, _UDP_GRO, 1)
        self._any_port = peer.port == 0
        self.interfaces = _interfaces(name, self._socket, self._peer, any_interface, clock)
        self._compare_interface()

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    # Sending.

    def send(self, cells: bytes, now: int) -> None:
        """Send cells (a multiple of 53 octets) in as few datagrams and system calls as possible."""
        if not self._knows_port:
            self.last_error = "the far end has sent nothing yet, so its port is not known"
            self.drops.count(DropReason.TX_ERROR, len(cells) // CELL_SIZE, cells)
            return
        self._now = now
        if self._form is not None:
            cells = self._sealed(cells)
        if not self.segment_offload and now >= self._segment_at and len(cells) > self._datagram:
            self.segment_offload = self._on_trial = True
        if self._backlog_octets:  # cells keep their order
            self._hold(cells)
        elif rest := self._transmit(cells):
            self._hold(rest)

    def _sealed(self, cells: bytes) -> bytes:
        """The datagrams of a burst, in the link's format."""
        assert self._form is not None
        seal = self._form.seal
        return b"".join([seal(cells[at:at + self._train]) for at in range(0, len(cells), self._train)])

    def _transmit(self, cells: bytes) -> bytes:
        """Send cells; return the rest when the socket's buffer is full."""
        at = 0
        while True:
            size = self._burst if self.segment_offload else self._datagram
            before = at
            at = self._datagrams.send(cells, at, size, self._datagram)
            error = self._datagrams.error
            self.tx_datagrams += -(-(at - before) // self._datagram)
            if self._on_trial and at - before > self._datagram:
                self._segments_again()
            if not error:
                return b""
            if error == errno.EAGAIN:
                return cells[at:]
            if self.segment_offload and error in NO_OFFLOAD and len(cells) - at > self._datagram:
                # The device cannot do segmentation offload: send the same cells again, a datagram in each call.
                self._segments_no_more(error)
                continue
            self.last_error = os.strerror(error)
            lost = cells[at:at + size]  # dropped: a retry might fail for ever and block the link
            self._count(DropReason.TX_ERROR, lost)
            at += len(lost)

    def _segments_no_more(self, error: int) -> None:
        """Do without UDP_SEGMENT for a while after a refusal; repeated refusals double the pause."""
        self.segment_refusals += 1
        self.segment_offload = False
        if self._on_trial or self._now - self._segment_since < _LONG_PAUSE:
            self._segment_pause = min(2 * self._segment_pause, _LONG_PAUSE)
        else:
            self._segment_pause = _SHORT_PAUSE
        self._segment_at = self._now + self._segment_pause
        if not self._on_trial:
            log.warning("link %s: UDP_SEGMENT is refused (%s): datagrams are sent one by one, which takes more of the "
                        "processor; it is tried again", self.name, os.strerror(error))
        self._on_trial = False

    def _segments_again(self) -> None:
        """Note that the kernel takes UDP_SEGMENT again."""
        self._on_trial = False
        self._segment_since = self._now
        log.warning("link %s: UDP_SEGMENT is taken again", self.name)

    def _count(self, reason: DropReason, datagrams: bytes) -> None:
        """Count the cells in datagrams that were made for sending."""
        if self._form is None:
            self.drops.count(reason, len(datagrams) // CELL_SIZE, datagrams)
            return
        whole, rest = divmod(len(datagrams), self._datagram)
        cells = whole * self.cells + (self._form.cells(rest) if rest else 0)
        self.drops.count(reason, cells, self._form.carried(datagrams[:self._datagram]))

    def trouble(self) -> str:
        """Describe a fault of this end for people; empty as a rule."""
        if not self.segment_offload and self._segment_at != _NEVER:
            return "UDP_SEGMENT is refused: the MTU of the route or the device is too small for the link's datagrams"
        if self.interfaces is not None and self.interfaces.numbers is not None and not self.interfaces.numbers:
            return "there is no route to the far end"
        return ""

    def _hold(self, chunk: bytes) -> None:
        if self._backlog_octets + len(chunk) > _MAX_BACKLOG:
            self._count(DropReason.TX_OVERFLOW, chunk)
            return
        self._backlog.append(chunk)
        self._backlog_octets += len(chunk)

    def wants_write(self) -> bool:
        """True while cells wait for room in the socket's buffer."""
        return self._backlog_octets != 0

    def flush(self) -> None:
        """Send the cells that wait, as far as there is room."""
        while self._backlog:
            cells = self._backlog.popleft()
            rest = self._transmit(cells)
            self._backlog_octets -= len(cells) - len(rest)
            if rest:
                self._backlog.appendleft(rest)
                return

    # Receiving.

    def receive_burst(self, most: int) -> list[bytes]:
        """The whole cells of the datagrams that wait, from at most `most` reads.

        Each item is from a single datagram, or from several that the kernel joined.
        """
        received = self._datagrams.receive(most)
        if self._datagrams.error:
            self.last_error = os.strerror(self._datagrams.error)
        self.rx_datagrams += self._datagrams.joined
        for item in received:  # as a rule all items are plain cells, and the list is returned as it is
            if not isinstance(item, bytes):
                return self._sorted_out(received)
        return received  # type: ignore[return-value]

    def _sorted_out(self, received: list[Received]) -> list[bytes]:
        """The whole cells of the peer in a burst that holds other datagrams too."""
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
        # The kernel's counter has 32 bits and wraps.
        self.drops.count(DropReason.RX_OVERFLOW, (seen - self._overflow_seen) & 0xFFFFFFFF)
        self._overflow_seen = seen

    def _whole_cells(self, octets: bytes, segment: int, sender: Sender | None) -> bytes:
        """Filter datagrams that were read together: keep the peer's, of whole cells; count the rest."""
        datagrams = max(1, -(-len(octets) // segment)) if segment else 1
        self.rx_datagrams += datagrams
        if sender is not None and (reason := self._refuses(sender)) is not None:
            self.drops.count(reason, datagrams, octets)
            return b""
        good = []
        for at in range(0, max(len(octets), 1), max(segment, 1)):  # an empty datagram is counted, too
            datagram = octets[at:at + segment]
            if self._form is None:
                cells = datagram
            elif not (cells := self._opened(datagram)):
                continue
            if not cells or len(cells) % CELL_SIZE:
                self.drops.count(DropReason.NOT_WHOLE_CELLS, 1, datagram)
            else:
                good.append(cells)
        # On a link with a format, only a datagram that it accepts may change the peer's port.
        if sender is not None and (good or self._form is None):
            self._answer_on_port(sender[:2])
        return b"".join(good)

    def _refuses(self, sender: Sender) -> DropReason | None:
        """The reason to drop a sender's datagrams, by its address and interface; None for the peer.

        A peer that may have any port is known by its host: address translation on the path changes the port.
        """
        if sender[:2] != self._datagrams.peer and not (self._any_port and sender[0] == self._datagrams.peer[0]):
            return DropReason.NOT_THE_PEER
        if len(sender) == 2 or self.interfaces is None:
            return None
        if not self.interfaces.holds(sender[2]):
            return DropReason.WRONG_INTERFACE
        self._compare_interface()
        return None

    def _compare_interface(self) -> None:
        """Have `receive` report each datagram from outside the peer's interface; with a format, every datagram."""
        fast = 0 if self.interfaces is None else self.interfaces.fast
        self._datagrams.interface = fast if self._form is None else -1

    def _opened(self, datagram: bytes) -> bytes:
        """The cells of a datagram on a link with a format; empty (and counted) when the format refuses it."""
        assert self._form is not None
        try:
            return self._form.open(datagram)
        except Refused as refused:
            self.drops.count(refused.reason, 1, datagram)
            return b""

    def _answer_on_port(self, address: tuple[str, int]) -> None:
        """Answer the peer on the port that it has now."""
        if address != self._datagrams.peer:
            self._peer = address
            self._knows_port = True
            self._datagrams.answer(address)

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


def _bind(link: str, family: int, local: UdpAddress, *, tell_interface: bool) -> socket.socket:
    own_family, address = _resolve(link, local)
    if own_family != family:
        raise EnvironmentLacks(f"link {link}: its two ends have addresses of different versions")
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setblocking(False)
    grow_buffers(made, _BUFFER)
    made.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    if tell_interface:
        # Before `bind`: a datagram that comes in between would be without its interface, and be taken for a forged one.
        made.setsockopt(*_TELL_INTERFACE[family], 1)
    try:
        made.bind(address)
    except OSError as error:
        made.close()
        hint = {errno.EADDRINUSE: "another process has this port: is the daemon already running?",
                errno.EADDRNOTAVAIL: "this machine has no such address: is this the right node?"}
        raise EnvironmentLacks(f"link {link}: cannot bind {local}: {error.strerror}; "
                               f"{hint.get(error.errno or 0, 'see `atmdepot doctor`')}") from None
    return made


def _interfaces(
    link: str, bound: socket.socket, peer: tuple[str, int], any_interface: bool, clock: Callable[[], int],
) -> PeerInterfaces | None:
    """The interfaces by which the peer's datagrams are taken; None when any interface will do."""
    if any_interface:
        return None
    scope = peer[3] if len(peer) > 3 else 0
    host, local = (str(address[0]).partition("%")[0] for address in (peer, bound.getsockname()))
    # A link-local address with a scope is reached by the scope's interface alone.
    return PeerInterfaces(
        link, lambda: frozenset({scope}) if scope else interfaces_towards(bound.family, host, local), clock)


def _enable(link: socket.socket, option: int, value: int) -> bool:
    try:
        link.setsockopt(_SOL_UDP, option, value)
    except OSError:
        return False
    return True
