"""A depot's side of its guard (`net/guard.py`): starts it, gives it the beat, and hears what it tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

import trio

from atmdepot.net import guard

_BEATS = 4
"""Beats within the time after which a depot hangs: 50 ms for 200 ms."""
_END = 4.0
"""Seconds that a guard has to end; its engine has 2.5."""


class Guarding:
    """A guard that runs."""

    def __init__(self, limit: float = 0.0, program: list[str] | None = None, file: str = "",
                 addresses: list[tuple[str, str, int]] | None = None) -> None:
        """Start a guard; see `guard.Plan`.

        It is started from the loop's thread: its death signal is for the end of the thread that started it.
        """
        plan = guard.Plan(os.getpid(), limit, program or [], file, addresses or [])
        self._limit = limit
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, plan.text()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin
        self._output = trio.lowlevel.FdStream(os.dup(self._process.stdout.fileno()))
        self._process.stdout.close()
        self._told = b""
        os.set_blocking(self._input.fileno(), False)

    @property
    def pid(self) -> int:
        """The guard's process."""
        return self._process.pid

    def say(self, line: str = "") -> None:
        """Give it a line; no line is a beat. One that hangs itself is not waited for."""
        with suppress(OSError):
            os.write(self._input.fileno(), f"{line}\n".encode())

    async def beat(self) -> None:
        """Give it the beat until cancelled, by a task in the loop that moves the packets: so it hangs with the loop."""
        while self._limit:
            self.say()
            await trio.sleep(self._limit / _BEATS)

    async def told(self) -> dict[str, Any] | None:
        """The next message; None when it has ended."""
        while b"\n" not in self._told:
            octets = await self._output.receive_some(65536)
            if not octets:
                return None
            self._told += octets
        line, _, self._told = self._told.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    async def end(self) -> None:
        """Have it give everything up, and wait until it has."""
        with trio.CancelScope(shield=True):
            with suppress(OSError):
                self._input.close()
            with trio.move_on_after(_END):
                while await self.told() is not None:
                    pass
            await self._output.aclose()
            self._process.kill()
            self._process.wait()
