"""Connections to a daemon's own sockets: a bounded number; the newest connection evicts the oldest.

So a silent client takes neither the place of the next clients nor the descriptors that probes need. The page of
`atmdepot view` is served in the same way.
"""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Iterator

log = logging.getLogger("atmdepot")

MAX_CONNECTIONS = 16
# Pauses (s) after a failed accept, which would fail again at once; short when an eviction frees a descriptor.
_REST, _SHORT_REST = 0.1, 0.005
_SILENT = 60.0  # s between two warnings


class BoundedServer:
    """Base of a server on a listening socket: it counts the connections that wait or are served."""

    def __init__(self, most: int = MAX_CONNECTIONS) -> None:
        self._most = most
        self._open: list[trio.CancelScope] = []
        self._fault_told_at = -math.inf

    @contextmanager
    def connection(self) -> Iterator[trio.CancelScope]:
        """Count a connection while it lasts; its scope is cancelled when newer connections need its place."""
        while len(self._open) >= self._most:
            self.give_up_oldest()
        with trio.CancelScope() as scope:
            self._open.append(scope)
            try:
                yield scope
            finally:
                self.exempt(scope)

    def give_up_oldest(self) -> None:
        """Evict the oldest connection, if there is a connection."""
        if self._open:
            self._open.pop(0).cancel()

    def exempt(self, scope: trio.CancelScope) -> None:
        """Stop counting a connection: it is over, or bounded elsewhere."""
        if scope in self._open:
            self._open.remove(scope)

    async def serve(self, bound: socket.socket, answer: Callable[[trio.SocketStream], Awaitable[None]]) -> None:
        """Accept connections until cancelled; `answer` counts each connection. If it raises, only that connection ends.

        When the kernel has no descriptor for the next connection, the oldest is evicted; the log says so at most once a
        minute.
        """
        told_at = -math.inf
        listening = trio.socket.from_stdlib_socket(bound)
        with listening:
            async with trio.open_nursery() as nursery:
                while True:
                    try:
                        accepted, _ = await listening.accept()
                    except OSError as error:
                        if trio.current_time() - told_at > _SILENT:
                            told_at = trio.current_time()
                            log.warning("a connection cannot be taken: %s", error.strerror)
                        await trio.sleep(_SHORT_REST if self._open else _REST)
                        self.give_up_oldest()
                        continue
                    # A task for each connection: a slow client delays no other client.
                    nursery.start_soon(self._answer_alone, answer, trio.SocketStream(accepted))

    async def _answer_alone(
        self, answer: Callable[[trio.SocketStream], Awaitable[None]], stream: trio.SocketStream,
    ) -> None:
        """Serve a connection; a fault is logged, at most once a minute, since anybody may connect."""
        try:
            await answer(stream)
        except Exception:
            stream.socket.close()
            if trio.current_time() - self._fault_told_at > _SILENT:
                self._fault_told_at = trio.current_time()
                log.exception("a connection was hung up on")
