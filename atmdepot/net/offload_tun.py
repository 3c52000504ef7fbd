"""A TUN device with offloads (IFF_VNET_HDR): it moves TCP segments by the frame, up to 64 KB a system call.

Its bursts have the same packets as without offloads; see `wire/offload`.
"""

from __future__ import annotations

import fcntl
import os
from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.net.frames import read_frames, write_frames
from atmdepot.net.tun import Tun, TunGone, refusal
from atmdepot.wire.offload import HEADER_LENGTH, cut, cut_plainly

if TYPE_CHECKING:
    from atmdepot.wire.offload import Frame

_TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454D0, 0x400454D8
_IFF_VNET_HDR = 0x4000
_INT = Struct("i")

CSUM, TSO4, TSO6, TSO_ECN = 1, 2, 4, 8
# The kernel refuses a set with an offload that it does not know: try smaller sets in turn.
_OFFLOADS = (CSUM | TSO4 | TSO6 | TSO_ECN, CSUM | TSO4 | TSO6, CSUM, 0)


class OffloadTun(Tun):
    """A TUN device of the kernel with offloads; the kernel removes it when it is closed."""

    def __init__(self, name: str, *, whole: bool = True) -> None:
        """Make the device or take up an existing device; raise EnvironmentLacks with the reason when that fails.

        `whole` has bursts keep frames of several packets as they are (`offload.Frame`), where that is compiled.
        """
        super().__init__(name, _IFF_VNET_HDR)
        try:
            fcntl.ioctl(self._fd, _TUNSETVNETHDRSZ, _INT.pack(HEADER_LENGTH))
        except OSError as error:
            os.close(self._fd)
            raise refusal(name, error) from None
        self.offloads = _set_offloads(self._fd)
        """The offloads that the kernel leaves to us: CSUM, TSO4, TSO6, TSO_ECN."""
        self.whole = whole

    def read_burst(self, most: int) -> list[bytes | Frame]:
        """Read the packets that wait, at most `most` and the rest of a frame; raise TunGone as `Tun` does.

        Malformed frames are left in `malformed`.
        """
        packets, self.malformed, error = read_frames(self._fd, most, self.whole)
        if error and not packets and not self.malformed:  # else frames came first: the next read meets the error again
            raise TunGone(error, f"the TUN device is gone: {os.strerror(error)}")
        return packets

    def write_burst(self, packets: list[bytes | Frame]) -> list[bytes]:
        """Write packets, many in a frame where they allow it; return the packets that the kernel refused."""
        return write_frames(self._fd, packets)


def open_tun(name: str) -> Tun:
    """The faster TUN device: to cut a frame in plain Python takes longer than to read its packets."""
    return Tun(name) if cut is cut_plainly else OffloadTun(name)


def _set_offloads(descriptor: int) -> int:
    """Take over as many offloads as this kernel can leave to us."""
    for offloads in _OFFLOADS:
        try:
            fcntl.ioctl(descriptor, _TUNSETOFFLOAD, offloads)
        except OSError:
            continue
        return offloads
    return 0
