"""A TUN device that takes and gives TCP segments by the frame (IFF_VNET_HDR): up to 64 KB a system call.

What comes out of it, and what goes in, are the packets that would pass without; see `wire/offload`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from struct import Struct

from atmdepot.net.tun import Tun, TunGone, refusal
from atmdepot.wire.ip import MalformedPacket
from atmdepot.wire.offload import HEADER_LENGTH, coalesce, cut, cut_plainly

_TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454D0, 0x400454D8
_IFF_VNET_HDR = 0x4000
_INT = Struct("i")

CSUM, TSO4, TSO6, TSO_ECN = 1, 2, 4, 8
_OFFLOADS = (CSUM | TSO4 | TSO6 | TSO_ECN, CSUM | TSO4 | TSO6, CSUM, 0)
MAX_FRAME = HEADER_LENGTH + 40 + 65535


class OffloadTun(Tun):
    """A TUN device of the kernel with offloads; it goes when it is closed."""

    def __init__(self, name: str) -> None:
        """Make the device or take up an existing one; raise EnvironmentLacks with the reason when that fails."""
        super().__init__(name, _IFF_VNET_HDR)
        try:
            fcntl.ioctl(self._fd, _TUNSETVNETHDRSZ, _INT.pack(HEADER_LENGTH))
        except OSError as error:
            os.close(self._fd)
            raise refusal(name, error) from None
        self.offloads = _set_offloads(self._fd)
        """What the kernel leaves to us: CSUM, TSO4, TSO6, TSO_ECN."""
        self._buffer = bytearray(MAX_FRAME)

    def read_burst(self, most: int) -> list[bytes]:
        """The packets that are there, at most so many and the rest of a frame; raise TunGone as `Tun` does.

        Frames that hold none are left in `malformed`.
        """
        packets, self.malformed, error = read_frames(self._fd, most, self._buffer)
        if error and not packets and not self.malformed:
            raise TunGone(error, f"the TUN device is gone: {os.strerror(error)}")
        return packets

    def write_burst(self, packets: list[bytes]) -> list[bytes]:
        """Hand over packets, many at once where they allow it; those that the kernel refuses come back."""
        return write_frames(self._fd, packets)


def open_tun(name: str) -> Tun:
    """The TUN device that is the fastest here: to cut a frame in plain Python takes longer than to read its packets."""
    return Tun(name) if cut is cut_plainly else OffloadTun(name)


def _set_offloads(descriptor: int) -> int:
    """Take over as much as this kernel can leave to us."""
    for offloads in _OFFLOADS:
        try:
            fcntl.ioctl(descriptor, _TUNSETOFFLOAD, offloads)
        except OSError:
            continue
        return offloads
    return 0


def read_frames_plainly(descriptor: int, most: int, buffer: bytearray) -> tuple[list[bytes], list[bytes], int]:
    """Read frames, one a system call, until there is none or they made `most` packets.

    Returns the packets, the malformed frames, and the errno that ended it (see `bursts.read_packets`).
    """
    packets: list[bytes] = []
    malformed: list[bytes] = []
    view = memoryview(buffer)
    while len(packets) + len(malformed) < most:
        try:
            length = os.readv(descriptor, [buffer])
        except BlockingIOError:
            return packets, malformed, 0
        except OSError as error:
            if error.errno != errno.EINVAL:
                return packets, malformed, error.errno or 0
            malformed.append(b"")  # a frame of a kind that the kernel itself cannot describe to us
            continue
        if not length:
            return packets, malformed, errno.EBADFD
        try:
            packets += cut(view[:length])
        except MalformedPacket:
            malformed.append(bytes(view[HEADER_LENGTH:length]))
    return packets, malformed, 0


def write_frames_plainly(descriptor: int, packets: list[bytes]) -> list[bytes]:
    """Write packets, a frame of them a system call; those that were refused come back."""
    refused: list[bytes] = []
    at = 0
    for frame, count in coalesce(packets):
        if not _write(descriptor, frame):
            refused += [packet for packet in packets[at:at + count]
                        if count == 1 or not _write(descriptor, bytes(HEADER_LENGTH) + packet)]
        at += count
    return refused


def _write(descriptor: int, frame: bytes) -> bool:
    try:
        os.write(descriptor, frame)
    except OSError:
        return False
    return True


try:
    from atmdepot.net._offload_tun import read_frames as read_frames
    from atmdepot.net._offload_tun import write_frames as write_frames
except ImportError:
    read_frames, write_frames = read_frames_plainly, write_frames_plainly
