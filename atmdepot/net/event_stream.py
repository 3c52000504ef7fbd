"""Events over the control socket: a line of JSON about the node, then each event as it comes, a line each.

The first line is `{"following": {"node", "network", "kind", "boot", "last"}}`; a client that comes back asks for what
is `after` the last number that it had in that `boot`. `{"missed": N}` stands for events that are kept no longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import trio
from msgspec import Meta

from atmdepot.errors import AtmdepotError
from atmdepot.net.stream import is_shut_down

if TYPE_CHECKING:
    from atmdepot.net.pump import Pump

MAX_FOLLOWERS = 16
_GLANCE = 0.1  # s between looks for new events
_PATIENCE = 30.0
"""The daemon hangs up on a follower that reads nothing for this long (s)."""


class EventsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request for the events `after` a number, of those only the `last`; with `follow` also for those to come.

    The number is of a `boot`; if the daemon was started since, all of its events are newer.
    """

    after: Annotated[int, Meta(ge=0)] = 0
    boot: int | None = None
    last: Annotated[int, Meta(ge=0)] | None = None
    follow: bool = True


class Followers:
    """The clients that follow a node's events; a bounded number."""

    def __init__(self) -> None:
        self.open: list[trio.SocketStream] = []

    async def stream(self, stream: trio.SocketStream, pump: Pump, request: EventsRequest) -> None:
        """Send events until the client shuts its side down. Raises AtmdepotError when too many follow already."""
        if len(self.open) >= MAX_FOLLOWERS:
            raise AtmdepotError(f"{MAX_FOLLOWERS} clients follow the events of {pump.node.name} already: end one")
        self.open.append(stream)
        try:
            await _stream(stream, pump, request)
        finally:
            self.open.remove(stream)


async def _stream(stream: trio.SocketStream, pump: Pump, request: EventsRequest) -> None:
    node, events = pump.node, pump.events
    await _send(stream, {"following": {
        "node": node.name, "network": node.network.name, "kind": node.network.nodes[node.name].kind,
        "boot": events.boot, "last": events.last}})
    sent = request.after if request.boot in (None, events.boot) else 0
    if request.last is not None:
        sent = max(sent, events.last - request.last)
    while True:
        if (last := events.last) > sent:
            found = list(events.after(sent))
            missed = last - sent - len(found)
            await _send(stream, *([{"missed": missed}] if missed > 0 else []), *found)
            sent = max(last, found[-1].id) if found else last
        if not request.follow or is_shut_down(stream):
            return
        await trio.sleep(_GLANCE)


async def _send(stream: trio.SocketStream, *lines: Any) -> None:
    with trio.fail_after(_PATIENCE):
        await stream.send_all(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
