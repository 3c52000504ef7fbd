"""Daemons interrupt nobody, unless they are told how to run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from atmdepot.net import scheduling

# In a process of its own, since a policy cannot always be given back: policy, nice value and slice (sched_getattr(2)).
CODE = """
import ctypes
import os
from atmdepot.net import scheduling
scheduling.interrupt_nobody()
room = ctypes.create_string_buffer(scheduling._SCHED_ATTR.size)
number = scheduling._SYSTEM_CALLS.get(os.uname().machine, 313) + 1
ctypes.CDLL(None).syscall(number, 0, room, len(room), 0)
_, policy, _, nice, _, runtime, _, _ = scheduling._SCHED_ATTR.unpack(room)
print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0), policy, nice, runtime)
"""
HAS_SLICES = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (6, 12)


def ways(*before: str) -> list[int]:
    """Policy and nice value, by two calls each, and the slice."""
    done = subprocess.run([*before, sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize(("chosen", "after"), [
    ([], os.SCHED_BATCH), (["chrt", "--idle", "0"], os.SCHED_IDLE), (["chrt", "--batch", "0"], os.SCHED_BATCH)],
    ids=["nothing", "idle", "batch"])
def test_a_daemon_interrupts_nobody_unless_it_is_told_how_to_run(chosen: list[str], after: int) -> None:
    assert ways(*chosen)[0] == after


@pytest.mark.skipif(not HAS_SLICES or platform.machine() not in scheduling._SYSTEM_CALLS, reason="no slices here")
def test_its_slices_are_short_and_its_nice_value_stays() -> None:
    nicer = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)  # the tests themselves may run under nice
    assert ways("nice", "-n", "5") == [os.SCHED_BATCH, nicer, os.SCHED_BATCH, nicer, scheduling.SLICE]
    chosen = ways("chrt", "--batch", "0")
    assert chosen[0] == os.SCHED_BATCH
    assert chosen[-1] > scheduling.SLICE, "what was chosen stays"


def test_a_machine_whose_calls_are_unknown_does_without_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling.platform, "machine", lambda: "abacus")
    monkeypatch.setattr(scheduling.ctypes, "CDLL", None)
    scheduling._ask_for_a_slice(scheduling.SLICE)


def test_a_kernel_that_refuses_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(scheduling.os, "sched_getscheduler", lambda _: os.SCHED_OTHER)
    monkeypatch.setattr(scheduling.os, "sched_setscheduler", refuse)
    scheduling.interrupt_nobody()
