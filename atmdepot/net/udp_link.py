"""A UDP-emulated ATM link: cells in datagrams, one (what Dynamips and GNS3 speak) or a train of them in each.

A burst of cells goes out in one system call where the kernel cuts it into datagrams (UDP_SEGMENT), and comes in
with one where it joined them (UDP_GRO). Both are probed when the link opens; sending falls back at run time, since
some devices refuse what the socket accepts, and a route whose MTU is too small for a while does. So it is tried again.

Datagrams are the peer's when they have its address and come by an interface by which it is reached: an address alone
can be forged by whoever has another way to this machine. On a link with a key they must have its tag as well.
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
from atmdepot.net.line_link import CellLink
from atmdepot.net.routes import PeerInterfaces, interfaces_towards
from atmdepot.net.sockets import grow_buffers
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.link_tag import TAG_SIZE, BadTag, Replayed

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.units import UdpAddress
    from atmdepot.net.bursts import Received, Sender
    from atmdepot.wire.link_tag import LinkTag

_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_RXQ_OVFL = 40
_IP_PKTINFO, _IPV6_RECVPKTINFO = 8, 49
_MAX_SEGMENTS = 64
_MAX_DATAGRAM = 65_507
_BUFFER = 8 * 2**20
_MAX_BACKLOG = 4 * 2**20
_NO_OFFLOAD = {errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP}
_SHORT_PAUSE, _LONG_PAUSE = 1_000_000_000, 60_000_000_000
"""After a refusal UDP_SEGMENT is tried again in so many ns, later after each one that follows."""
_NEVER = 2**63 - 1

log = logging.getLogger("atmdepot")


class UdpLink(CellLink):
    """One end of a link. Sends and receives never block and never raise; what is lost is counted in `drops`."""

    def __init__(
        self, name: str, local: UdpAddress, peer: UdpAddress, cells: int, drops: Drops, *,
        any_interface: bool = False, tag: LinkTag | None = None, clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Bind the link's own end; raise EnvironmentLacks when the address cannot be had.

        A peer whose port is 0 is heard on any port, and answered on the one that it last sent from.

        Args:
            name: for errors.
            local: this end.
            peer: the far end.
            cells: the most cells in a datagram.
            drops: counts what is lost.
            any_interface: take the peer's datagrams also by interfaces by which it is not reached.
            tag: tags and proves the datagrams, on a link with a key.
            clock: tells how long ago the routes were asked (ns).

        """
        self.name = name
        self.cells = cells
        self.drops = drops
        self.tx_datagrams = self.rx_datagrams = 0
        self.last_error = ""
        family, self._peer = _resolve(name, peer)
        self._tag = tag
        self._train = cells * CELL_SIZE
        self._datagram = self._train + (0 if tag is None else TAG_SIZE)
        self._burst = min(_MAX_SEGMENTS, _MAX_DATAGRAM // self._datagram) * self._datagram
        self._backlog: deque[bytes] = deque()
        self._backlog_octets = 0
        self._overflow_seen = 0
        self._socket = _bind(name, family, local)
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

    # Out.

    def send(self, cells: bytes, now: int) -> None:
        """Send cells (a multiple of 53 octets) in as few datagrams and system calls as can be."""
        if not self._peer[1]:
            self.last_error = "the far end has sent nothing yet, so its port is not known"
            self.drops.count(DropReason.TX_ERROR, len(cells) // CELL_SIZE, cells)
            return
        self._now = now
        if self._tag is not None:
            cells = self._sealed(cells)
        if not self.segment_offload and now >= self._segment_at and len(cells) > self._datagram:
            self.segment_offload = self._on_trial = True
        if self._backlog:
            self._hold(cells)
        elif rest := self._transmit(cells):
            self._hold(rest)

    def _sealed(self, cells: bytes) -> bytes:
        """The datagrams of a burst, each with its tag."""
        assert self._tag is not None
        seal = self._tag.seal
        return b"".join([seal(cells[at:at + self._train]) for at in range(0, len(cells), self._train)])

    def _transmit(self, cells: bytes) -> bytes:
        """Send; what the socket's buffer had no room for comes back."""
        at = 0
        while True:
            size = self._burst if self.segment_offload else self._datagram
            before = at
            at, error = self._datagrams.send(cells, at, size, self._datagram)
            self.tx_datagrams += -(-(at - before) // self._datagram)
            if self._on_trial and at - before > self._datagram:
                self._segments_again()
            if not error:
                return b""
            if error == errno.EAGAIN:
                return cells[at:]
            if self.segment_offload and error in _NO_OFFLOAD and len(cells) - at > self._datagram:
                # The device has no use for segmentation offload: the same cells again, a datagram a call.
                self._segments_no_more(error)
                continue
            self.last_error = os.strerror(error)
            lost = cells[at:at + size]
            self._count(DropReason.TX_ERROR, lost)
            at += len(lost)

    def _segments_no_more(self, error: int) -> None:
        """UDP_SEGMENT was refused: do without for a while, which is longer the more often that happens."""
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
        """UDP_SEGMENT was taken."""
        self._on_trial = False
        self._segment_since = self._now
        log.warning("link %s: UDP_SEGMENT is taken again", self.name)

    def _count(self, reason: DropReason, datagrams: bytes) -> None:
        """Count the cells of datagrams as they are sent."""
        whole, rest = divmod(len(datagrams), self._datagram)
        shown = datagrams if self._tag is None else datagrams[:self._train]
        self.drops.count(reason, whole * self.cells + rest // CELL_SIZE, shown)

    def trouble(self) -> str:
        """Text for people about what this end lacks; empty as a rule."""
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

    def _whole_cells(self, octets: bytes, segment: int, sender: Sender | None) -> bytes:
        """Of the datagrams that were read at once, those that are the peer's and whole cells."""
        datagrams = max(1, -(-len(octets) // segment)) if segment else 1
        self.rx_datagrams += datagrams
        if sender is not None and (reason := self._refuses(sender)) is not None:
            self.drops.count(reason, datagrams, octets)
            return b""
        good = []
        for at in range(0, max(len(octets), 1), max(segment, 1)):
            datagram = octets[at:at + segment]
            if self._tag is None:
                cells = datagram
            elif not (cells := self._opened(datagram)):
                continue
            if not cells or len(cells) % CELL_SIZE:
                self.drops.count(DropReason.NOT_WHOLE_CELLS, 1, datagram)
            else:
                good.append(cells)
        if sender is not None and (good or self._tag is None):
            self._answer_on_port(sender[:2])
        return b"".join(good)

    def _refuses(self, sender: Sender) -> DropReason | None:
        """The reason to drop what is not the peer's by its address and interface.

        A peer that may have any port is known by its host: address translation between us changes the port.
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
        """Have the bursts tell all that does not come by the peer's interface; with a key, simply all."""
        fast = 0 if self.interfaces is None else self.interfaces.fast
        self._datagrams.interface = fast if self._tag is None else -1

    def _opened(self, datagram: bytes) -> bytes:
        """The cells of a datagram on a link with a key; empty (and counted) when its tag is not right and new."""
        assert self._tag is not None
        try:
            return self._tag.open(datagram)
        except BadTag:
            self.drops.count(DropReason.BAD_TAG, 1, datagram)
        except Replayed:
            self.drops.count(DropReason.REPLAYED, 1, datagram)
        return b""

    def _answer_on_port(self, address: tuple[str, int]) -> None:
        """Answer the peer on the port that it has now."""
        if address != self._datagrams.peer:
            self._peer = address
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


def _interfaces(
    link: str, bound: socket.socket, peer: tuple[str, int], any_interface: bool, clock: Callable[[], int],
) -> PeerInterfaces | None:
    """The interfaces by which the peer's datagrams are taken; None where that is not to be looked at."""
    level, option = ((socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO) if bound.family == socket.AF_INET6 else
                     (socket.IPPROTO_IP, _IP_PKTINFO))
    if any_interface:
        return None
    bound.setsockopt(level, option, 1)
    scope = peer[3] if len(peer) > 3 else 0
    host, local = (str(address[0]).partition("%")[0] for address in (peer, bound.getsockname()))
    return PeerInterfaces(
        link, lambda: frozenset({scope}) if scope else interfaces_towards(bound.family, host, local), clock)


def _enable(link: socket.socket, option: int, value: int) -> bool:
    try:
        link.setsockopt(_SOL_UDP, option, value)
    except OSError:
        return False
    return True
