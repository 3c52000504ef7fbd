"""Scheduling of a daemon: it shares its processor with the senders and receivers of packets."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress
from struct import Struct

SLICE = 100_000
"""The slice that a daemon asks for (ns), the least that the kernel grants."""
_SCHED_ATTR = Struct("IIQiIQQQ")
"""size, policy, flags, nice, priority, runtime, deadline, period (sched_setattr(2)). Since Linux 6.12 the runtime of a
process without real-time priority is its slice; on older kernels it has no meaning."""
_PR_SET_TIMERSLACK = 29
_SYSTEM_CALLS = {"x86_64": 314, "aarch64": 274, "riscv64": 274}


def interrupt_nobody() -> None:
    """Have the kernel let a sender of packets finish its burst before it wakes this process.

    Then more packets come at once (SCHED_BATCH). With a short slice our turn comes sooner afterwards, and a yield costs
    no more than that slice. A policy that the operator has chosen with `chrt` stays.
    """
    if os.sched_getscheduler(0) != os.SCHED_OTHER:  # the operator chose a policy
        return
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        _ask_for_a_slice(SLICE)


def wake_up_on_time() -> None:
    """Set this thread's timer slack to the least: by default timers may be 50 us late, which is a cell at 20 kcps."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def _ask_for_a_slice(length: int) -> None:
    """Ask for slices of `length` ns by the system call's number, if known here: Python has no wrapper."""
    number = _SYSTEM_CALLS.get(platform.machine())
    if number is not None:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_BATCH, 0, nice, 0, length, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)  # best effort: the kernel may refuse
