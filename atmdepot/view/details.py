"""Details of a node, link, VC, server or session: its rows, and its last cells up to a time."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from atmdepot.errors import AtmdepotError
from atmdepot.view.collector import ROWS
from atmdepot.view.decode import ShownCell, shown, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.trace.items import Cell
    from atmdepot.view.collector import Collector
    from atmdepot.view.model import Row

_MOST_CELLS, _MOST_OTHERS = 48, 16
_MOST_ROWS = 100
_NUMBER = re.compile("[0-9]{1,5}")
_SESSION = re.compile("[0-9]{1,18}")
_HIDDEN = ("far_mac", "fcs")


class Detail(Struct):
    """A thing in detail: facts, tables of rows, and cells with their numbers, by which a tree is asked for."""

    kind: str
    name: str
    title: str
    facts: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    cells: list[ShownCell] = field(default_factory=list)
    others: list[ShownCell] = field(default_factory=list)
    """Cells of probes, of servers' reports, and of OAM."""
    trouble: str = ""
    """The reason that a part is missing."""
    notes: dict[str, str] = field(default_factory=dict)
    """Of tables that have not all rows: how many of how many they have."""


class Details:
    """Answers what is asked about the network; raises AtmdepotError for what is not there."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._model = collector.model
        self._network = collector.model.network

    async def of(self, kind: str, name: str, until: int) -> Detail:
        """The details of a thing of a kind by its name, with its cells up to `until` (ns)."""
        makers: dict[str, Callable[[str, int], Any]] = {
            "node": self._node, "link": self._link, "vc": self._vc, "server": self._server, "session": self._session}
        if kind not in makers:
            raise AtmdepotError(f"{kind!r} has no details: ask for {', '.join(makers)}")
        detail: Detail = await makers[kind](name, until)
        return detail

    def tree(self, link: str, time: int, octets: bytes) -> str:
        """The tree of the PDU of a cell that was shown."""
        found = self._model.cells.last(lambda cell: cell.time == time and cell.octets == octets, until=time, most=1,
                                       link=link)
        if not found:
            raise AtmdepotError("that cell is older than a minute, and is not kept any more")
        return tree_of(found[0])

    async def _node(self, name: str, until: int) -> Detail:
        node = self._network.nodes.get(name)
        if node is None:
            raise AtmdepotError(f"there is no node \"{name}\": there are {', '.join(self._network.nodes)}")
        detail = Detail("node", name, f"node {name}, {node.kind}")
        await self._add(detail, name, "links")
        await self._add(detail, name, "vcs", _busiest)
        await self._add(detail, name, "counters", lambda rows: [row for row in rows if row["value"]])
        links = self._network.links_of(name)
        self._add_cells(detail, lambda cell: cell.link in links and cell.node == name, until)
        return detail

    async def _link(self, name: str, until: int) -> Detail:
        rows = [row for (_, link), row in self._model.rows_of_links().items() if link == name]
        settings = self._network.links.get(name)
        if settings is None and not rows:
            raise AtmdepotError(f"there is no link \"{name}\": there are {', '.join(self._network.links)}")
        ends = " and ".join(settings.ends) if settings is not None else rows[0]["node"]
        detail = Detail("link", name, f"link {name}, {ends}", tables={"ends": [_plain(row) for row in rows]})
        for node in settings.ends if settings is not None else ():
            if node in self._collector.sockets:
                await self._add(detail, node, "vcs", _busiest, f"VCs at {node}", {"link": name})
        self._add_cells(detail, lambda _: True, until, name)
        return detail

    async def _vc(self, name: str, until: int) -> Detail:
        link, _, numbers = name.partition(" ")
        vpi, _, vci = numbers.partition("/")
        if not all(map(_NUMBER.fullmatch, (vpi, vci))) or link not in self._network.links:
            raise AtmdepotError(f"\"{name}\" is no VC: write LINK VPI/VCI, as in \"to-web1 1/64\"")
        of = self._model.sorter.book.of(link, int(vpi), int(vci))
        facts = {"VP": of.vp or "none of the VC table", "server": of.server, "use": of.role,
                 "encapsulation": of.encapsulation or ""}
        detail = Detail("vc", name, f"VC {numbers} on {link}", {key: value for key, value in facts.items() if value})
        for node in self._network.links[link].ends:
            if node in self._collector.sockets:
                await self._add(detail, node, "vcs", title=f"at {node}", where={"link": link, "vc": numbers})
        self._add_cells(detail, lambda cell: (cell.header.vpi, cell.header.vci) == (int(vpi), int(vci)), until, link)
        return detail

    async def _server(self, name: str, until: int) -> Detail:
        server = self._network.servers.get(name)
        if server is None:
            raise AtmdepotError(f"there is no server \"{name}\": there are {', '.join(self._network.servers)}")
        detail = Detail("server", name, f"server {name} at {server.node}")
        for depot in self._depots():
            with suppress(AtmdepotError):
                for row in await self._collector.rows(depot, "servers"):
                    if row["server"] == name:
                        detail.facts = _plain(row)
            await self._add(detail, depot, "sessions", where={"server": name})
        self._add_cells(detail, lambda cell: cell.name.server == name, until)
        return detail

    async def _session(self, name: str, until: int) -> Detail:
        depot, _, number = name.rpartition("/")
        if not _SESSION.fullmatch(number):
            raise AtmdepotError(f"\"{name}\" is no session: write its number, or DEPOT/NUMBER, as in \"depot/7\"")
        detail = Detail("session", name, f"session {number}", trouble="the depot does not know it any more")
        for of in [depot] if depot else self._depots():
            try:
                rows = await self._collector.rows(of, "sessions", 1, {"number": int(number)})
            except AtmdepotError as error:
                detail.trouble = str(error)
                continue
            if rows:
                detail.facts, detail.trouble = {"depot": of, **_plain(rows[0])}, ""
                break
        server = str(detail.facts.get("server", ""))  # depots of a set may have sessions of one number
        self._add_cells(detail, lambda cell: _is_of(cell, int(number), server), until)
        return detail

    def _depots(self) -> list[str]:
        return [name for name in self._network.depots if name in self._collector.sockets]

    def _add_cells(
        self, detail: Detail, keep: Callable[[Cell], bool], until: int, link: str | None = None,
    ) -> None:
        """Add the last cells up to a time: those of sessions, and others."""
        last, is_aside = self._model.cells.last, self._model.sorter.is_aside
        detail.cells = [shown(cell) for cell in last(lambda cell: keep(cell) and not is_aside(cell), until=until,
                                                     most=_MOST_CELLS, link=link)]
        detail.others = [shown(cell) for cell in last(lambda cell: keep(cell) and is_aside(cell), until=until,
                                                      most=_MOST_OTHERS, link=link)]

    async def _add(
        self, detail: Detail, node: str, subject: str, choose: Callable[[list[Row]], list[Row]] = list,
        title: str = "", where: dict[str, Any] | None = None,
    ) -> None:
        """Add a table of a node's rows that `where` says; without an answer, the reason stands in its place."""
        try:
            told = await self._collector.rows(node, subject, ROWS, where)
        except AtmdepotError as error:
            detail.trouble = str(error)
            return
        rows = choose(told)
        if len(rows) > _MOST_ROWS:
            count = f"{ROWS:,} or more" if len(told) >= ROWS else f"{len(rows):,}"
            detail.notes[title or subject] = f"{_MOST_ROWS} of {count}"
        if rows:
            detail.tables[title or subject] = [_plain(row) for row in rows[:_MOST_ROWS]]


def _is_of(cell: Cell, number: int, server: str) -> bool:
    session = None if cell.pdu is None else cell.pdu.session
    return session is not None and session.number == number and server in ("", session.server)


def _cells_of(row: Row) -> int:
    return int(row.get("tx_cells") or 0) + int(row.get("rx_cells") or 0)


def _busiest(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=_cells_of, reverse=True)


def _plain(row: Row) -> Row:
    """A row without what is empty."""
    return {key: value for key, value in row.items() if value not in ("", None, []) and key not in _HIDDEN}
