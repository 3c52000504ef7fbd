"""The loop of a daemon: the data path is the host, trio its guest.

A round of trio's own loop costs more than a whole burst, and a packet should not wait for it. So the process waits on
the pump's epoll set, and handles bursts at once. trio runs the tasks that move no packets (control socket, probes,
reports, metrics). It waits for its descriptors in a thread of its own (guest mode). When a descriptor is ready, the
thread wakes this loop, which calls trio between two bursts. All other code runs in the loop's thread.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import outcome

    from atmdepot.net.pump import Pump


class Steps(trio.abc.Instrument):
    """The longest step of a task in the last call of trio's loop."""

    def __init__(self) -> None:
        self._began = self._longest = 0
        self._name = ""

    def begin(self) -> None:
        """Begin a call."""
        self._longest, self._name = 0, ""

    def longest(self) -> str:
        """The name of the task with the longest step; of trio itself if no task took a step."""
        return self._name or "its own loop"

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note the start of a task's step."""
        self._began = time.monotonic_ns()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note the end of a task's step: it waits again, or has ended."""
        took = time.monotonic_ns() - self._began
        if took > self._longest:
            self._longest, self._name = took, task.name


class HostLoop:
    """Runs a pump and, as its guest, trio."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._calls: deque[Callable[[], object]] = deque()
        # trio's thread writes to it to wake the loop.
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._result: outcome.Outcome[Any] | None = None
        self._failure: BaseException | None = None
        self._failed = trio.Event()
        self._tell_trio: Callable[[], None] = lambda: None
        self._steps = Steps()
        pump.watchdog.task_of = self._steps.longest

    def run(self, main: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
        """Run until `main` has returned; return its result, or raise its exception."""
        try:
            self._pump.watch(self._wake, self._woken)
            trio.lowlevel.start_guest_run(
                main, *arguments, run_sync_soon_threadsafe=self._call_soon, done_callback=self._done,
                instruments=[self._steps])
            wait = 0.0
            while self._result is None:
                wait = self._turn(wait)
        finally:
            os.close(self._wake)
        return self._result.unwrap()

    def _turn(self, wait: float) -> float:
        """Take a turn of the pump; `data_path` raises its failure, so that the tasks end in order."""
        try:
            return self._pump.turn(wait)
        except BaseException as error:
            if self._failure is not None:  # it fails again while the tasks end: do not loop for ever
                raise
            self._failure = error
            self._tell_trio()
            return 0.0  # let trio's tasks run at once

    def _call_soon(self, call: Callable[[], object]) -> None:
        # May run in trio's thread; appending to a deque is atomic.
        self._calls.append(call)
        os.eventfd_write(self._wake, 1)

    def _woken(self, _: int) -> None:
        os.eventfd_read(self._wake)
        self._steps.begin()
        for _ in range(len(self._calls)):  # not the calls that these calls queue: bursts come between
            self._calls.popleft()()

    def _done(self, result: outcome.Outcome[Any]) -> None:
        self._result = result

    async def data_path(self) -> None:
        """Start the pump in this loop, not in trio's, and wait here; raise the failure of the data path."""
        token = trio.lowlevel.current_trio_token()
        self._tell_trio = lambda: token.run_sync_soon(self._failed.set)
        self._pump.start()
        if self._failure is None:
            await self._failed.wait()
        assert self._failure is not None
        raise self._failure
