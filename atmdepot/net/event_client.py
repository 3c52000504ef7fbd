"""The client's side of `net/event_stream.py`: the events of all nodes of a network, in one channel, on trio.

A node that ends, or starts later, is no end: its socket is looked for again. The client says itself when a daemon does
not answer any more, since that daemon cannot.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import trio

from atmdepot.decoding import NOT_DECODED
from atmdepot.net.event_log import Event
from atmdepot.options import EVENT_LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOOK = 0.5
_PATIENCE = 10.0
"""Seconds that a node has to tell what it has, where it is not followed."""
_MOST = 1 << 20  # octets of a line


class _Following(msgspec.Struct):
    node: str
    boot: int
    last: int


class _Line(msgspec.Struct):
    following: _Following | None = None
    missed: int = 0
    error: str = ""


_LINES, _EVENTS = msgspec.json.Decoder(_Line), msgspec.json.Decoder(Event)


class Follower:
    """Follows the events of the nodes whose sockets are found, as long as it runs."""

    def __init__(self, sockets: Callable[[], list[Path]], send: trio.MemorySendChannel[Event], *, last: int = 10,
                 follow: bool = True) -> None:
        """Follow what `sockets` finds, now and later; begin with the `last` events of each node."""
        self._sockets, self._send, self._last, self._follow = sockets, send, last, follow
        self._seen: dict[Path, tuple[int, int]] = {}
        """Boot and number of the last event of each node."""
        self.silent: list[str] = []
        """The nodes that have not told what they have; only without `follow`."""
        self.wrong: Counter[str] = Counter()
        """Lines of nodes that were no events, and are left out."""
        self.first_wrong: dict[str, str] = {}
        """The fault of the first such line of each node, which is told as an event, too."""

    async def run(self) -> None:
        """Follow until cancelled; without `follow`, until all nodes have told what they have."""
        at_work: set[Path] = set()
        async with self._send, trio.open_nursery() as nursery:
            while True:
                for path in self._sockets():
                    if path not in at_work:
                        at_work.add(path)
                        nursery.start_soon(self._node, path, at_work)
                if not self._follow:
                    return
                await trio.sleep(_LOOK)

    async def _node(self, path: Path, at_work: set[Path]) -> None:
        """Follow a node until its daemon hangs up."""
        answered = False
        with trio.move_on_after(math.inf if self._follow else _PATIENCE):
            try:
                async with await trio.open_unix_socket(path) as stream:
                    answered = await self._read(path, stream)
            except (OSError, trio.BrokenResourceError):
                pass
        if not (answered or self._follow) and path.stem not in self.wrong:
            self.silent.append(path.stem)
        if answered and self._follow:
            await self._send.send(_said(path, "daemon-gone", "does not answer any more"))
        if self._follow:
            await trio.sleep(_LOOK)
            at_work.discard(path)

    async def _read(self, path: Path, stream: trio.SocketStream) -> bool:
        """Pass a node's events on; True if it told any, or that there are none."""
        boot, seen = self._seen.get(path, (0, 0))
        ask = {"after": seen, "boot": boot} if boot else {"last": self._last}
        await stream.send_all(msgspec.json.encode({"events": ask | {"follow": self._follow}}) + b"\n")
        text, answered = b"", False
        async for part in stream:
            *lines, text = (text + part).split(b"\n")
            for line in lines:
                answered = await self._take(path, line) or answered
            if len(text) > _MOST:
                await self._leave_out(path, f"a line of more than {_MOST:,} octets")
                break
        return answered

    async def _take(self, path: Path, line: bytes) -> bool:
        """Pass a line on; False for one that is none of a daemon's."""
        try:
            told = _LINES.decode(line)
            if told.following is not None:
                self._note(path, told.following)
            elif told.error:
                await self._send.send(_said(path, "refused", told.error))
            elif told.missed:
                await self._send.send(_said(path, "missed", f"{told.missed:,} events are kept no longer"))
            else:
                event = _EVENTS.decode(line)
                if event.level not in EVENT_LEVELS:
                    raise ValueError(f"level {event.level!r:.40} is none of {', '.join(EVENT_LEVELS)}")
                self._seen[path] = (self._seen[path][0], event.id)
                await self._send.send(event)
        except (ValueError, *NOT_DECODED) as error:
            await self._leave_out(path, str(error))
            return False
        except KeyError:
            await self._leave_out(path, "an event before the word where its numbers begin")
            return False
        return True

    async def _leave_out(self, path: Path, why: str) -> None:
        """Count a line that is none of a daemon's; tell the first of each node."""
        self.wrong[path.stem] += 1
        if self.wrong[path.stem] == 1:
            self.first_wrong[path.stem] = why
            text = (f"{path.stem} says what is no event, which is left out: {why}; is the daemon on {path} of another "
                    "version?")
            await self._send.send(_said(path, "refused", text))

    def _note(self, path: Path, following: _Following) -> None:
        """Note where a node's numbers are; after a restart they begin anew, and so does this."""
        boot, seen = self._seen.get(path, (0, 0))
        self._seen[path] = (following.boot, seen if boot == following.boot else 0)


def _said(path: Path, kind: str, what: str) -> Event:
    """An event that this client has to tell of a node."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    text = f"the daemon of {path.stem} {what}" if kind == "daemon-gone" else what
    return Event(0, stamp, path.stem, "error" if kind == "daemon-gone" else "warning", kind, path.stem, text)
