"""Records of running nodes, as they come, over the control sockets of a daemon or several."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import msgspec

from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError
from atmdepot.net.events import Cells, Drop, FrameSeen, Missed, SessionChange, Told, Watermark
from atmdepot.printable import printable_in_place
from atmdepot.trace.merge import LONGEST_LOOK, Merger
from atmdepot.trace.sources import Remark
from atmdepot.wire.cell import CELL_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from atmdepot.trace.sources import SourceRecord

MAX_FRAME = 1 << 20
"""Bound in octets; no frame of a daemon is longer."""
_MAX_FIRST_LINE = 1 << 20
_AT_ONCE = 1 << 18  # octets of a read
_ANSWER_TIME = 10.0  # seconds for a daemon's first line
_GRACE = 5.0  # seconds after `stop` in which records are still shown
_DRAIN = 3.0  # seconds after these, in which records are only counted
_LOWEST_PRIORITY = 19


class LinkTold(msgspec.Struct):
    """A link as its node reports it: what crosses it, header format, cells a datagram, the node at the other end."""

    peer: str
    interface: Literal["uni", "nni"] = "uni"
    cells: Annotated[int, msgspec.Meta(ge=1)] = 1
    medium: str = "cells"


class NodeTold(msgspec.Struct):
    """A node's report of itself; `table` is the path of its VC table, or empty."""

    node: Annotated[str, msgspec.Meta(min_length=1)]
    kind: Annotated[str, msgspec.Meta(min_length=1)]
    network: str
    table: str
    links: dict[str, LinkTold]


class _Answer(msgspec.Struct):
    tracing: NodeTold | None = None
    error: str = ""


class NotWhatDaemonsSay(Exception):
    """Octets from a socket that are no answer, frame or record of a daemon."""


_RECORDS = msgspec.msgpack.Decoder(list[Told])


def give_way() -> None:
    """Give this process the lowest priority: reading a trace must not take the processor from the traced nodes."""
    with contextlib.suppress(OSError):
        # nice(0) reads the present value; nice() adds to it.
        os.nice(_LOWEST_PRIORITY - os.nice(0))


class TraceConnection:
    """The trace of a daemon."""

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        """Ask the daemon for it; raise AtmdepotError when the daemon cannot be reached or refuses."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray()
        self._path = path
        self.socket.settimeout(_ANSWER_TIME)
        try:
            self.socket.connect(str(path))
            self.socket.sendall(msgspec.json.encode({"trace": request}) + b"\n")
            self.told = self._first_line()
        except (OSError, NotWhatDaemonsSay, *NOT_DECODED) as error:
            self.socket.close()
            raise AtmdepotError(f"{path.stem}: the daemon does not answer on {path}: {_reason(error)}") from None
        except AtmdepotError:
            self.socket.close()
            raise

    def _first_line(self) -> NodeTold:
        while b"\n" not in self._buffer:
            # A daemon that never ends its line must not fill the memory.
            if len(self._buffer) > _MAX_FIRST_LINE:
                raise NotWhatDaemonsSay(f"its first line has more than {_MAX_FIRST_LINE} octets")
            received = self.socket.recv(_AT_ONCE)
            if not received:
                raise NotWhatDaemonsSay("it hung up")
            self._buffer += received
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = rest
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.error:
            raise AtmdepotError(f"{self._path.stem}: {printable_in_place(answer.error)}")
        if answer.tracing is None:
            raise NotWhatDaemonsSay("it tells nothing of its node")
        if not _is_plain(answer.tracing.node, answer.tracing.network, answer.tracing.table, *answer.tracing.links):
            raise NotWhatDaemonsSay("its names are not printable")
        return answer.tracing

    def receive(self) -> list[Told] | None:
        """Wait for octets, and return the records that are complete; None when the daemon has ended.

        Raises NotWhatDaemonsSay, OSError.
        """
        received = self.socket.recv(_AT_ONCE)
        if received:
            self._buffer += received
            return self.records_here()
        if self._buffer:
            raise NotWhatDaemonsSay("it broke off within a frame")
        return None

    def records_here(self) -> list[Told]:
        """Return the records that have come complete; raise NotWhatDaemonsSay."""
        # The buffer is cut once, at the end: cutting it for each frame would copy the rest each time.
        records: list[Told] = []
        at = 0
        while len(self._buffer) - at >= 4:
            length = int.from_bytes(self._buffer[at:at + 4], "big")
            if length > MAX_FRAME:
                raise NotWhatDaemonsSay(f"a frame of {length} octets")
            if len(self._buffer) - at - 4 < length:
                break
            records += self._parse(bytes(self._buffer[at + 4:at + 4 + length]))
            at += 4 + length
        del self._buffer[:at]
        return records

    def _parse(self, frame: bytes) -> list[Told]:
        try:
            records = _RECORDS.decode(frame)
        except NOT_DECODED as error:
            raise NotWhatDaemonsSay(str(error)) from None
        for record in records:
            if not _is_possible(record, self.told.links):
                raise NotWhatDaemonsSay(f"a record that cannot be: {str(record)[:200]}")
            record.node = self.told.node
        return records


def _is_possible(record: Told, links: Collection[str]) -> bool:
    """True for a record that can be true; later code need not check again."""
    match record:
        case Watermark():
            return True
        case Cells():
            whole = len(record.octets) > 0 and len(record.octets) % CELL_SIZE == 0
            return whole and record.link in links and record.direction in ("in", "out")
        case FrameSeen():
            return record.link in links and record.direction in ("in", "out") and _is_plain(record.medium)
        case Drop():
            return (record.link == "" or record.link in links) and record.count > 0 and _is_plain(record.reason)
        case SessionChange():
            return record.link in links and _is_plain(record.event, record.protocol, record.client, record.service,
                                                      record.server, record.category, record.why)
        case Missed():
            return min(record.cells, record.drops, record.sessions) >= 0


class LiveSource:
    """The records of running nodes in the order of their times; the records of a node stay in its own order.

    Iterating gives records with their `node`. It gives a `Remark` when a daemon ends, is silent for long, or sends an
    impossible record. With `idle`, it gives None after that many seconds without a record, and the caller can flush or
    redraw. It ends when all daemons have ended. `stop` ends it from outside; records that the daemons still hold are
    then delivered.
    """

    def __init__(
        self, places: Mapping[Path, Collection[str]], *, cells: bool = True, drops: bool = True, sessions: bool = True,
        known: int = 2000, idle: float | None = None,
    ) -> None:
        """Begin the traces.

        Args:
            places: the control sockets of a network's daemons, and for each the links to trace (empty: all).
            cells: trace cells.
            drops: trace drops.
            sessions: trace the opening and closing of sessions; edge nodes have no sessions.
            known: the greatest number of open sessions to report at the beginning.
            idle: seconds without a record after which None is given; without it the caller waits.

        Raises:
            AtmdepotError: when a daemon cannot be reached or refuses.

        """
        self.nodes: dict[str, NodeTold] = {}
        """The nodes' reports of themselves, by name."""
        self.missed = Missed(0)
        """Sum of the cells, drops and session changes that the nodes had no room for."""
        self._idle = idle
        self._deadline: float | None = None
        self._connections: list[TraceConnection] = []
        self._wake, self._woken = socket.socketpair()
        # `stop` may run in a signal handler, which must not block: a full socket wakes the loop, too.
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        try:
            for path, links in places.items():
                self._connections.append(TraceConnection(path, {
                    "links": list(links), "cells": cells, "drops": drops, "sessions": sessions, "known": known}))
        except AtmdepotError:
            self.close()
            raise
        self.nodes = {connection.told.node: connection.told for connection in self._connections}
        self._order = Merger(self.nodes)
        self._quiet_since = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; records that have not come yet are lost."""
        for connection in self._connections:
            connection.socket.close()
        self._wake.close()
        self._woken.close()

    def stop(self) -> None:
        """Ask the daemons to end, from a signal handler or another thread; their rest has a few seconds to come."""
        self._deadline = time.monotonic() + _GRACE
        for connection in self._connections:
            with contextlib.suppress(OSError):
                # A daemon ends its trace when its client closes the sending side, and can still send its last records.
                connection.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def __iter__(self) -> Iterator[SourceRecord | None]:
        with selectors.DefaultSelector() as selector:
            for connection in self._connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            selector.register(self._woken, selectors.EVENT_READ)
            for connection in self._connections:  # records may have come together with the first line
                yield from self._merge(connection, connection.records_here, selector)
            while len(selector.get_map()) > 1:
                if self._is_overdue():
                    yield from self._give_up(selector)
                    return
                for record in self._round(selector):
                    yield record
                    self._quiet_since = time.monotonic()
                if self._idle is not None and time.monotonic() - self._quiet_since >= self._idle:
                    yield None
                    self._quiet_since = time.monotonic()

    def _round(self, selector: selectors.BaseSelector) -> Iterator[SourceRecord]:
        """Read once from each daemon with data to read."""
        for key, _ in selector.select(self._timeout()):
            if key.data is None:
                self._woken.recv(1)
            else:
                yield from self._merge(key.data, key.data.receive, selector)
        yield from self._order.look(time.monotonic_ns())
        yield from self._order.take()

    def _merge(
        self, connection: TraceConnection, take: Callable[[], list[Told] | None], selector: selectors.BaseSelector,
    ) -> Iterator[SourceRecord]:
        """Return the records that may go after a connection was read."""
        for told in self._deliver(connection, take, selector):
            if isinstance(told, Remark):
                yield told
            else:
                yield from self._order.hear(told)
        yield from self._order.take()

    def _give_up(self, selector: selectors.BaseSelector) -> Iterator[SourceRecord]:
        """Count the records that come too late to be shown, and name the daemons whose rest is not even counted."""
        yield from self._order.rest()
        selector.unregister(self._woken)
        until = time.monotonic() + _DRAIN
        while selector.get_map() and (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                for record in self._deliver(key.data, key.data.receive, selector):
                    if isinstance(record, Remark):
                        yield record
                    else:
                        self._add(_as_missed(record))
        for key in selector.get_map().values():
            yield Remark(f"{key.data.told.node}: the daemon did not end in time; more was missed than is counted")

    def _timeout(self) -> float | None:
        """Seconds to wait for the next record; None without a limit."""
        now = time.monotonic()
        ends = [now + LONGEST_LOOK / 1e9] if self._order.is_holding else []
        if self._deadline is not None:
            ends.append(self._deadline)
        if self._idle is not None:
            ends.append(self._quiet_since + self._idle)
        return max(0.0, min(ends) - now) if ends else None

    def _is_overdue(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _deliver(
        self, connection: TraceConnection, take: Callable[[], list[Told] | None], selector: selectors.BaseSelector,
    ) -> Iterator[Told | Remark]:
        """Return the records of a connection; a connection that has ended is no longer read."""
        node = connection.told.node
        try:
            records = take()
        except NotWhatDaemonsSay as error:
            yield Remark(f"{node}: {_reason(error)}; its trace ends here")
        except OSError as error:
            yield Remark(f"{node}: the daemon closed the connection: {_reason(error)}")
        else:
            if records is not None:
                for record in records:
                    if isinstance(record, Missed):
                        self._add(record)
                    yield record
                return
            # After `stop` the end is expected.
            if self._deadline is None:
                yield Remark(f"{node}: the daemon has ended")
        self._order.end(node)
        selector.unregister(connection.socket)
        connection.socket.close()

    def _add(self, missed: Missed) -> None:
        self.missed.time = missed.time
        self.missed.cells += missed.cells
        self.missed.drops += missed.drops
        self.missed.sessions += missed.sessions


def _as_missed(record: Told) -> Missed:
    """Convert a record that was not shown to counts; the counts of a Missed were added when it came."""
    match record:
        case Cells():
            return Missed(record.time, cells=len(record.octets) // CELL_SIZE)
        case FrameSeen():
            return Missed(record.time, cells=1)
        case Drop():
            return Missed(record.time, drops=record.count)
        case SessionChange():
            return Missed(record.time, sessions=1)
    return Missed(0)


def _is_plain(*texts: str) -> bool:
    return all(map(str.isprintable, texts))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"that is not what a daemon says: {printable_in_place(str(error))}"
