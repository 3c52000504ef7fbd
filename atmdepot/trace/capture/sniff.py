"""A network interface as a source of records: UDP links of other systems, of GNS3 and of this machine's daemons."""

from __future__ import annotations

import ctypes
import errno
import select
import socket
import time
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.config.units import count_text
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.net.events import Missed
from atmdepot.net.sockets import grow_buffers
from atmdepot.trace.capture.packet_filter import INSTRUCTION_SIZE, filter_of, filter_of_nothing
from atmdepot.trace.capture.udp_cells import UdpCells
from atmdepot.trace.notes import Notes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import TracebackType
    from typing import Self

    from atmdepot.trace.capture.udp_cells import LinkNames
    from atmdepot.trace.sources import SourceRecord

ANY = "any"

# Linux's numbers that the socket module lacks.
_ETH_P_ALL = 3
_SO_ATTACH_FILTER, _SO_TIMESTAMPNS = 26, 35
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_STATISTICS, _PROMISCUOUS = 263, 1, 6, 1
_MAX_PACKET = 1 << 16  # octets; data not yet cut into datagrams (UDP_SEGMENT) come at up to this size
_TIME = Struct("@ll")  # struct timespec
_FILTER = Struct("@HP")  # struct sock_fprog
_MEMBERSHIP = Struct("@iHH8x")  # struct packet_mreq
_STATISTICS = Struct("@II")  # packets and losses
_ANCILLARY = socket.CMSG_SPACE(_TIME.size)
_LOOPBACK = 772  # ARP's type of the loopback interface
_DIRECTIONS = {socket.PACKET_HOST: "in", socket.PACKET_BROADCAST: "in", socket.PACKET_MULTICAST: "in",
               socket.PACKET_OUTGOING: "out"}
_PACKETS_BETWEEN_LOOKS = 4096
_NS = 1_000_000_000


class SniffSource:
    """The cells in the UDP datagrams that cross an interface, at the kernel's times.

    Iterating gives records. It gives a `Missed` where the kernel had no room for packets (its `cells` then counts
    packets, of a cell or more each). With `idle`, it gives None after that many seconds without a record, and the
    caller can flush or redraw. It ends after `stop`, or when the interface is gone. Data that a sender leaves to its
    network device to cut into datagrams (UDP_SEGMENT) are seen before the cut, up to 64 KiB at once.
    """

    def __init__(self, interface: str, ports: Collection[int] = (), *, names: LinkNames | None = None,
                 idle: float | None = None, promiscuous: bool = True, buffer: int = 64 << 20) -> None:
        """Begin to listen.

        Args:
            interface: its name, or "any" for all interfaces.
            ports: the UDP ports of the links; without ports, datagrams are taken that prove to be cells.
            names: names links by the addresses of their ends.
            idle: seconds without a record after which None is given; without it the caller waits.
            promiscuous: hear packets for other machines, too.
            buffer: octets that the kernel may buffer.

        Raises:
            EnvironmentLacks: without the capability to listen.
            AtmdepotError: when there is no such interface.

        """
        self.name = interface
        self.packets = self.missed = 0
        self._index = _index(interface)
        self._notes = Notes(lambda: interface)
        self.passed_over = self._notes.passed_over
        # The kernel cannot tell the ports of later fragments: its filter passes first fragments only.
        self._udp = UdpCells(self._notes, ports, names, all_fragments=False)
        self._numbers: dict[str, int] = {}
        self._idle = idle
        self._stopped = False
        self._buffer = memoryview(bytearray(_MAX_PACKET))
        self._socket = _listen(interface, self._index, buffer, promiscuous)
        # Up to here the filter of `_empty` lets no packet pass.
        _attach(self._socket, filter_of(ports))
        # `stop` wakes the poll through this pair, which a signal handler may write to.
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def __iter__(self) -> Iterator[SourceRecord | None]:
        pending = self._notes.pending
        quiet_since = time.monotonic()
        while True:
            try:
                record = self._receive()
            except BlockingIOError:
                yield from self._losses()
                if self._stopped:
                    break
                record = None
                self._wait(quiet_since)
            except OSError as error:
                if not self._goes_on(error):
                    break
                record = None
            if pending:
                yield from self._notes.take()
            if record is not None:
                yield record
                quiet_since = time.monotonic()
                # On a busy interface the socket never runs empty: look at the losses now and then.
                if self.packets % _PACKETS_BETWEEN_LOOKS == 0:
                    yield from self._losses()
            elif self._idle is not None and time.monotonic() - quiet_since >= self._idle:
                yield None
                quiet_since = time.monotonic()
        self._udp.finish()
        yield from self._notes.take()

    def stop(self) -> None:
        """End the iteration, from a signal handler or another thread; packets already in the kernel are still given."""
        self._stopped = True
        with suppress(OSError):
            # With this filter the kernel's buffer runs empty, and the iteration ends.
            _attach(self._socket, filter_of_nothing())
            self._wake.send(b"\0")

    def summary(self) -> list[str]:
        """Lines for the user: the number of packets, the counts of skipped packets, and the kernel's losses."""
        with suppress(OSError):
            list(self._losses())
        return [self._notes.summary(f"{self.name}: {count_text(self.packets, 'packet')}"),
                f"{count_text(self.missed, 'packet')} lost by the kernel, because this trace was too slow"]

    def close(self) -> None:
        """Stop listening."""
        for each in (self._socket, self._wake, self._woken):
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def _receive(self) -> SourceRecord | None:
        """Cells of the next packet; raise BlockingIOError without a packet, OSError when the interface fails."""
        length, ancillary, flags, (name, _, kind, hardware, *_) = self._socket.recvmsg_into([self._buffer], _ANCILLARY)
        self.packets += 1
        if flags & socket.MSG_TRUNC:
            self._notes.count("packets of more than 64 KiB")
        # The loopback interface shows every packet as incoming: that is not its direction.
        hint = "" if hardware == _LOOPBACK else _DIRECTIONS.get(kind, "")
        number = self._numbers.setdefault(name, len(self._numbers))
        return self._udp.packet(_time_of(ancillary), bytes(self._buffer[:length]), 0, hint, number)

    def _wait(self, quiet_since: float) -> None:
        """Wait for a packet, for `stop`, or until it is time to give None."""
        left = None if self._idle is None else max(0.0, self._idle - (time.monotonic() - quiet_since)) * 1000
        self._poll.poll(left)

    def _losses(self) -> Iterator[Missed]:
        """Give the kernel's losses since the last look."""
        _, lost = _STATISTICS.unpack(self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size))
        if lost:
            self.missed += lost
            yield Missed(time.time_ns(), lost)

    def _goes_on(self, error: OSError) -> bool:
        """True when an interface that failed may come back."""
        try:
            socket.if_indextoname(self._index)
        except OSError:
            self._notes.tell(f"{self.name}: the interface is gone")
            return False
        # An interface that is down may come up again.
        if error.errno != errno.ENETDOWN:
            self._notes.tell(f"{self.name}: it cannot be listened to any more: {error.strerror}")
            return False
        self._notes.remark("times that the interface went down")
        return True


def _index(interface: str) -> int:
    if interface == ANY:
        return 0
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        there = ", ".join(name for _, name in socket.if_nameindex())
        raise AtmdepotError(f"there is no interface {interface}: there are {there}, and {ANY} for all") from None


def _listen(interface: str, index: int, buffer: int, promiscuous: bool) -> socket.socket:
    """Return a socket that gets the packets of an interface, from their IP header on, once it has a filter."""
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    except PermissionError:
        raise EnvironmentLacks(f"listening to {interface} takes the right CAP_NET_RAW: run it as root, or in a lab "
                               "with `atmdepot lab exec NODE -- ...`") from None
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        grow_buffers(made, buffer)
        if index:
            made.bind((interface, _ETH_P_ALL))
        _empty(made)
    except OSError as error:
        made.close()
        raise AtmdepotError(f"{interface} cannot be listened to: {error.strerror}") from None
    if promiscuous and index:
        # Not all interfaces support it; an interface without it hears no packets of other machines anyway.
        with suppress(OSError):
            made.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _MEMBERSHIP.pack(index, _PROMISCUOUS, 0))
    return made


def _empty(made: socket.socket) -> None:
    """Throw away packets that came before the filter."""
    _attach(made, filter_of_nothing())
    with suppress(BlockingIOError):
        while True:
            made.recv(1)
    # Reading the statistics resets them.
    made.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)


def _attach(made: socket.socket, packet_filter: bytes) -> None:
    """Let the kernel run a filter on the socket's packets; the kernel copies the filter."""
    octets = ctypes.create_string_buffer(packet_filter, len(packet_filter))
    program = _FILTER.pack(len(packet_filter) // INSTRUCTION_SIZE, ctypes.addressof(octets))
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _time_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, octets in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(octets) >= _TIME.size:
            seconds, ns = _TIME.unpack_from(octets)
            return int(seconds) * _NS + int(ns)
    return time.time_ns()
