"""Memory for bursts, which a daemon keeps between them."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
"""Options of mallopt(3)."""
_MOST_KEPT = 64 * 2**20
_GROWS_BY = 4 * 2**20
# Blocks from this size on get a mapping of their own, which free returns to the kernel.
_OWN_MAPPING = 32 * 2**20
"""The greatest value that glibc accepts."""


def keep_the_heap() -> bool:
    """Have malloc keep freed memory for the next burst; False where the C library has no mallopt (musl).

    A burst allocates some hundreds of kB in blocks of up to 64 KB and frees them all. By default glibc then returns the
    pages to the kernel, and the next burst pays a page fault for each. At most 64 MB of free memory is kept.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_TRIM_THRESHOLD, _MOST_KEPT), (_M_MMAP_THRESHOLD, _OWN_MAPPING), (_M_TOP_PAD, _GROWS_BY))
    taken = [mallopt(option, value) for option, value in settings]
    return all(taken)
