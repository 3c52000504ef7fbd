"""The pages of a daemon over HTTP: `/metrics`, `/healthz` and `/readyz`.

A slow, frequent or faulty client costs little: connections, the size of a request and its time are bounded, each
connection has a single request, and all clients within a fraction of a second get the same page of metrics.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import h11
import trio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

from atmdepot.net.metrics import Metrics
from atmdepot.net.readiness import ROLES, not_in_role, not_ready
from atmdepot.net.serving import MAX_CONNECTIONS, BoundedServer
from atmdepot.net.slices import Pace
from atmdepot.net.sockets import listen

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.units import TcpAddress
    from atmdepot.net.pump import Pump

_MAX_REQUEST = 8192
_PATIENCE = 5.0
_FRESH = 250_000_000
"""Age (ns) up to which a page of metrics serves further clients."""

_TEXT = "text/plain; charset=utf-8"
_Answer = tuple[int, str, bytes]


class StatusServer(BoundedServer):
    """Serves the pages of a pump's node."""

    def __init__(self, address: TcpAddress, pump: Pump) -> None:
        """Bind the address; raise EnvironmentLacks when it is not available."""
        self._pump = pump
        self._metrics_of_node = Metrics(pump)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._page, self._made_at = b"", -_FRESH  # stale from the start
        self._making = trio.Lock()
        super().__init__()
        self._pages: dict[bytes, Callable[[bytes], _Answer]] = {
            b"/metrics": self._metrics, b"/healthz": self._healthz, b"/readyz": self._readyz}
        self._bound = listen(address, MAX_CONNECTIONS, "the metrics page",
                             "give another address with --metrics or in the VC table")

    async def run(self) -> None:
        """Answer until cancelled."""
        await self.serve(self._bound, self._serve)

    def close(self) -> None:
        """Close the socket."""
        self._bound.close()

    async def _serve(self, stream: trio.SocketStream) -> None:
        """Serve a connection with a single request. When there are too many, the newest evicts the oldest."""
        async with stream:
            with self.connection(), trio.move_on_after(_PATIENCE), suppress(
                    trio.BrokenResourceError, trio.ClosedResourceError):
                await self._converse(stream)

    async def _converse(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_REQUEST)
        head_only = False
        try:
            request = await _next_request(http, stream)
            if request is None:
                return
            head_only = request.method == b"HEAD"
            if _page_of(request) == b"/metrics":
                await self._freshen()
            status, kind, body = self._answer(request)
        except h11.RemoteProtocolError as error:
            status, kind, body = error.error_status_hint, _TEXT, f"{error}\n".encode()
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")]
        head = http.send(h11.Response(status_code=status, headers=headers)) or b""
        await stream.send_all(head if head_only else head + body)

    def _answer(self, request: h11.Request) -> _Answer:
        page = self._pages.get(_page_of(request))
        if page is None:
            return 404, _TEXT, b"there are " + b", ".join(self._pages) + b"\n"
        if request.method not in (b"GET", b"HEAD"):
            return 405, _TEXT, b"only GET and HEAD\n"
        return page(request.target.partition(b"?")[2])

    async def _freshen(self) -> None:
        """Renew the page of metrics unless it is fresh, in slices between bursts; other clients wait meanwhile."""
        async with self._making:  # clients that waited here find a fresh page
            now = self._pump.clock()
            if now - self._made_at < _FRESH:
                return
            pace = Pace(self._pump.clock)
            pieces = []
            for piece in self._metrics_of_node.text():
                pieces.append(piece)
                if pace.is_over():
                    await pace.rest()
            pieces.append(generate_latest(self._registry))
            self._page, self._made_at = b"".join(pieces), now

    def _metrics(self, _: bytes) -> _Answer:
        return 200, CONTENT_TYPE_LATEST, self._page

    def _healthz(self, _: bytes) -> _Answer:
        """Answer: that alone shows that the loop runs, which also moves the cells."""
        return 200, _TEXT, b"alive\n"

    def _readyz(self, query: bytes) -> _Answer:
        asked = parse_qs(query.decode("ascii", "replace")).get("role", [""])[-1]
        if asked and asked not in ROLES:
            return 400, _TEXT, f"write role={' or role='.join(ROLES)}\n".encode()
        reason = not_in_role(self._pump, asked) if asked else not_ready(self._pump)
        return (503, _TEXT, f"{reason}\n".encode()) if reason else (200, _TEXT, b"ready\n")


def _page_of(request: h11.Request) -> bytes:
    return request.target.partition(b"?")[0]


async def _next_request(http: h11.Connection, stream: trio.SocketStream) -> h11.Request | None:
    """The request's head; None when the client hangs up before it. A body has no use here and stays unread."""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some(_MAX_REQUEST))
        elif isinstance(event, h11.Request):
            return event
        else:
            return None
