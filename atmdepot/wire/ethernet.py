"""Ethernet frames (IEEE 802.3) as bridged encapsulations carry them: header, padding, FCS, MAC addresses.

::

    destination 6 | source 6 | EtherType 2 | payload | padding up to 60 octets | FCS 4
"""

from __future__ import annotations

import zlib
from hashlib import blake2b
from typing import NamedTuple

HEADER_SIZE = 14
FCS_SIZE = 4
LEAST_FRAME = 60
"""Octets of the shortest frame on a LAN, without its FCS."""
BROADCAST = b"\xff" * 6
MAC_SIZE = 6
_GROUP, _LOCAL = 0x01, 0x02


class FrameError(ValueError):
    """Octets that are shorter than the header of a frame."""


class Frame(NamedTuple):
    """A frame without FCS; its payload may end in padding."""

    destination: bytes
    source: bytes
    ethertype: int
    payload: bytes

    def pack(self) -> bytes:
        """The frame's octets, without padding."""
        return self.destination + self.source + self.ethertype.to_bytes(2, "big") + self.payload


def parse_frame(octets: bytes) -> Frame:
    """Read a frame without FCS; raise FrameError."""
    if len(octets) < HEADER_SIZE:
        raise FrameError(f"a frame of {len(octets)} octets is shorter than its header")
    return Frame(octets[:6], octets[6:12], int.from_bytes(octets[12:14], "big"), octets[HEADER_SIZE:])


def is_group(mac: bytes) -> bool:
    """True for the address of a group of stations, broadcast included."""
    return bool(mac[0] & _GROUP)


def with_fcs(frame: bytes) -> bytes:
    """The frame, padded to the shortest frame of a LAN, and its FCS: the CRC-32 of IEEE 802.3, section 3.2.9."""
    padded = frame.ljust(LEAST_FRAME, b"\0")
    return padded + zlib.crc32(padded).to_bytes(FCS_SIZE, "little")


def fcs_holds(octets: bytes) -> bool:
    """True when the last four octets are the FCS of all that stand before them."""
    return len(octets) >= FCS_SIZE and zlib.crc32(octets[:-FCS_SIZE]).to_bytes(FCS_SIZE, "little") == octets[-4:]


def mac_of(*names: str) -> bytes:
    """A locally administered MAC address that is always the same for the same names."""
    digest = blake2b("\0".join(names).encode(), digest_size=MAC_SIZE).digest()
    return bytes(((digest[0] & ~_GROUP) | _LOCAL,)) + digest[1:]


def mac_text(mac: bytes) -> str:
    """A MAC address as people write it."""
    return mac.hex(":")
