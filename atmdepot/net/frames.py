"""Bursts of frames of a TUN device with offloads: the plain Python, and the choice between it and its twins.

Where `_frames.pyx` is compiled, its twins replace the functions here.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from atmdepot.wire.ip import MalformedPacket
from atmdepot.wire.offload import HEADER_LENGTH, Frame, coalesce, cut, packets_of

MAX_FRAME = HEADER_LENGTH + 40 + 65535  # virtio header, IPv6 header, longest payload
_buffer = bytearray(MAX_FRAME)


def read_frames_plainly(
    descriptor: int, most: int, whole: bool = False,  # noqa: ARG001  # of the compiled twin
) -> tuple[list[bytes | Frame], list[bytes], int]:
    """Read frames, a system call for each, until no frame waits or `most` packets are read.

    Returns the packets, the malformed frames, and the errno that ended the burst (see `bursts.read_packets`). With
    `whole` the compiled twin gives a `Frame` in place of its packets; this function cuts all frames.
    """
    packets: list[bytes | Frame] = []
    malformed: list[bytes] = []
    view = memoryview(_buffer)
    while len(packets) + len(malformed) < most:
        try:
            length = os.readv(descriptor, [_buffer])
        except BlockingIOError:
            return packets, malformed, 0
        except OSError as error:
            if error.errno != errno.EINVAL:
                return packets, malformed, error.errno or 0
            malformed.append(b"")  # the kernel has no virtio header for this kind of frame
            continue
        if not length:
            return packets, malformed, errno.EBADFD
        try:
            packets += cut(view[:length])
        except MalformedPacket:
            malformed.append(bytes(view[HEADER_LENGTH:length]))
    return packets, malformed, 0


def write_frames_plainly(descriptor: int, burst: list[bytes | Frame]) -> list[bytes]:
    """Write packets, a system call for each frame of them; return the packets that the kernel refused."""
    packets, refused = packets_of(burst), []
    at = 0
    for frame, count in coalesce(packets):
        if not _write(descriptor, frame):  # packet by packet: a refusal of the frame need not lose them all
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


if TYPE_CHECKING:
    read_frames, write_frames = read_frames_plainly, write_frames_plainly
else:
    try:
        from atmdepot.net._frames import read_frames, write_frames
    except ImportError:
        read_frames, write_frames = read_frames_plainly, write_frames_plainly
