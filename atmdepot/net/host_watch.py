"""A watch over the host's set-up: it hears the kernel's events about routes, rules, addresses and links.

An event that may concern us only leads to a check of all parts, a moment later, when related events have come. So a
storm of events costs no more than a few checks a second. An overflow of the socket (ENOBUFS) loses no change: it leads
to a check, too.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING

import trio

from atmdepot.net.netlink import events_in, open_events

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from atmdepot.net.host import HostSetup

_MOMENT = 0.05
"""Related events follow an event within this time (s)."""
_REST = 0.1
"""Pause between two reads of the socket (s)."""
_ANYWAY = 30.0
"""Interval of the checks without events (s): the kernel does not announce each route that goes with its interface."""
_SOON = 2.0
"""The interval while a part is missing (s)."""
_EVENTS_AT_ONCE = 256
_LARGEST = 65_536
MOST_A_MINUTE = 30
_MINUTE = 60.0

log = logging.getLogger("atmdepot")


class Moderation:
    """A bound on restorations: a program that removes the set-up again and again is not fought for ever.

    Times are seconds of a monotonic clock.
    """

    def __init__(self, most: int = MOST_A_MINUTE) -> None:
        self._times: deque[float] = deque(maxlen=most)

    def note(self, now: float) -> None:
        """Note that a check found a part lost."""
        self._times.append(now)

    def pause(self, now: float) -> float:
        """Seconds to leave the set-up alone: a minute when the last minute had too many restorations, else 0."""
        if len(self._times) < (self._times.maxlen or 0) or self._times[0] + _MINUTE <= now:
            return 0.0
        self._times.clear()  # count anew after the pause
        return _MINUTE


class HostWatch:
    """Keeps a node's set-up on this host in order."""

    def __init__(self, setup: HostSetup, listen: Callable[[], socket.socket] = open_events) -> None:
        self._setup = setup
        self._listen = listen
        self._moderation = Moderation()
        self._rivals: set[str] = set()
        self._overflowed = False
        self._failed = ""

    async def run(self) -> None:
        """Watch until cancelled."""
        if not self._setup.is_wanted:
            return
        try:
            heard = self._listen()
        except OSError as error:
            log.error("the kernel's routing events cannot be heard: %s; routes are checked every %d s",
                      error.strerror, _ANYWAY)
            while True:
                await trio.sleep(_ANYWAY)
                await self.check()
        with closing(heard):
            while True:
                await self.check()  # at first, too: a part may have been lost before `listen`
                await self._wait(heard)

    async def _wait(self, heard: socket.socket) -> None:
        """Wait until an event concerns us, or until the next check is due."""
        with trio.move_on_after(_SOON if self._setup.missing else _ANYWAY):
            while True:
                await trio.sleep(_REST)  # before each read: a storm of foreign events costs few wake-ups
                await trio.lowlevel.wait_readable(heard)
                if self._hear(heard):
                    break
            await trio.sleep(_MOMENT)
            self._hear(heard)

    def _hear(self, heard: socket.socket) -> bool:
        """Note the events that have come; return True when they concern us."""
        concerned = False
        for _ in range(_EVENTS_AT_ONCE):
            try:
                octets = heard.recv(_LARGEST)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: the socket lost events
                self._overflowed = concerned = True
                continue
            for event in events_in(octets):
                if self._setup.concerns(event):
                    concerned = True
                    self._rivals |= self._setup.rivals(event)
        return concerned

    async def check(self) -> None:
        """Check all parts, with the data path running in between; pause first after too many restorations."""
        pause = self._moderation.pause(trio.current_time())
        if pause:
            self._setup.missing = {"the set-up": "it is taken away again and again"}
            log.error("what is set up on this host was taken away %d times within a minute; it is set up again in "
                      "%.0f s", MOST_A_MINUTE, pause)
            await trio.sleep(pause)
        rivals, self._rivals = self._rivals, set()
        unseen, self._overflowed = self._overflowed or pause > 0, False
        restored = False
        try:
            for text in self._setup.check(rivals, unseen=unseen):
                restored = restored or bool(text)
                await trio.lowlevel.checkpoint()
        except OSError as error:  # no descriptor is free to ask the kernel: the next check looks at all of it
            self._overflowed = True
            self._setup.missing = self._setup.missing | {"a look at the set-up": error.strerror or str(error)}
            self._log_once(error)
        else:
            self._failed = ""
        if restored:
            self._moderation.note(trio.current_time())

    def _log_once(self, error: OSError) -> None:
        if str(error) != self._failed:
            self._failed = str(error)
            log.error("what is set up on this host cannot be looked at: %s", error.strerror or error)
