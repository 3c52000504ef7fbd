"""The octets that cross a port of Ethernet frames: a record for each frame, one behind the other.

::

    length of what follows (4) | virtio_net_hdr (10) | frame without FCS

The virtio_net_hdr is that of the kernel's packet sockets (PACKET_VNET_HDR): its offsets count from the frame's first
octet. A frame may hold the data of many TCP segments, and its checksum may have to be completed (`wire/offload`).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from atmdepot.wire.ethernet import HEADER_SIZE
from atmdepot.wire.offload import HEADER_LENGTH, NEEDS_CSUM, VirtioNetHeader

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH_SIZE = 4
BEFORE_PACKET = HEADER_LENGTH + HEADER_SIZE
"""Octets in a record, behind its length, in front of the frame's payload."""
TAGGED = HEADER_SIZE - 1
"""Octets of a frame that the port's filter has cut, since it has a VLAN tag: no frame is as short by itself."""
NO_WORK = bytes(HEADER_LENGTH)
"""The virtio_net_hdr of a frame on which no work is left."""
_VIRTIO_NET_HDR = Struct("=BBHHHH")


def record_of(frame: bytes) -> bytes:
    """The record of a frame that is complete."""
    return (HEADER_LENGTH + len(frame)).to_bytes(LENGTH_SIZE, "big") + NO_WORK + frame


def records(octets: bytes) -> Iterator[bytes]:
    """The records in octets, each without its length."""
    at = 0
    while at < len(octets):
        end = at + LENGTH_SIZE + int.from_bytes(octets[at:at + LENGTH_SIZE], "big")
        yield octets[at + LENGTH_SIZE:end]
        at = end


def moved(header: bytes, octets: int) -> bytes:
    """A virtio_net_hdr whose offsets count from so many octets earlier (or, negative, later)."""
    flags, kind, length, size, start, offset = _VIRTIO_NET_HDR.unpack(header)
    if flags & NEEDS_CSUM:
        start = max(0, start + octets)
    # A hint only: a kernel may say less than the headers have.
    length = max(0, length + octets) if kind else 0
    return VirtioNetHeader(flags, kind, length, size, start, offset).pack()
