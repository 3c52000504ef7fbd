"""Bursts of frames, of a TUN device that takes and gives segments by the frame: the plain Python, and which runs.

Where `_frames.pyx` is compiled, its twins are taken.
"""

from __future__ import annotations

import errno
import os

from atmdepot.wire.ip import MalformedPacket
from atmdepot.wire.offload import HEADER_LENGTH, coalesce, cut

MAX_FRAME = HEADER_LENGTH + 40 + 65535


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
    from atmdepot.net._frames import read_frames as read_frames
    from atmdepot.net._frames import write_frames as write_frames
except ImportError:
    read_frames, write_frames = read_frames_plainly, write_frames_plainly
