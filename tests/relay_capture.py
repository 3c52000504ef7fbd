"""A capture of Frame Relay frames for tshark: pcap's link type 107."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FRELAY = 107


def write_frames(path: Path, frames: Iterable[bytes]) -> Path:
    """Write a capture of frames, a millisecond apart."""
    head = pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _FRELAY)
    path.write_bytes(head + b"".join(
        pack(">IIII", 0, 1000 * number, len(frame), len(frame)) + frame for number, frame in enumerate(frames)))
    return path
