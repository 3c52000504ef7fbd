"""Counts of the kernel's for a cgroup: system calls, context switches and page faults, by perf_event_open(2).

The counts are exact, also of processes that have ended meanwhile, which sums over /proc are not.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from contextlib import ExitStack
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Self

from atmdepot.bench.accounting import processors
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KINDS = CALLS, SWITCHES, FAULTS = "calls", "switches", "faults"
_NUMBERS = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "s390x": 331, "ppc64le": 319, "i686": 336, "armv7l": 364}
"""The number of perf_event_open by machine; libc has no function for it."""

_SOFTWARE, _TRACEPOINT = 1, 2
_SOFTWARE_EVENTS = {SWITCHES: 3, FAULTS: 2}
_OF_A_CGROUP, _CLOEXEC = 1 << 2, 1 << 3
# The first version of perf_event_attr: type, size, config, period, sample_type, read_format, flags, wakeup_events,
# bp_type, config1.
_ATTRIBUTES = Struct("=IIQQQQQIIQ")
_COUNT = Struct("=Q")
_EVENT = "events/raw_syscalls/sys_enter/id"
_TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_ONLINE = Path("/sys/devices/system/cpu/online")
# Mounted where only this shell sees it: the machine stays as it is.
_LOOK = ("unshare", "--mount", "sh", "-c", f"mount -t tracefs tracefs {_TRACEFS[0]} && cat {_TRACEFS[0]}/{_EVENT}")
_PATIENCE = 10


class NoCounts(AtmdepotError):
    """A count that the kernel refuses, and why."""


def events(wanted: Iterable[str] = KINDS) -> dict[str, tuple[int, int] | str]:
    """The events of these kinds, each as perf's type and number, or as the reason why it cannot be had."""
    return {kind: _event(kind) for kind in wanted}


def _event(kind: str) -> tuple[int, int] | str:
    if kind != CALLS:
        return _SOFTWARE, _SOFTWARE_EVENTS[kind]
    identity = _tracepoint()
    if identity is None:
        return f"tracefs is neither at {_TRACEFS[0]} nor can it be mounted"
    return _TRACEPOINT, identity


def _tracepoint() -> int | None:
    """The number of raw_syscalls:sys_enter, if tracefs can be read."""
    for root in _TRACEFS:
        try:
            return int((root / _EVENT).read_text())
        except (OSError, ValueError):
            continue
    try:
        return int(subprocess.run(_LOOK, capture_output=True, text=True, check=False, timeout=_PATIENCE).stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


class Counters:
    """Events of a cgroup, counted on each processor within `with`."""

    def __init__(self, cgroup: Path, events: dict[str, tuple[int, int]]) -> None:
        self._cgroup, self._events = cgroup, events
        self._fds: dict[str, list[int]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open them; raise NoCounts where the kernel refuses."""
        with ExitStack() as stack:
            group = os.open(self._cgroup, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, group)
            online = processors(_ONLINE.read_text())
            for name, event in self._events.items():
                self._fds[name] = list(_open(stack, event, group, online))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self._stack.close()

    def read(self) -> dict[str, int]:
        """Each event's count until now."""
        return {name: sum(_COUNT.unpack(os.read(fd, _COUNT.size))[0] for fd in fds) for name, fds in self._fds.items()}


def _open(stack: ExitStack, event: tuple[int, int], group: int, online: list[int]) -> Iterator[int]:
    for processor in online:
        fd = _perf_event_open(event, group, processor)
        stack.callback(os.close, fd)
        yield fd


def _perf_event_open(event: tuple[int, int], group: int, processor: int) -> int:
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise NoCounts(f"the number of perf_event_open is not known for {platform.machine()}")
    kind, config = event
    attributes = _ATTRIBUTES.pack(kind, _ATTRIBUTES.size, config, 0, 0, 0, 0, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(ctypes.c_long(number), ctypes.c_char_p(attributes), ctypes.c_int(group), ctypes.c_int(processor),
                      ctypes.c_int(-1), ctypes.c_ulong(_OF_A_CGROUP | _CLOEXEC))
    if fd < 0:
        raise NoCounts(f"perf_event_open: {os.strerror(ctypes.get_errno())}")
    return int(fd)
