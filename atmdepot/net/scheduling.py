"""How a daemon shares its processor with whoever sends packets and whoever gets them."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress
from struct import Struct

SLICE = 100_000
"""What a daemon asks for at a time (ns), the least that the kernel grants."""
_SCHED_ATTR = Struct("IIQiIQQQ")
"""size, policy, flags, nice, priority, runtime, deadline, period (sched_setattr(2)); since Linux 6.12 the runtime of a
process without real time is its slice, before that it is nothing."""
_PR_SET_TIMERSLACK = 29
_SYSTEM_CALLS = {"x86_64": 314, "aarch64": 274, "riscv64": 274}


def interrupt_nobody() -> None:
    """Have the kernel wait until whoever sends packets has sent them, instead of waking us in the middle of it.

    More packets come at once so (SCHED_BATCH). With a short slice it is our turn the sooner afterwards, and letting
    others run costs no more than that much of it. What somebody has chosen with `chrt` stays.
    """
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        _ask_for_a_slice(SLICE)


def wake_up_on_time() -> None:
    """Set this thread's timer slack to the least: the kernel lets timers be 50 us late, which is a cell at 20 kcps."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def _ask_for_a_slice(length: int) -> None:
    """Have turns of so many ns, where this machine's call for it is known: Python has none."""
    number = _SYSTEM_CALLS.get(platform.machine())
    if number is not None:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_BATCH, 0, nice, 0, length, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)  # refused by a kernel that knows better: no harm is done
