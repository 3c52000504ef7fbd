"""A trace over the control socket: a line of JSON that describes the node, then its records as they come.

A frame is 4 octets of length, big-endian, and a MessagePack array of the records of `net/events.py`. The last record
is a watermark, except in the first frames, which describe the sessions that existed before. An idle node sends a frame
with only a watermark some twenty times a second, so that a client that merges the traces of several nodes need not wait
for it.

The sender takes turns with the pump and keeps to a small share of the daemon's time, so a busy node misses records
rather than delay cells. A client that does not read costs no more memory than its tap holds.
"""

from __future__ import annotations

import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from atmdepot.errors import AtmdepotError
from atmdepot.net.events import Watermark
from atmdepot.net.kinds import agent_of
from atmdepot.net.tap import SessionNote, Tap

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.depot.session import Session
    from atmdepot.net.events import Told
    from atmdepot.net.pump import Pump
    from atmdepot.net.tap import Taps

_FRAME = 64 * 1024
_SESSIONS_A_FRAME = 128
_MAX_KNOWN = 100_000
_MOMENT = 1_000_000  # ns of the thread's processor time
_REST = 20
"""Moments that the senders leave to the daemon for each moment that they work."""
_GLANCE = 0.05  # s between turns when no record waits: some twenty watermarks a second
_BUSY_GLANCE = 0.002  # s, at least, between turns while records wait
_STALLED_GLANCE = 0.25  # s between looks at a client that does not read
_GRACE = 10.0
_QUEUE_GLANCE = 100_000_000  # ns between readings of the TUN queue's drops: each reads a file
_BUFFER = 2**20


class TraceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A client's request: the links to trace (an empty list: all), and the number of existing sessions to describe.

    `most` ends the trace when so many cells were noted; 0 never does. So a sample costs the node the same, however late
    its client reads.
    """

    links: list[str] = []
    cells: bool = True
    drops: bool = True
    sessions: bool = True
    known: int = 2000
    most: int = 0


def description(pump: Pump, table: Path | None) -> dict[str, Any]:
    """Facts of a node that a client needs to read its cells."""
    network = pump.node.network
    return {
        "node": pump.node.name, "kind": network.nodes[pump.node.name].kind, "network": network.name,
        "table": str(table.absolute()) if table is not None else "",
        "links": {name: _link(pump, name) for name in pump.node.links}}


def _link(pump: Pump, name: str) -> dict[str, Any]:
    """A port as a client knows it; one that is no link of the table has its medium and what is behind it."""
    port, link = pump.node.links[name], pump.node.network.links.get(name)
    if link is None:
        return {"peer": port.peer(), "medium": port.medium}
    return {"interface": link.interface, "cells": link.cells, "peer": link.other_end(pump.node.name),
            "medium": port.medium}


async def stream_trace(stream: trio.SocketStream, pump: Pump, request: TraceRequest, table: Path | None) -> None:
    """Send a trace until the client shuts its side down, and then the records that its tap still holds.

    Raises AtmdepotError, before anything is sent, when a link is unknown or too many traces run.
    """
    strangers = [name for name in request.links if name not in pump.links]
    if strangers:
        raise AtmdepotError(f"{pump.node.name} has no link \"{strangers[0]}\": it has {', '.join(pump.links)}")
    tap = Tap(request.links, cells=request.cells, drops=request.drops, sessions=request.sessions)
    try:
        await _stream(stream, pump, request, table, tap)
    finally:
        await tap.forget()


async def _stream(
    stream: trio.SocketStream, pump: Pump, request: TraceRequest, table: Path | None, tap: Tap,
) -> None:
    pump.taps.add(tap)
    try:
        # After the tap is added: no session is missed in between.
        known = _known_sessions(pump, request.known) if request.sessions else []
        sender = _Sender(stream.socket.fileno(), known, tap, pump.taps)
        await stream.send_all(msgspec.json.encode({"tracing": description(pump, table)}) + b"\n")
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        while not is_shut_down(stream) and not 0 < request.most <= tap.noted:
            await sender.turn(len(pump.taps.open))
    finally:
        pump.taps.remove(tap)
    with trio.move_on_after(_GRACE):  # the tap gets no more records, so the rest has an end
        while not sender.is_done:
            await sender.turn(1 + len(pump.taps.open))


def _known_sessions(pump: Pump, most: int) -> list[Session]:
    """The newest of the existing sessions."""
    return agent_of(pump.node).known_sessions(max(0, min(most, _MAX_KNOWN)))


class _Sender:
    """Sends frames on a non-blocking descriptor: first the existing sessions, then the records of the tap."""

    def __init__(self, descriptor: int, known: list[Session], tap: Tap, taps: Taps) -> None:
        self._descriptor = descriptor
        self._known = known[::-1]  # popped from the end: the newest first
        self._began = self._looked_at = taps.now()
        self._tap = tap
        self._taps = taps
        self._encoder = msgspec.msgpack.Encoder()
        self._frame = bytearray()
        self._sent = 0  # octets of the frame

    @property
    def is_done(self) -> bool:
        """True when no record waits."""
        return not (self._known or self._sent < len(self._frame) or self._tap.is_waiting)

    async def turn(self, senders: int) -> None:
        """Send for a moment at most, then let the daemon work; `senders` share the time for traces.

        When no record waits, it sends only a watermark.
        """
        began = time.thread_time_ns()
        if (now := self._taps.now()) - self._looked_at >= _QUEUE_GLANCE:
            self._looked_at = now
            self._taps.look_at_the_queue()
        blocked = not self._send()
        spent = time.thread_time_ns() - began
        while spent < _MOMENT and not blocked and not self.is_done:
            blocked = not self._send()
            spent = time.thread_time_ns() - began
        if blocked:
            with trio.move_on_after(_STALLED_GLANCE):  # wake up to see whether the client has ended
                await trio.lowlevel.wait_writable(self._descriptor)
        await trio.sleep(max(_GLANCE if self.is_done else _BUSY_GLANCE, spent / 1e9 * _REST * senders))

    def _send(self) -> bool:
        """Send the part of a frame that the socket takes; False when it has no room."""
        if self._sent == len(self._frame):
            self._sent = 0
            self._encoder.encode_into(self._next_told(), self._frame, 4)  # behind the length
            self._frame[:4] = (len(self._frame) - 4).to_bytes(4, "big")
        try:
            with memoryview(self._frame) as frame, frame[self._sent:] as rest:
                self._sent += os.write(self._descriptor, rest)
        except BlockingIOError:
            return False
        except OSError as error:
            raise trio.BrokenResourceError from error
        return True

    def _next_told(self) -> list[Told]:
        """Records for a frame; its watermark is right because no other code runs until the frame is made."""
        if self._known:
            return self._next_known()
        return [*self._tap.take(_FRAME), Watermark(self._tap.watermark(self._taps.now()))]

    def _next_known(self) -> list[Told]:
        """Sessions that existed before; without a watermark, clients show no record before them."""
        some = [self._known.pop() for _ in range(min(len(self._known), _SESSIONS_A_FRAME))]
        notes = [SessionNote.of(session, "known", "", self._began) for session in some]
        return [note.record() for note in notes if self._tap.sees(note.link)]


def is_shut_down(stream: trio.SocketStream) -> bool:
    """True when the client has shut its side down, or is gone: it has seen enough."""
    poll = select.poll()
    poll.register(stream.socket.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))
