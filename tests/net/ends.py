"""Helpers of the tests of `net`: loopback addresses of this run, plain sockets, numbered cells."""

from __future__ import annotations

import itertools
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any

from atmdepot.config.units import UdpAddress
from atmdepot.drops import Drops
from atmdepot.net import bursts
from atmdepot.net.udp_link import UdpLink
from atmdepot.wire.cell import CELL_SIZE, CellHeader

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 20.0
UDP_SEGMENT, UDP_GRO = 103, 104
_numbers = itertools.count()


def fresh() -> UdpAddress:
    """A UDP address that no other process has: 127.0.0.0/8 is this machine, and the PID is part of the address."""
    high, low = divmod(os.getpid(), 250)
    number, last = divmod(next(_numbers), 250)
    return UdpAddress.of(f"127.{1 + high % 250}.{1 + low}.{1 + last}", 20_000 + number)


def fresh6() -> UdpAddress:
    """A UDP port of ::1 that is free now."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return UdpAddress.of("::1", probe.getsockname()[1])


def pair_of(address: UdpAddress) -> tuple[str, int]:
    return address.host, address.port


def cells_of(count: int, first: int = 0) -> bytes:
    """Whole cells on 1/64 whose payloads are their numbers."""
    header = CellHeader(1, 64).pack()
    return b"".join(header + number.to_bytes(4, "big") * 12 for number in range(first, first + count))


def split(cells: bytes, size: int = CELL_SIZE) -> list[bytes]:
    return [cells[at:at + size] for at in range(0, len(cells), size)]


class Plain:
    """A UDP socket without offloads, like that of Dynamips and most programs."""

    def __init__(self, address: UdpAddress, peer: UdpAddress) -> None:
        self.socket = socket.socket(socket.AF_INET6 if "[" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
        self.socket.bind(pair_of(address))
        self.socket.setblocking(False)
        self.peer = pair_of(peer)

    def send(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.socket.sendto(datagram, self.peer)

    def send_joined(self, octets: bytes, size: int) -> None:
        """Send datagrams of `size` octets by a single system call; a socket with UDP_GRO gets them joined."""
        self.socket.sendmsg([octets], [(socket.SOL_UDP, UDP_SEGMENT, size.to_bytes(2, "little"))], 0, self.peer)

    def receive(self, count: int) -> list[bytes]:
        """Receive `count` datagrams and check that no more follow."""
        got = []
        for _ in range(count):
            wait_readable(self.socket.fileno())
            got.append(self.socket.recv(65_536))
        assert not is_readable(self.socket.fileno()), "there are more datagrams than expected"
        return got

    def drain(self) -> bytes:
        """Receive the octets that have come; on loopback these are all octets sent."""
        got = []
        while is_readable(self.socket.fileno()):
            got.append(self.socket.recv(65_536))
        return b"".join(got)

    def close(self) -> None:
        self.socket.close()


class Ends:
    """Makes links and plain sockets, and closes them all."""

    def __init__(self) -> None:
        self._opened: list[Any] = []

    def link(self, local: UdpAddress, peer: UdpAddress, cells: int = 27) -> UdpLink:
        return self.keep(UdpLink("lnk", local, peer, cells, Drops()))

    def pair(self, cells: int = 27) -> tuple[UdpLink, UdpLink]:
        """Two links that are each other's peers."""
        one, other = fresh(), fresh()
        return self.link(one, other, cells), self.link(other, one, cells)

    def plain_and_link(self, cells: int = 27) -> tuple[Plain, UdpLink]:
        """A link and a plain socket as its peer."""
        one, other = fresh(), fresh()
        return self.plain(one, other), self.link(other, one, cells)

    def plain(self, local: UdpAddress, peer: UdpAddress) -> Plain:
        return self.keep(Plain(local, peer))

    def keep(self, opened: Any) -> Any:
        self._opened.append(opened)
        return opened

    def close(self) -> None:
        for opened in self._opened:
            opened.close()


class Scripted:
    """The socket under a link's plain bursts; a test can refuse its system calls, and the rest are real."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.calls: list[str] = []
        self.refuse: Callable[[str, bytes], OSError | None] = lambda _call, _octets: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def sendmsg(self, buffers: list[bytes], *rest: Any) -> int:
        self._ask("sendmsg", buffers[0])
        return self._real.sendmsg(buffers, *rest)

    def sendto(self, octets: bytes, *rest: Any) -> int:
        self._ask("sendto", octets)
        return self._real.sendto(octets, *rest)

    def recvmsg_into(self, *arguments: Any) -> Any:
        self._ask("recvmsg_into", b"")
        return self._real.recvmsg_into(*arguments)

    def _ask(self, call: str, octets: bytes) -> None:
        self.calls.append(call)
        error = self.refuse(call, octets)
        if error is not None:
            raise error


def scripted_bursts(datagrams: bursts._Datagrams) -> Scripted:
    """Put a script between plain bursts and their socket."""
    script = Scripted(datagrams._socket)
    datagrams._socket = script  # type: ignore[assignment]
    return script


def scripted(link: UdpLink) -> Scripted:
    """Give a link plain bursts, even in the compiled package, and put a script between them and the socket."""
    link._datagrams = bursts._Datagrams(link.fileno(), link._socket.family, link._peer)
    return scripted_bursts(link._datagrams)


class Told(bursts.DatagramBursts):
    """Bursts of a link that return a test's prepared results."""

    def __init__(self, *told: list[bursts.Received]) -> None:
        self._told = list(told)

    def receive(self, _most: int) -> list[bursts.Received]:
        return self._told.pop(0)


class Pipe:
    """A datagram socket of this machine in place of a UDP socket, so that a buffer can be full: loopback's never is.

    Of its two ends, `near` is for bursts: it ignores the addresses and segment sizes that they pass.
    """

    def __init__(self, room: int = 1) -> None:
        """Make a pipe with room for about so many octets; the kernel adds some."""
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.near, self.far):
            end.setblocking(False)
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)

    def drain(self, most: int = 1 << 30) -> list[bytes]:
        """Receive the datagrams that have come, at most `most`."""
        got: list[bytes] = []
        while len(got) < most and is_readable(self.far.fileno()):
            got.append(self.far.recv(70_000))
        return got

    def close(self) -> None:
        self.near.close()
        self.far.close()


def wait_readable(fd: int) -> None:
    assert select.select([fd], [], [], PATIENCE)[0], "nothing came in time"


def is_readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def receive(link: UdpLink) -> bytes:
    """Read the link once and return the octets."""
    wait_readable(link.fileno())
    return b"".join(link.receive_burst(1))


def is_silent(link: UdpLink) -> bool:
    """True when the link has no datagram to read and returns an empty burst."""
    return not is_readable(link.fileno()) and link.receive_burst(16) == []


def receive_all(link: UdpLink, octets: int) -> bytes:
    """Receive a number of octets of cells, in any number of datagrams; check that no more follow."""
    got = b""
    deadline = time.monotonic() + PATIENCE
    while len(got) < octets:
        assert time.monotonic() < deadline
        wait_readable(link.fileno())
        got += b"".join(link.receive_burst(16))
    assert is_silent(link)
    return got
