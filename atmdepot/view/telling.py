"""Ticks for browsers, as server-sent events: first those of the last minute, then each as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import trio
from starlette.responses import Response

from atmdepot.view.http_server import STAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.types import Receive, Scope, Send

    from atmdepot.view.ticks import Tick

MOST_READERS = 16
_BEHIND = 20
"""Ticks that wait for a browser at most; a slower one misses some."""
_ENCODER = msgspec.json.Encoder()


class Teller:
    """Tells all browsers the ticks; `history` gives those of the last minute."""

    def __init__(self, history: Callable[[], Iterable[Tick]]) -> None:
        self.history = history
        self.readers: set[trio.MemorySendChannel[bytes]] = set()
        self._all_left = trio.Event()

    @property
    def is_full(self) -> bool:
        """True when no further browser is told."""
        return len(self.readers) >= MOST_READERS

    async def end(self) -> None:
        """Tell all browsers that the view ends, and wait until they have heard it."""
        for reader in self.readers.copy():
            reader.close()
        if self.readers:
            await self._all_left.wait()

    def leave(self, reader: trio.MemorySendChannel[bytes]) -> None:
        """Forget a browser."""
        self.readers.discard(reader)
        reader.close()
        if not self.readers:
            self._all_left.set()
            self._all_left = trio.Event()

    def tell(self, tick: Tick) -> None:
        """Give a tick to all; a browser that is too slow misses it."""
        told = _event("tick", tick)
        for reader in self.readers:
            try:
                reader.send_nowait(told)
            except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                continue


class TickStream(Response):
    """The answer to a browser that wants to be told; it ends when the browser hangs up."""

    media_type = "text/event-stream"

    def __init__(self, teller: Teller, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self._teller = teller
        del self.headers["content-length"]  # it has no end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        if (stays := scope.get("state", {}).get(STAYS)) is not None:
            stays()
        sender, receiver = trio.open_memory_channel[bytes](_BEHIND)
        self._teller.readers.add(sender)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_at_the_end, receive, nursery.cancel_scope)
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await _send(send, _event("history", list(self._teller.history())))
                async for told in receiver:
                    await _send(send, told)
                await _send(send, _event("end", None))
                nursery.cancel_scope.cancel()
        finally:
            self._teller.leave(sender)


async def _send(send: Send, octets: bytes) -> None:
    await send({"type": "http.response.body", "body": octets, "more_body": True})


async def _cancel_at_the_end(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _event(name: str, what: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _ENCODER.encode(what))
