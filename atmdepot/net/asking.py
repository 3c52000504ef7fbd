"""Connections by which a daemon tries servers: errors that are this host's own, and patience.

A connection that this host could not make is no result. Spare descriptors are kept for the case that the process has no
more.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    T = TypeVar("T")

log = logging.getLogger("atmdepot")

# Errors of this host: it lacks a resource, an address, a permission or a protocol.
_OWN = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EPERM,
        errno.EACCES, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
_LATE = 0.2  # s; a later timer shows that this process stood still


class Failures:
    """Log of connections that could not be made; each kind of error is logged once until a connection is made again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._told: set[int | None] = set()

    def is_own(self, error: OSError, address: str) -> bool:
        """Tell whether an error is of this host, not of the path or the server; log it.

        Over IPv6, Linux reports EACCES for an ICMPv6 error that a filter on the path has sent.
        """
        if error.errno not in _OWN or (error.errno == errno.EACCES and ":" in address):
            return False
        if error.errno not in self._told:
            self._told.add(error.errno)
            log.warning("%s cannot be made: %s; servers keep the condition that they have",
                        self._what, error.strerror or error)
        return True

    def over(self) -> None:
        """Note that a connection could be made."""
        self._told.clear()


class Reserve:
    """Spare descriptors, closed to make room for a socket when the process has no other descriptor."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._spare: list[int] = []
        self._fill()

    @contextmanager
    def room(self, make: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
        """Make a socket, at the cost of a spare descriptor if need be, and close it in the end; raise OSError."""
        try:
            made = make()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._spare:
                raise
            os.close(self._spare.pop())
            made = make()
        try:
            with made as opened:
                yield opened
        finally:
            self._fill()

    def _fill(self) -> None:
        with suppress(OSError):  # no descriptor is free now: the next `room` tries again
            while len(self._spare) < self._count:
                self._spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def close(self) -> None:
        """Close the spare descriptors."""
        self._count = 0
        while self._spare:
            os.close(self._spare.pop())


async def give_up_after(seconds: float, scope: trio.CancelScope) -> None:
    """Cancel a scope after `seconds`.

    If this process itself stood still, the awaited data may lie in its sockets: then it waits again.
    """
    late = True
    while late:
        due = trio.current_time() + seconds
        await trio.sleep_until(due)
        late = trio.current_time() - due > _LATE
    scope.cancel()
