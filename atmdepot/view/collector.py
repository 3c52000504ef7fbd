"""Asks the daemons of a network, each on its control socket, and gives the model their answers.

A node through which few cells pass is traced: each cell and each session is seen. A node with many cells is asked for
counts twice a second, and a short trace every few seconds shows some of its cells. So a view costs a busy data path
little. Calls that block run in threads. When a daemon ends, the collector waits for it to come back.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from atmdepot.config.reading import load
from atmdepot.errors import AtmdepotError
from atmdepot.net.control_client import ask, is_answered, show
from atmdepot.net.event_client import Follower as EventFollower
from atmdepot.net.event_log import Event
from atmdepot.net.events import Cells, Missed, SessionChange, Watermark
from atmdepot.net.running import control_sockets
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Cell, Pdu
from atmdepot.trace.live import NotWhatDaemonsSay, TraceConnection
from atmdepot.view.model import TICK, Model
from atmdepot.wire.cell import CELL_SIZE, Interface

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.net.events import Told
    from atmdepot.view.ticks import Tick

MANY, FEW = 4000.0, 2000.0
"""Cells per second: above the first a node's cells are counted, below the second each is seen."""
_POLL = 0.5  # s
_WAIT = 0.5  # s between looks for a daemon that does not answer
_BURST = 0.5
"""Seconds after which cells that come too fast end a trace, even where polls are answered late."""
_SAMPLE_EVERY, _SAMPLE = 5.0, 0.05  # s
_SAMPLE_CELLS = 300
_SAMPLED = ("depot", "switch", "interworking")
"""The kinds of nodes of which samples are taken: all links have an end at one."""
ROWS = 1000
"""Rows that are asked for at once."""
_PATIENCE = 5.0  # s for an answer
_MOST_EVENTS = 100
_Found = TypeVar("_Found")


class Collector:
    """Watches a running network; `run` ends when it is cancelled.

    Args:
        network: its name; None if only a single one runs.

    Raises:
        AtmdepotError: when the network is not clear, does not run, or its VC table cannot be read.

    """

    def __init__(self, network: str | None = None) -> None:
        self.sockets = {path.stem: path for path in control_sockets(network, None)}
        self.table, read = _table_of(self.sockets)
        self.model = Model(read, [name for name in read.nodes if name not in self.sockets])
        self._listeners: list[Callable[[Tick], None]] = []
        self._threads = trio.CapacityLimiter(2 * len(self.sockets) + 8)

    async def run(self) -> None:
        """Watch all nodes, and make the ticks."""
        async with trio.open_nursery() as nursery:
            for node, path in self.sockets.items():
                nursery.start_soon(_Watch(self, node, path).run)
            send, receive = trio.open_memory_channel[Event](_MOST_EVENTS)
            nursery.start_soon(EventFollower(lambda: list(self.sockets.values()), send, last=0).run)
            nursery.start_soon(self._take_events, receive)
            next_at = trio.current_time()
            while True:
                next_at = max(next_at + TICK / 1e9, trio.current_time())
                await trio.sleep_until(next_at)
                tick = self.model.tick(time.time_ns())
                for listener in self._listeners:
                    listener(tick)

    async def _take_events(self, events: trio.MemoryReceiveChannel[Event]) -> None:
        async for event in events:
            self.model.take_event(event)

    def tell(self, listener: Callable[[Tick], None]) -> None:
        """Have a function called with each tick, in the collector's thread."""
        self._listeners.append(listener)

    async def rows(
        self, node: str, subject: str, limit: int = ROWS, where: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """The rows of a subject from a node, those that `where` says; raise AtmdepotError when it does not answer."""
        path = self._path_of(node)
        return await self.in_thread(partial(show, path, subject, limit, where))

    async def rows_or_none(self, node: str, subject: str, limit: int = ROWS) -> list[dict[str, Any]]:
        """The rows of a subject from a node; none when it does not answer."""
        try:
            return await self.rows(node, subject, limit)
        except AtmdepotError:
            return []

    async def request(self, node: str, request: dict[str, Any]) -> dict[str, Any]:
        """The first line of a node's answer; raise AtmdepotError when it refuses, or does not answer."""
        path = self._path_of(node)
        return await self.in_thread(lambda: next(ask(path, request, _PATIENCE)))

    async def in_thread(self, what: Callable[[], _Found]) -> _Found:
        """Do what blocks in a thread; when the caller is cancelled, nobody waits for it."""
        return await trio.to_thread.run_sync(what, abandon_on_cancel=True, limiter=self._threads)

    def _path_of(self, node: str) -> Path:
        if node not in self.sockets:
            raise AtmdepotError(f"no daemon of \"{node}\" runs here: there are {', '.join(self.sockets)}")
        return self.sockets[node]


class _Watch:
    """The watch over a node."""

    def __init__(self, collector: Collector, node: str, path: Path) -> None:
        self._collector = collector
        self._model = collector.model
        self._node = node
        self._path = path
        self._kind = self._model.network.nodes[node].kind if node in self._model.network.nodes else ""
        self._is_busy = False
        self._changed = trio.Event()

    async def run(self) -> None:
        """Wait for the daemon, watch it until it ends, and again."""
        while True:
            try:
                async with trio.open_nursery() as nursery:
                    await self._poll_once()
                    self._model.node_is(self._node, "up", time.time_ns())
                    nursery.start_soon(self._trace)
                    await self._poll()
            except* AtmdepotError as errors:
                why = str(errors.exceptions[0]).rpartition(": ")[2]
                self._model.node_is(self._node, "silent", time.time_ns(), f": {why}")
            await trio.sleep(_WAIT)

    async def _poll(self) -> None:
        while True:
            await trio.sleep(_POLL)
            await self._poll_once()

    async def _poll_once(self) -> None:
        model, node, asked = self._model, self._node, self._collector.rows
        rate = model.take_links(node, await asked(node, "links"), time.time_ns())
        if self._kind == "depot":
            rows = await asked(node, "depots", 1)
            model.take_role(node, str(rows[0].get("role", "")) if rows else "")
            if not rows or rows[0].get("role") in ("alone", "active", "handing-over"):
                model.take_servers(await asked(node, "servers"))
        self._be_busy(rate > (FEW if self._is_busy else MANY))

    def _be_busy(self, is_busy: bool) -> None:
        """Change between tracing and counting the node, if need be."""
        if is_busy != self._is_busy:
            self._is_busy = is_busy
            self._model.mode_is(self._node, "counted" if is_busy else "every", time.time_ns())
            self._changed.set()
            self._changed = trio.Event()

    async def _trace(self) -> None:
        """Trace all cells while they are few; a sample each few seconds while they are many."""
        while True:
            changed = self._changed
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, changed, scope)
                    if self._is_busy and self._kind in _SAMPLED:
                        await self._samples()
                    elif self._is_busy:
                        await trio.sleep_forever()
                    else:
                        await self._follow()

    async def _follow(self) -> None:
        """All cells, drops and sessions, until the daemon ends."""
        await self._read(await self._open(sessions=True, drops=True))
        raise AtmdepotError(f"{self._node}: the daemon has ended")

    async def _samples(self) -> None:
        """Some cells, again and again."""
        while True:
            connection = await self._open(sessions=False, drops=False, most=_SAMPLE_CELLS)
            with trio.move_on_after(_SAMPLE):
                await self._read(connection, most=_SAMPLE_CELLS)
            await trio.sleep(_SAMPLE_EVERY)

    async def _open(self, *, sessions: bool, drops: bool, most: int = 0) -> TraceConnection:
        request = {"cells": True, "drops": drops, "sessions": sessions, "known": ROWS if sessions else 0, "most": most}
        connection = await self._collector.in_thread(partial(TraceConnection, self._path, request))
        connection.socket.setblocking(False)
        return connection

    async def _read(self, connection: TraceConnection, most: int | None = None) -> None:
        """Give the model what a trace tells, until it ends or `most` cells have come."""
        follower = Follower(self._model.sorter.book, cells=True, sessions=self._model.sessions)
        follower.interfaces = {(self._node, link): Interface(told.interface)
                               for link, told in connection.told.links.items()}
        seen, burst, began = 0, 0, trio.current_time()
        try:
            records: list[Told] | None = connection.records_here()
            while records is not None:
                for record in records:
                    seen += self._take(record, follower, is_sample=most is not None)
                if most is not None and seen >= most:
                    return
                if trio.current_time() - began >= _BURST:
                    self._be_busy(self._is_busy or seen - burst > MANY * (trio.current_time() - began))
                    burst, began = seen, trio.current_time()
                await trio.lowlevel.wait_readable(connection.socket)
                records = connection.receive()
        except (OSError, NotWhatDaemonsSay) as error:
            raise AtmdepotError(f"{self._node}: its trace broke off: {error}") from None
        finally:
            connection.socket.close()

    def _take(self, record: Told, follower: Follower, *, is_sample: bool) -> int:
        """Take a record; return the number of its cells."""
        if isinstance(record, Watermark):
            return 0
        if isinstance(record, Cells):
            # A sample is of one node, which tells both directions of its links.
            if not is_sample and not self._model.is_senders_view(self._node, record.link, record.direction):
                return 0
            self._model.take_cells(record, is_sample=is_sample)
        elif isinstance(record, SessionChange) and record.event == "known":
            self._model.take_item(record)  # a follower only keeps its name
        items = follower.take(record)
        for item in items:
            if isinstance(item, Cell):
                self._model.keep_cell(item)
            elif isinstance(item, Pdu):
                self._model.keep_pdu(item)
            elif not isinstance(record, Cells):
                self._model.take_item(item)  # type: ignore[arg-type]  # a follower that gives cells gives no runs
        if isinstance(record, Missed):
            return record.cells
        return len(record.octets) // CELL_SIZE if isinstance(record, Cells) else 0


async def _cancel_after(changed: trio.Event, scope: trio.CancelScope) -> None:
    await changed.wait()
    scope.cancel()


def _table_of(sockets: dict[str, Path]) -> tuple[Path, Any]:
    """The VC table of a network, as its daemons name it."""
    problems = []
    for path in sockets.values():
        with suppress(AtmdepotError):
            if not is_answered(path):
                continue
            connection = TraceConnection(path, {"cells": False, "drops": False, "sessions": False, "known": 0})
            connection.socket.close()
            if connection.told.table:
                return Path(connection.told.table), load(connection.told.table)
            problems.append(f"{path.stem} has no table")
    raise AtmdepotError("no daemon of the network tells a VC table that can be read here"
                        + (f": {', '.join(problems)}" if problems else ""))
