"""A port of Ethernet frames: a packet socket (AF_PACKET) on an interface, with virtio headers (PACKET_VNET_HDR).

With these headers the kernel hands over, and takes, TCP frames of up to 64 KB with their checksums still to be made, as
a TUN device with offloads does. The socket sees a frame before the kernel's own stack does; `host_parts` has the kernel
drop what the depot takes. Its octets are the records of `wire/frame_records`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from struct import Struct
from typing import TYPE_CHECKING

from pyroute2 import IPRoute

from atmdepot.drops import DropReason
from atmdepot.errors import EnvironmentLacks
from atmdepot.net.bursts import FrameBursts
from atmdepot.net.line_link import PortLink
from atmdepot.net.packet_filter import program
from atmdepot.net.sockets import grow_buffers
from atmdepot.wire.frame_records import LENGTH_SIZE, records

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from atmdepot.bearer.ethernet_port import EthernetPort

_SOL_PACKET = 263
_STATISTICS, _VNET_HDR, _IGNORE_OUTGOING = 6, 15, 23
_ATTACH_FILTER = 26
_ALL_PROTOCOLS = 0x0003
_BUFFER = 8 * 2**20
_MOST_WAITING = 512
"""Frames that wait for room in the socket's buffer; the last are lost."""
_FLUSHED = 32
"""Frames that are tried together when there is room again; the descriptor stays ready while there is more."""
_COUNTS = Struct("=II")
_DOWN = {errno.ENETDOWN: "it is down", errno.ENXIO: "it is gone", errno.ENODEV: "it is gone"}
_FULL = (errno.EAGAIN, errno.ENOBUFS)
_GLANCE = 1_000_000_000


class PacketPort(PortLink):
    """An interface, for the stations of a bearer's port. Sends and receives never block and never raise."""

    def __init__(self, port: EthernetPort, sources: Iterable[str], moving: Container[bytes] = ()) -> None:
        """Open the interface of the port's name; raise EnvironmentLacks with the reason when that fails.

        `sources` are the networks from which packets are taken. `moving` are addresses, in octets, that the interface
        may have, but not as its own: a question by one of them would tell the servers that this depot is active.
        """
        self.port = port
        self._waiting: list[bytes] = []
        self.last_error = ""
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            self._bursts = FrameBursts(self._socket.fileno())
        except OSError as error:
            raise EnvironmentLacks(f"port {port.name}: {error.strerror}; a packet socket takes CAP_NET_RAW: run as "
                                   "root or in a lab") from None
        try:
            self._socket.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
            self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
            self._attach(program(sources))
            grow_buffers(self._socket, _BUFFER)
            self._socket.bind((port.name, _ALL_PROTOCOLS))
            mac, addresses, mtu = _interface(port.name)
            port.opened(mac, [address for address in addresses if address not in moving], mtu)
        except (OSError, ValueError) as error:
            self._socket.close()
            reason = error.strerror if isinstance(error, OSError) else error
            raise EnvironmentLacks(f"port {port.name}: {reason}; `ip link` has the interfaces of this host") from None

    def take_from(self, sources: Iterable[str]) -> None:
        """Take packets from other networks from now on; raise EnvironmentLacks, and change nothing, if it cannot be."""
        try:
            self._attach(program(sources))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise EnvironmentLacks(f"port {self.port.name}: {reason}") from None

    def _attach(self, filter_: bytes) -> None:
        code = ctypes.create_string_buffer(filter_)
        self._socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER,
                                Struct("@HP").pack(len(filter_) // 8, ctypes.addressof(code)))

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    # Sending.

    def send(self, octets: bytes, now: int) -> None:
        """Send the frames of records; those for which there is no room wait, and then are lost."""
        del now
        at = 0 if self._waiting else self._write(octets)
        if at < len(octets):
            for frame in records(octets[at:]):
                self._wait(frame)

    def _write(self, octets: bytes) -> int:
        """Write the frames of records; return the offset of the first that has to wait for room, or their length.

        A frame that the system refuses is counted, and the next one tried.
        """
        at = 0
        while (at := self._bursts.send(octets, at)) < len(octets) and self._bursts.error not in _FULL:
            begin = at + LENGTH_SIZE
            at = begin + int.from_bytes(octets[at:begin], "big")
            self._failed(self._bursts.error)
            self.port.drops.count(DropReason.FRAME_REFUSED, 1, octets[begin:at])
        return at

    def _wait(self, frame: bytes) -> None:
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(frame)
        else:
            self.port.drops.count(DropReason.FRAME_REFUSED, 1, frame)

    def _failed(self, error: int) -> None:
        self.last_error = os.strerror(error)
        if error in _DOWN:
            self.port.trouble = f"port {self.port.name}: {_DOWN[error]}"

    def wants_write(self) -> bool:
        """True while frames wait for room."""
        return bool(self._waiting)

    def flush(self) -> None:
        """Send the frames that wait."""
        some = self._waiting[:_FLUSHED]
        octets = b"".join(len(frame).to_bytes(LENGTH_SIZE, "big") + frame for frame in some)
        self._waiting[:len(some)] = records(octets[self._write(octets):])

    # Receiving.

    def receive_burst(self, most: int) -> list[bytes]:
        """The frames that wait, at most `most`, each as a record."""
        found: list[bytes] = self._bursts.receive(most)
        if self._bursts.error:
            self._failed(self._bursts.error)
        if self.port.trouble and found:
            self.port.trouble = ""
        if len(found) != 1:  # a socket whose buffer was full has more than one
            self._count_losses()
        return found

    def _count_losses(self) -> None:
        """Count the frames that the kernel dropped since the last look, for want of room."""
        _, lost = _COUNTS.unpack(self._socket.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size))
        if lost:
            self.port.drops.count(DropReason.FRAME_OVERFLOW, lost)

    def error(self) -> str:
        """The last error of the kernel's."""
        return self.last_error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _interface(name: str) -> tuple[bytes, list[bytes], int]:
    """An interface's MAC address, its IP addresses in octets, and its MTU."""
    with IPRoute() as ip:
        index = socket.if_nametoindex(name)
        link = dict(ip.get_links(index)[0]["attrs"])
        addresses = [dict(entry["attrs"]) for entry in ip.get_addr(index=index)]
    packed = [_packed(entry.get("IFA_LOCAL") or entry["IFA_ADDRESS"]) for entry in addresses]
    # A link-local address asks no less well, but another comes first.
    packed.sort(key=lambda address: len(address) == 16 and address[0] == 0xFE)
    return bytes.fromhex(link["IFLA_ADDRESS"].replace(":", "")), packed, link["IFLA_MTU"]


def _packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
