"""A collector in a thread of its own, for programs that run another loop than trio."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

import trio

from atmdepot.view.collector import Collector
from atmdepot.view.details import Detail, Details

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from atmdepot.view.ticks import Tick

_READY = 10.0


class Background:
    """Watches a network while the block runs; its methods block, and may be called by any thread.

    Raises AtmdepotError at once when the network is not clear, does not run, or its VC table cannot be read.
    """

    def __init__(self, network: str | None = None) -> None:
        self._collector = Collector(network)
        self._details = Details(self._collector)
        self.network = self._collector.model.network
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._is_ready = threading.Event()
        self._ticks: tuple[Tick, ...] = ()
        self._thread = threading.Thread(target=trio.run, args=(self._run,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_ready.wait(_READY)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(_READY)

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._collector.tell(self._keep)
        self._is_ready.set()
        with self._scope:
            await self._collector.run()

    def _keep(self, _: Tick) -> None:
        self._ticks = tuple(self._collector.model.ticks)  # one assignment: other threads see the old or the new

    def ticks(self) -> tuple[Tick, ...]:
        """The ticks of the last minute."""
        return self._ticks

    def vcs(self) -> list[dict[str, Any]]:
        """The VCs of all nodes that answer."""
        return [row for _, row in self._rows("vcs", list(self._collector.sockets))]

    def sessions(self) -> list[tuple[str, dict[str, Any]]]:
        """The sessions of all depots that answer, each with its depot."""
        return self._rows("sessions", [name for name in self.network.depots if name in self._collector.sockets])

    def detail(self, kind: str, name: str) -> Detail:
        """The details of a thing; raise AtmdepotError when it is not there."""
        detail: Detail = self._ask(lambda: self._details.of(kind, name, 2**62))
        return detail

    def tree(self, link: str, time: int, octets: bytes) -> str:
        """The tree of a cell's PDU; raise AtmdepotError when the cell is not kept any more."""
        async def made() -> str:
            return self._details.tree(link, time, octets)

        return str(self._ask(made))

    def _rows(self, subject: str, nodes: list[str]) -> list[tuple[str, dict[str, Any]]]:
        async def asked() -> list[tuple[str, dict[str, Any]]]:
            found: list[tuple[str, dict[str, Any]]] = []
            for node in nodes:
                found += [(node, row) for row in await self._collector.rows_or_none(node, subject)]
            return found

        rows: list[tuple[str, dict[str, Any]]] = self._ask(asked)
        return rows

    def _ask(self, what: Callable[[], Awaitable[Any]]) -> Any:
        return trio.from_thread.run(what, trio_token=self._token)
