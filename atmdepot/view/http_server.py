"""HTTP for the page: Hypercorn on connections that are bounded in number, and in the patience with which they are held.

Hypercorn's own listener takes any number of connections, and waits for ever for a browser that reads nothing. Here the
newest connection takes the place of the oldest, beside streams of ticks, which have a bound of their own.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from atmdepot.net.serving import BoundedServer

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

log = logging.getLogger("atmdepot.view")
log.setLevel(logging.WARNING)

MOST_CONNECTIONS = 96
HEAD_TIME = 5
"""Seconds for the head of a request, and between two requests."""
PATIENCE = 5.0
"""Seconds for a browser to take what is sent to it."""
MOST_HEAD = 16 * 1024
"""Octets of a request's line and headers."""
_SILENT = 60.0  # s between two warnings
STAYS = "stays"
"""In the state of a request: a function that exempts its connection from the bound."""


class PageServer(BoundedServer):
    """Serves an application, which bounds the connections that it exempts itself."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(MOST_CONNECTIONS)
        self._told_at = -math.inf
        self._app = ASGIWrapper(app)
        self._config = Config()
        self._config.accesslog = None
        self._config.errorlog = log
        self._config.include_server_header = False
        self._config.keep_alive_timeout = HEAD_TIME
        self._config.h11_max_incomplete_size = MOST_HEAD

    async def run(self, bound: socket.socket) -> None:
        """Serve what comes to a listening socket, until cancelled."""
        await self.serve(bound, self._answer)

    async def _answer(self, stream: trio.SocketStream) -> None:
        async with stream:
            with self.connection() as scope:
                state = ConnectionState({STAYS: partial(self.exempt, scope)})
                try:
                    await TCPServer(self._app, self._config, WorkerContext(None), state, _Impatient(stream))
                except Exception as error:  # a connection ends no other
                    self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Log a fault on a connection, at most once a minute: what comes over one may be meant to fill the log."""
        if trio.current_time() - self._told_at > _SILENT:
            self._told_at = trio.current_time()
            log.warning("a connection to the page was disconnected: %r", error)


class _Impatient:
    """A stream that breaks when its far end takes nothing of what is sent."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.socket = stream.socket
        self.receive_some, self.send_eof, self.aclose = stream.receive_some, stream.send_eof, stream.aclose
        self._stream = stream

    async def send_all(self, octets: Any) -> None:
        """Send octets; raise BrokenResourceError when they are not taken in time."""
        try:
            with trio.fail_after(PATIENCE):
                await self._stream.send_all(octets)
        except trio.TooSlowError:
            raise trio.BrokenResourceError("the far end takes nothing") from None
