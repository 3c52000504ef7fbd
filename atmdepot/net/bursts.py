"""Bursts of packets and datagrams in plain Python: waiting, reading and writing.

Where `_bursts.pyx` is compiled, its twins replace these functions and classes. Reads and writes never block, and do not
raise the errors of their system calls: they return an errno, or the packets that the kernel refused.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.frame_records import LENGTH_SIZE

_MAX_PACKET = 65535 + 64
_FRAME_ROOM = 65664
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_RXQ_OVFL = 40
_PKTINFO = {(socket.IPPROTO_IP, 8): 0, (socket.IPPROTO_IPV6, 50): 16}
"""Offset (octets) of the interface's number in IP_PKTINFO (ip(7)) and IPV6_PKTINFO (RFC 3542 section 6)."""
# The back-off of `_Poller.poll` (ns).
_SLICE, _SOON, _SHORT_CALM, _LONG_CALM = 1_000_000, 20_000_000, 100_000_000, 1_000_000_000
_COARSE = 0.02
"""Waits of this many seconds or more may end a millisecond late."""
_U16, _INT, _U32 = Struct("=H"), Struct("=i"), Struct("=I")
# Room for UDP_GRO, SO_RXQ_OVFL and the longer PKTINFO (struct in6_pktinfo, 20 octets).
_ANCILLARY = socket.CMSG_SPACE(_INT.size) + socket.CMSG_SPACE(_U32.size) + socket.CMSG_SPACE(20)

Sender = tuple[str, int] | tuple[str, int, int]
"""Address and port of a sender. The number of the interface follows if it is not the peer's (0: unknown)."""
Received = bytes | tuple[bytes, int, int, Sender | None]
"""Octets: whole cells of the peer, the usual case. Otherwise (another sender or interface, a length that is no multiple
of 53, a new count of drops) a tuple: the octets; the size of each datagram in them (the last may be shorter); the
number of datagrams that the socket has dropped so far, -1 if the kernel does not say; the sender, if it is not the peer
on its interface."""


def _read_packets(descriptor: int, most: int) -> tuple[list[bytes], int]:
    """Read packets, a system call for each, until no packet waits or `most` are read.

    Returns the packets, and the errno that ended the burst: 0 after `most` packets or when no more wait. An empty read
    counts as EBADFD, the error of a removed device: a socket pair that replaces a device has lost its other end.
    """
    packets: list[bytes] = []
    try:
        while len(packets) < most:
            packet = os.read(descriptor, _MAX_PACKET)
            if not packet:
                return packets, errno.EBADFD
            packets.append(packet)
    except BlockingIOError:
        pass
    except OSError as error:
        return packets, error.errno or 0
    return packets, 0


def _write_packets(descriptor: int, packets: list[bytes]) -> list[bytes]:
    """Write packets, a system call for each; return the packets that the kernel refused."""
    refused = []
    for packet in packets:
        try:
            os.write(descriptor, packet)
        except OSError:
            refused.append(packet)
    return refused


class _Poller:
    """An epoll set; it spins for a while before it sleeps."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._no_spin_before = 0
        self._calm = _SHORT_CALM
        self._last_slice = -_LONG_CALM
        self._ready: list[tuple[int, int]] = []

    def fileno(self) -> int:
        """The descriptor of the set; it is readable when a descriptor in the set is ready."""
        return self._epoll.fileno()

    def watch(self, descriptor: int, events: int) -> None:
        """Add a descriptor to the set, or change the events to wait for (EPOLLIN, EPOLLOUT)."""
        try:
            self._epoll.register(descriptor, events)
        except FileExistsError:
            self._epoll.modify(descriptor, events)

    def now(self) -> int:
        """The time of the clock that `poll` waits by (CLOCK_MONOTONIC, ns)."""
        return time.monotonic_ns()

    def poll(self, wait: float, spin: int) -> int:
        """Wait for ready descriptors; return their count, 0 after `wait` seconds.

        `descriptor` and `events` describe them by index until the next call.

        For the first `spin` ns the poller spins: it polls without sleeping, and yields the processor between two polls.
        A processor that has gone to sleep takes longer to wake up than a packet takes to be handled. But the scheduler
        gives a busy processor back sooner to a process that slept than to a process that yielded. So the poller backs
        off when another process has used a whole slice (1 ms) twice within 20 ms (the kernel itself uses a slice now
        and then): it does not spin for 0.1 s. A slice lost within a second after a back-off starts the next, twice as
        long, up to 1 s.
        """
        now = time.monotonic_ns()
        end = now + spin if now >= self._no_spin_before else 0
        while now < end:
            if ready := self._epoll.poll(0):
                self._ready = ready
                return len(ready)
            os.sched_yield()
            before, now = now, time.monotonic_ns()
            if now - before > _SLICE:
                self._lost_a_slice(before, now)
                break
        self._ready = self._wait(wait)
        return len(self._ready)

    def _wait(self, wait: float) -> list[tuple[int, int]]:
        """Sleep until a descriptor is ready; short waits are exact to the microsecond, which epoll's ms are not."""
        if 0 < wait < _COARSE:
            with suppress(ValueError):  # select(2) takes descriptors below 1024 only
                select.select([self._epoll.fileno()], [], [], wait)
                wait = 0  # select has waited: only collect the events
        return self._epoll.poll(wait)

    def _lost_a_slice(self, before: int, now: int) -> None:
        soon_again = now - self._no_spin_before < _LONG_CALM
        if soon_again or before - self._last_slice < _SOON:
            self._calm = min(2 * self._calm, _LONG_CALM) if soon_again else _SHORT_CALM
            self._no_spin_before = now + self._calm
        self._last_slice = now

    def descriptor(self, number: int) -> int:
        """A descriptor that the last `poll` found ready."""
        return self._ready[number][0]

    def events(self, number: int) -> int:
        """The events that are ready on it."""
        return self._ready[number][1]

    def close(self) -> None:
        """Close the set."""
        self._epoll.close()


class _DatagramBursts:
    """Interface between a link and its socket. A base class, so that compiled code calls its methods in C."""

    joined = 0
    """Number of datagrams that the last `receive` returned as whole cells of the peer."""
    error = 0
    """The errno of the last `receive` or `send` that failed in part; 0 when the last call met no error."""

    def receive(self, most: int) -> list[Received]:
        """Read the datagrams that wait, in at most `most` reads; leave the errno of the last failed read in `error`."""
        raise NotImplementedError

    def send(self, cells: bytes, at: int, size: int, datagram: int) -> int:
        """Send cells from octet `at` on, `size` octets in each system call; the kernel cuts them into datagrams.

        Returns the offset that was reached, and leaves the errno that stopped the burst in `error`.
        """
        raise NotImplementedError


if TYPE_CHECKING:
    DatagramBursts = _DatagramBursts
else:
    try:
        from atmdepot.net._bursts import DatagramBursts
    except ImportError:
        DatagramBursts = _DatagramBursts


class _Datagrams(DatagramBursts):
    """Bursts of a UDP socket to and from its peer."""

    def __init__(self, descriptor: int, family: int, peer: tuple[str, int]) -> None:
        """Use a socket that the caller owns; `peer` has an address, no host name."""
        self._socket = socket.socket(family, socket.SOCK_DGRAM, fileno=descriptor)
        self._buffer = memoryview(bytearray(65_536))
        self._overflow = 0  # drops that the socket reported last
        self.interface = 0  # number of the interface that the peer's datagrams come by; 0: any, -1: no interface fits
        self.answer(peer)

    def answer(self, peer: tuple[str, int]) -> None:
        """Send to this address from now on, and take datagrams from it for the peer's."""
        self._to = peer
        self.peer = peer[:2]  # without the flow information and scope of an IPv6 address

    def receive(self, most: int) -> list[Received]:
        """Read the datagrams that wait."""
        received: list[Received] = []
        self.error = self.joined = 0
        for _ in range(most):
            try:
                length, ancillary, _, address = self._socket.recvmsg_into([self._buffer], _ANCILLARY)
            except BlockingIOError:
                break
            except OSError as error:  # an ICMP error for a datagram sent before
                self.error = error.errno or 0
                continue
            received.append(self._item(bytes(self._buffer[:length]), ancillary, address[:2]))
        return received

    def _item(self, octets: bytes, ancillary: list[tuple[int, int, bytes]], sender: tuple[str, int]) -> Received:
        segment, overflow, interface = _read_ancillary(ancillary)
        segment = segment or len(octets)  # not joined: a single datagram
        is_there = not self.interface or interface == self.interface
        if (sender == self.peer and is_there and octets and len(octets) % CELL_SIZE == 0 and segment % CELL_SIZE == 0
                and overflow in (-1, self._overflow)):
            self.joined += -(-len(octets) // segment)
            return octets
        if overflow >= 0:
            self._overflow = overflow
        if not is_there:
            return octets, segment, overflow, (*sender, interface)
        return octets, segment, overflow, None if sender == self.peer else sender

    def send(self, cells: bytes, at: int, size: int, datagram: int) -> int:
        """Send cells, with UDP_SEGMENT where a system call takes more than a datagram."""
        self.error = 0
        while at < len(cells):
            chunk = cells[at:at + size]
            try:
                if len(chunk) > datagram:
                    self._socket.sendmsg([chunk], [(_SOL_UDP, _UDP_SEGMENT, _U16.pack(datagram))], 0, self._to)
                else:
                    self._socket.sendto(chunk, self._to)
            except OSError as error:
                self.error = error.errno or 0
                break
            at += len(chunk)
        return at

    def __del__(self) -> None:
        self._socket.detach()  # the descriptor is the link's to close


class _FrameBursts:
    """Bursts of a packet socket that the caller owns, as records: the length of a frame (4 octets), and the frame.

    `error` is the errno that ended the last burst; 0 when nothing more waits, or all is sent.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error = 0

    def receive(self, most: int) -> list[bytes]:
        """Read the frames that wait, at most `most`, each as a record."""
        found: list[bytes] = []
        self.error = 0
        try:
            while len(found) < most:
                frame = os.read(self._descriptor, _FRAME_ROOM)
                found.append(len(frame).to_bytes(LENGTH_SIZE, "big") + frame)
        except BlockingIOError:
            pass
        except OSError as error:
            self.error = error.errno or 0
        return found

    def send(self, records: bytes, at: int) -> int:
        """Send the frames of records from octet `at` on; return the offset of the first that was not sent.

        `error` then says why. Raises ValueError for records that are cut.
        """
        view, self.error = memoryview(records), 0
        while at < len(records):
            begin = at + LENGTH_SIZE
            end = begin + int.from_bytes(records[at:begin], "big")
            if max(begin, end) > len(records):
                raise ValueError("the records end within a frame")
            try:
                os.write(self._descriptor, view[begin:end])
            except OSError as error:
                self.error = error.errno or 0
                break
            at = end
        return at


def _read_ancillary(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int, int]:
    """Size of the joined datagrams, or 0; count of the socket's drops, or -1; number of the interface, or 0."""
    segment, overflow, interface = 0, -1, 0
    for level, kind, data in ancillary:
        if level == _SOL_UDP and kind == _UDP_GRO and len(data) >= _INT.size:
            segment = _INT.unpack_from(data)[0]
        elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL and len(data) >= _U32.size:
            overflow = _U32.unpack_from(data)[0]
        elif (at := _PKTINFO.get((level, kind))) is not None and len(data) >= at + _INT.size:
            interface = _INT.unpack_from(data, at)[0]
    return segment, overflow, interface


if TYPE_CHECKING:
    read_packets, write_packets, Datagrams, Poller = _read_packets, _write_packets, _Datagrams, _Poller
    FrameBursts = _FrameBursts
else:
    try:
        from atmdepot.net._bursts import Datagrams, FrameBursts, Poller, read_packets, write_packets
    except ImportError:
        read_packets, write_packets, Datagrams, Poller = _read_packets, _write_packets, _Datagrams, _Poller
        FrameBursts = _FrameBursts
