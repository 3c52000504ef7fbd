"""`atmdepot top`, driven by Textual's own pilot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("textual")

from textual.widgets import Input, Static, TabbedContent

from atmdepot.config.reading import load
from atmdepot.errors import AtmdepotError
from atmdepot.net.events import Cells
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Cell
from atmdepot.view.decode import shown, tree_of
from atmdepot.view.details import Detail
from atmdepot.view.grid import Grid
from atmdepot.view.model import Model
from atmdepot.view.top import Top
from atmdepot.view.top_detail import DetailScreen
from tests.trace.captures import http_packet, train_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    from atmdepot.view.ticks import Tick

NOW = 1_700_000_000_000_000_000


class Still:
    """A network that changes only when the test says so."""

    def __init__(self) -> None:
        self.network = load("direct")
        self.model = Model(self.network)
        self.model.happen(NOW, "session-opened", "depot", "session [7] opened", ("session", "depot/7"), server="web1")
        self.model.tick(NOW)
        follower = Follower(self.model.sorter.book, cells=True)
        self.cells = [item for item in follower.take(Cells(NOW, "to-web1", "out", train_of(http_packet(4), 1, 65),
                                                           "depot")) if isinstance(item, Cell)]

    def ticks(self) -> tuple[Tick, ...]:
        return tuple(self.model.ticks)

    def vcs(self) -> list[dict[str, Any]]:
        return [{"node": "depot", "link": "to-web1", "vc": f"1/{number}", "tx_cells": number} for number in (65, 66)]

    def sessions(self) -> list[tuple[str, dict[str, Any]]]:
        return [("depot", {"number": number, "client": "10.9.0.2:1", "server": "web1"}) for number in (7, 8)] + [
            ("depot", {"number": 9, "client": "10.9.0.1:1", "server": "web1", "probe": True})]

    def detail(self, kind: str, name: str) -> Detail:
        if name == "depot/8":
            raise AtmdepotError("it is gone")
        return Detail(kind, name, f"{kind} {name}", {"client": "[b]10.9.0.2[/b]"}, {"rows": [{"a": 1}]},
                      [shown(cell) for cell in self.cells])

    def tree(self, link: str, time: int, octets: bytes) -> str:
        return tree_of(self.cells[0])


def piloted(test: Callable[[Pilot[None], Top, Still], Awaitable[None]], size: tuple[int, int] = (140, 45)) -> None:
    """Run a test in the application, on a terminal of some columns and rows."""
    async def run() -> None:
        source = Still()
        app = Top(source)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await test(pilot, app, source)

    asyncio.run(run())


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await pilot.pause(0.02)


def rows(app: Top, name: str) -> list[str]:
    return [row.key for row in app.screen_stack[0].query_one(f"#{name}", Grid).placed]


def text(app: Top, name: str) -> str:
    return str(app.screen.query_one(f"#{name}", Static).content)


def test_the_overview_has_nodes_links_servers_and_events() -> None:
    async def look(pilot: Pilot[None], app: Top, source: Still) -> None:
        assert rows(app, "overview-nodes") == ["depot", "web1", "web2"]
        assert rows(app, "overview-links") == ["to-web1", "to-web2"]
        assert rows(app, "overview-servers") == ["web1", "web2"]
        assert len(rows(app, "overview-events")) == 1
        assert "direct" in text(app, "head")

    piloted(look)


def test_what_is_shown_follows_the_ticks_and_can_be_frozen() -> None:
    async def look(pilot: Pilot[None], app: Top, source: Still) -> None:
        source.model.happen(NOW, "drop", "depot", "a drop", None, bad=True)
        source.model.tick(NOW + 10**9)
        await until(pilot, lambda: len(rows(app, "overview-events")) == 2)
        await pilot.press("space")
        assert "FROZEN" in text(app, "head")
        source.model.happen(NOW, "drop", "depot", "another", None, bad=True)
        source.model.tick(NOW + 2 * 10**9)
        app._look()
        assert len(rows(app, "overview-events")) == 2
        await pilot.press("space")
        await until(pilot, lambda: len(rows(app, "overview-events")) == 3)

    piloted(look)


def test_tables_are_filtered_and_sorted_by_keys() -> None:
    async def look(pilot: Pilot[None], app: Top, source: Still) -> None:
        await pilot.press("slash", "w", "e", "b", "2", "enter")
        assert rows(app, "overview-links") == ["to-web2"]
        await pilot.press("escape")
        assert rows(app, "overview-links") == ["to-web1", "to-web2"]
        assert app.query_one("#words", Input).value == ""
        await pilot.press("s")
        assert rows(app, "overview-links") == ["to-web2", "to-web1"]
        await pilot.press("r")
        assert rows(app, "overview-links") == ["to-web1", "to-web2"]

    piloted(look)


def test_vcs_and_sessions_are_asked_for_when_they_are_looked_at() -> None:
    async def look(pilot: Pilot[None], app: Top, source: Still) -> None:
        await pilot.press("2")
        await until(pilot, lambda: rows(app, "all-vcs") == ["depot to-web1 1/66", "depot to-web1 1/65"])
        assert rows(app, "all-sessions") == []
        await pilot.press("3")
        assert app.query_one(TabbedContent).active == "sessions"
        await until(pilot, lambda: rows(app, "all-sessions") == ["depot/8", "depot/7"])

    piloted(look)


def test_a_session_opens_down_to_the_octets_of_its_cells() -> None:
    async def look(pilot: Pilot[None], app: Top, source: Still) -> None:
        await pilot.press("3")
        await until(pilot, lambda: rows(app, "all-sessions"))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        await until(pilot, lambda: "AAL5" in text(app, "octets"))
        assert "destination port: 80" in text(app, "octets")
        assert "[b]10.9.0.2[/b]" in text(app, "facts")  # what daemons say is no markup
        await pilot.press("escape")
        assert not isinstance(app.screen, DetailScreen)
        await pilot.press("up", "enter")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen) and "it is gone" in text(app, "facts"))

    piloted(look)


def test_on_a_small_terminal_all_tables_have_room_and_a_cell_stands_below() -> None:
    async def look(pilot: Pilot[None], app: Top, source: Still) -> None:
        grids = [app.query_one(f"#overview-{name}", Grid) for name in ("nodes", "links", "servers", "events")]
        assert all(grid.region.height >= 3 for grid in grids)
        await pilot.press("3")
        await until(pilot, lambda: rows(app, "all-sessions"))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen) and app.screen.query_one("#cells", Grid).placed)
        cells, inside = app.screen.query_one("#cells").region, app.screen.query_one("#inside").region
        assert (cells.width, inside.width) == (80, 80)
        assert inside.y >= cells.bottom

    piloted(look, (80, 24))


def test_only_the_tab_that_is_shown_is_drawn() -> None:
    async def look(pilot: Pilot[None], app: Top, source: Still) -> None:
        assert rows(app, "all-events") == []
        await pilot.press("5")
        await until(pilot, lambda: len(rows(app, "all-events")) == 1)

    piloted(look)
