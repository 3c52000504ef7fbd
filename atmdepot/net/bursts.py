"""Waiting for bursts, reading and writing them: the plain Python. Where `_bursts.pyx` is compiled, its twins are taken.

Nothing here blocks, and nothing raises for what the system says: errors are numbers (errno).
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

_MAX_PACKET = 65535 + 64
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_RXQ_OVFL = 40
_PKTINFO = {(socket.IPPROTO_IP, 8): 0, (socket.IPPROTO_IPV6, 50): 16}
"""Where the number of the interface stands in IP_PKTINFO (ip(7)) and IPV6_PKTINFO (RFC 3542 section 6)."""
_SLICE, _SOON, _SHORT_CALM, _LONG_CALM = 1_000_000, 20_000_000, 100_000_000, 1_000_000_000
_COARSE = 0.02
"""Waits of so many seconds, or more, may be a millisecond late."""
_U16, _INT, _U32 = Struct("=H"), Struct("=i"), Struct("=I")
_ANCILLARY = socket.CMSG_SPACE(_INT.size) + socket.CMSG_SPACE(_U32.size) + socket.CMSG_SPACE(20)

Sender = tuple[str, int] | tuple[str, int, int]
"""An address and a port; and the number of the interface, if it is not the peer's (0: not known)."""
Received = bytes | tuple[bytes, int, int, Sender | None]
"""The peer's whole cells, as nearly all are; or of what is anything else:
octets; the size of the datagrams in them (all but the last have it); how many datagrams the socket has dropped so
far, -1 if it does not say; the sender, if it is not the peer on its interface."""


def _read_packets(descriptor: int, most: int) -> tuple[list[bytes], int]:
    """Read packets, one a system call, until there is none or `most` are there.

    Returns them, and the errno that ended it; 0 when it was `most` or that there is no more now. An empty read is the
    end of what stands in for a device: EBADFD, as of a device that is gone.
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
    """Write packets, one a system call; those that were refused come back."""
    refused = []
    for packet in packets:
        try:
            os.write(descriptor, packet)
        except OSError:
            refused.append(packet)
    return refused


class _Poller:
    """An epoll set that is waited for with patience first, and then asleep."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._no_spin_before = 0
        self._calm = _SHORT_CALM
        self._last_slice = -_LONG_CALM
        self._ready: list[tuple[int, int]] = []

    def fileno(self) -> int:
        """The set's own descriptor, which can be read when something in the set is ready."""
        return self._epoll.fileno()

    def watch(self, descriptor: int, events: int) -> None:
        """Look at a descriptor, or look at it for other events than so far (EPOLLIN, EPOLLOUT)."""
        try:
            self._epoll.register(descriptor, events)
        except FileExistsError:
            self._epoll.modify(descriptor, events)

    def now(self) -> int:
        """The time by which it waits (CLOCK_MONOTONIC, ns)."""
        return time.monotonic_ns()

    def poll(self, wait: float, spin: int) -> int:
        """How many descriptors are ready; none after `wait` seconds.

        Until the next call, `descriptor` and `events` tell of them by number.

        For the first `spin` ns it asks again and again, and lets whoever else wants this processor have it in between.
        A processor that has gone to sleep takes longer to wake up than a packet takes to be handled. But whoever sleeps
        gets a busy processor back sooner than who gave it away: when another has used a whole slice of time (1 ms), and
        has done so once more within 20 ms (the system itself takes as much now and then), there is no spinning for
        0.1 s; where it comes again within a second after that, for twice as long, up to a second.
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
        """Sleep until something is ready, to the microsecond where that makes a difference: epoll knows only ms."""
        if 0 < wait < _COARSE:
            with suppress(ValueError):  # select(2) takes descriptors below 1024 only
                select.select([self._epoll.fileno()], [], [], wait)
                wait = 0
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
        """What it is ready for."""
        return self._ready[number][1]

    def close(self) -> None:
        """Give the set up."""
        self._epoll.close()


class _DatagramBursts:
    """What a link needs of its socket: a class to be derived from, so that compiled code calls it in C."""

    joined = 0
    """Of the last `receive`, how many datagrams there were in what is the peer's and whole cells."""

    def receive(self, most: int) -> tuple[list[Received], int]:
        """What is there, of at most `most` reads; and the errno of the last that failed, or 0."""
        raise NotImplementedError

    def send(self, cells: bytes, at: int, size: int, datagram: int) -> tuple[int, int]:
        """Send cells from octet `at` on, with a system call for each `size` octets, cut by the kernel into datagrams.

        Returns how far it came, and the errno that ended it; 0 when all is sent.
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
    """A UDP socket's bursts, to and from one peer."""

    def __init__(self, descriptor: int, family: int, peer: tuple[str, int]) -> None:
        """Use a socket that somebody else owns, for a peer by its address (no name)."""
        self._socket = socket.socket(family, socket.SOCK_DGRAM, fileno=descriptor)
        self._buffer = memoryview(bytearray(65_536))
        self._overflow = 0  # how many datagrams the socket had dropped when it last said so
        self.interface = 0  # the number of that by which the peer's datagrams come; 0 for any, -1 for none
        self.answer(peer)

    def answer(self, peer: tuple[str, int]) -> None:
        """Send to this address from now on, and take what comes from it for the peer's."""
        self._to = peer
        self.peer = peer[:2]

    def receive(self, most: int) -> tuple[list[Received], int]:
        """What is there."""
        received: list[Received] = []
        failure = self.joined = 0
        for _ in range(most):
            try:
                length, ancillary, _, address = self._socket.recvmsg_into([self._buffer], _ANCILLARY)
            except BlockingIOError:
                break
            except OSError as error:  # an ICMP error for something sent before
                failure = error.errno or 0
                continue
            received.append(self._item(bytes(self._buffer[:length]), ancillary, address[:2]))
        return received, failure

    def _item(self, octets: bytes, ancillary: list[tuple[int, int, bytes]], sender: tuple[str, int]) -> Received:
        segment, overflow, interface = _read_ancillary(ancillary)
        segment = segment or len(octets)
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

    def send(self, cells: bytes, at: int, size: int, datagram: int) -> tuple[int, int]:
        """Send cells."""
        while at < len(cells):
            chunk = cells[at:at + size]
            try:
                if len(chunk) > datagram:
                    self._socket.sendmsg([chunk], [(_SOL_UDP, _UDP_SEGMENT, _U16.pack(datagram))], 0, self._to)
                else:
                    self._socket.sendto(chunk, self._to)
            except OSError as error:
                return at, error.errno or 0
            at += len(chunk)
        return at, 0

    def __del__(self) -> None:
        self._socket.detach()


def _read_ancillary(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int, int]:
    """The size of joined datagrams, or 0; how many the socket has dropped, or -1; the interface, or 0."""
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
else:
    try:
        from atmdepot.net._bursts import Datagrams, Poller, read_packets, write_packets
    except ImportError:
        read_packets, write_packets, Datagrams, Poller = _read_packets, _write_packets, _Datagrams, _Poller
