"""Reading and writing in bursts: what there is of it in plain Python, and the choice of the compiled twin.

`_bursts.pyx` has the same functions, which make the system calls of a burst in one go.
"""

from __future__ import annotations

import errno
import os

_MAX_PACKET = 65535 + 64


def read_packets(descriptor: int, most: int) -> tuple[list[bytes], int]:
    """Read packets, one a system call, until there is none or `most` are there.

    Returns them, and the errno that ended it; 0 when it was `most` or that there is no more now. An empty read is the
    end of what stands in for a device: EBADFD, as of a device that is gone.
    """
    packets: list[bytes] = []
    try:
        while len(packets) < most:
            packet = os.read(descriptor, _MAX_PACKET)
            if not packet:
                return packets, errno.EBADFD
            packets.append(packet)
    except BlockingIOError:
        pass
    except OSError as error:
        return packets, error.errno or 0
    return packets, 0


def write_packets(descriptor: int, packets: list[bytes]) -> list[bytes]:
    """Write packets, one a system call; those that were refused come back."""
    refused = []
    for packet in packets:
        try:
            os.write(descriptor, packet)
        except OSError:
            refused.append(packet)
    return refused
