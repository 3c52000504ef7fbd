"""The TUN device: bursts of IP packets to and from the kernel, a system call for each packet."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.errors import EnvironmentLacks
from atmdepot.net import bursts
from atmdepot.wire.offload import packets_of

if TYPE_CHECKING:
    from atmdepot.wire.offload import Frame

TUN_DEVICE = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_TAP, _IFF_NO_PI = 0x0001, 0x0002, 0x1000
_IFREQ = Struct("16sH22x")
_DEVICES = Path("/proc/net/dev")
_TX_DROP = 11  # field of /proc/net/dev: "drop" of Transmit


class TunGone(OSError):
    """The device was removed while the daemon used it."""


class PacketDevice:
    """Interface between the pump and a TUN device or its replacement.

    A base class, so that compiled code calls it in C.
    """

    def __init__(self) -> None:
        self.malformed: list[bytes] = []
        """Malformed frames of the last burst: their headers contradict them."""
        self.whole = False
        """Bursts have frames of several packets (`offload.Frame`), and it takes them in one write."""

    def fileno(self) -> int:
        """The descriptor to wait on."""
        raise NotImplementedError

    def read_burst(self, most: int) -> list[bytes | Frame]:
        """Read the packets that wait, at most `most`; raise TunGone when there is no device and no packet."""
        raise NotImplementedError

    def write_burst(self, packets: list[bytes | Frame]) -> list[bytes]:
        """Write packets; return the packets that were refused."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the device."""
        raise NotImplementedError


class NoDevice(PacketDevice):
    """The device of a node without packets: it never has any, and refuses all."""

    def __init__(self) -> None:
        PacketDevice.__init__(self)
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)  # a descriptor that is never readable

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def read_burst(self, most: int) -> list[bytes | Frame]:
        """No packets."""
        return []

    def write_burst(self, packets: list[bytes | Frame]) -> list[bytes]:
        """Refuse the packets."""
        return list(packets_of(packets))

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


class Tun(PacketDevice):
    """A TUN device of the kernel; the kernel removes it when it is closed."""

    kind = "TUN"
    _flag = _IFF_TUN

    def __init__(self, name: str, flags: int = 0) -> None:
        """Make the device or take up an existing device; raise EnvironmentLacks with the reason when that fails."""
        PacketDevice.__init__(self)
        self.name = name
        try:
            self._fd = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentLacks(f"{TUN_DEVICE}: {error.strerror}; run as root or in a lab, and see "
                                   "`atmdepot doctor`") from None
        try:
            fcntl.ioctl(self._fd, _TUNSETIFF, _IFREQ.pack(name.encode(), self._flag | _IFF_NO_PI | flags))
        except OSError as error:
            os.close(self._fd)
            raise refusal(name, error, self.kind) from None

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def read_burst(self, most: int) -> list[bytes | Frame]:
        """Read the packets that wait, at most `most`; raise TunGone when there is no device and no packet."""
        packets: list[bytes | Frame]
        packets, error = bursts.read_packets(self._fd, most)  # type: ignore[assignment]  # a list of its own
        if error and not packets:  # else packets came first: the next read meets the error again
            raise TunGone(error, f"the TUN device is gone: {os.strerror(error)}")
        return packets

    def write_burst(self, packets: list[bytes | Frame]) -> list[bytes]:
        """Write packets, each by itself; return the packets that the kernel refused."""
        return bursts.write_packets(self._fd, packets_of(packets))

    def queue_drops(self) -> int:
        """Packets that the kernel dropped because the device's queue was full; 0 where it has no count."""
        try:
            lines = _DEVICES.read_text().splitlines()
        except OSError:
            return 0
        fields = next((line.split(":", 1)[1].split() for line in lines if line.strip().startswith(f"{self.name}:")), [])
        return int(fields[_TX_DROP]) if len(fields) > _TX_DROP else 0

    def close(self) -> None:
        """Close the device; the kernel removes it. Packets written to it from now on are refused."""
        # The kernel gives the number of a closed descriptor to the next socket: packets must not go there.
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            os.close(descriptor)


class Tap(Tun):
    """A TAP device of the kernel, whose packets are Ethernet frames."""

    kind = "TAP"
    _flag = _IFF_TAP


def refusal(name: str, error: OSError, kind: str = "TUN") -> EnvironmentLacks:
    """An error about the kernel's refusal of a device, with a hint."""
    hint = {errno.EBUSY: "another process has it", errno.EPERM: "it takes CAP_NET_ADMIN: run as root or in a lab"}.get(
        error.errno or 0, "see `atmdepot doctor`")
    return EnvironmentLacks(f"{kind} device {name}: {error.strerror}; {hint}")


class SocketTun(PacketDevice):
    """A replacement for a TUN device: a pair of sockets; the pump uses the inner, the caller the outer.

    Replay and tests send packets through it, so that all parts but the device are real.
    """

    def __init__(self) -> None:
        PacketDevice.__init__(self)
        # SOCK_SEQPACKET keeps the packets' bounds, and its reads show that the other end is closed.
        self._inner, self.outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._inner, self.outer):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 2**20)

    def fileno(self) -> int:
        """The pump's descriptor."""
        return self._inner.fileno()

    def read_burst(self, most: int) -> list[bytes | Frame]:
        """Read the packets that wait, at most `most`; raise TunGone when there are none and the other end is closed."""
        packets: list[bytes | Frame]
        packets, error = bursts.read_packets(self._inner.fileno(), most)  # type: ignore[assignment]  # as above
        if error and not packets:
            raise TunGone(error, "the other end is closed")
        return packets

    def write_burst(self, packets: list[bytes | Frame]) -> list[bytes]:
        """Write packets; return the packets for which the buffer had no room."""
        return bursts.write_packets(self._inner.fileno(), packets_of(packets))

    def close(self) -> None:
        """Close both ends."""
        self._inner.close()
        self.outer.close()
