"""`atmdepot top`: a running network on the whole terminal. What it shows is the collector's, as on the page."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Footer, Input, Static, TabbedContent, TabPane

from atmdepot.view import tables
from atmdepot.view.grid import Grid
from atmdepot.view.top_detail import DetailScreen

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.view.source import Source
    from atmdepot.view.tables import Row, Subject
    from atmdepot.view.ticks import Tick

_FEW_EVENTS, _MOST_EVENTS = 50, 500
_LOOK = 0.5
_ASK = 2.0
"""Seconds between two looks at the ticks, and between two questions for VCs or sessions."""


class Top(App[None]):
    """The application."""

    TITLE = "atmdepot top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen, TabPane, Vertical { overflow: hidden; }
    Screen { background: $background; }
    #head { height: 1; background: $primary; color: $text; padding: 0 1; text-style: bold; }
    #words { display: none; height: 3; }
    #words.open { display: block; }
    .title { height: 1; padding: 0 1; color: $text-muted; text-style: bold; }
    Grid { height: 1fr; scrollbar-size-vertical: 1; }
    Grid > .datatable--cursor { background: transparent; color: $text; text-style: none; }
    Grid:focus > .datatable--cursor { background: $primary; color: $text; text-style: bold; }
    #overview-nodes { height: auto; max-height: 30%; }
    #overview-servers { height: auto; max-height: 30%; }
    #overview-links { height: auto; max-height: 35%; }
    TabPane { padding: 0; }
    .-short .title { display: none; }
    .-short #overview-nodes { max-height: 5; }
    .-short #overview-links { max-height: 6; }
    .-short #overview-servers { max-height: 4; }
    #overview Grid { scrollbar-size-horizontal: 0; }
    DetailScreen.-short #facts { max-height: 4; }
    DetailScreen.-narrow Horizontal { layout: vertical; }
    DetailScreen.-narrow #cells { height: 2fr; }
    DetailScreen.-narrow #inside { height: 3fr; width: 100%; border-left: none; border-top: solid $primary; }
    """
    # Textual declares both in a way that types as variables of an instance.
    VERTICAL_BREAKPOINTS: ClassVar = [(0, "-short"), (34, "-tall")]  # type: ignore[misc]
    HORIZONTAL_BREAKPOINTS: ClassVar = [(0, "-narrow"), (110, "-wide")]  # type: ignore[misc]
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"tab('{name}')", name, show=False) for number, name in enumerate(
            ("overview", "vcs", "sessions", "drops", "events"), 1)),
        Binding("enter", "open", "Open", show=True),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("r", "turn", "Reverse"),
        Binding("space", "freeze", "Freeze"),
        Binding("escape", "unfilter", "Clear", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._frozen = False
        self._ticks: tuple[Tick, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(id="head", markup=False)
        yield Input(placeholder="words that rows must have; Esc clears them", id="words")
        with TabbedContent(initial="overview"):
            with TabPane("1 Overview", id="overview"), Vertical():
                yield Static("nodes", classes="title")
                yield Grid(id="overview-nodes")
                yield Static("links: cells per second both ways", classes="title")
                yield Grid(id="overview-links")
                yield Static("servers", classes="title")
                yield Grid(id="overview-servers")
                yield Static("events", classes="title")
                yield Grid(id="overview-events")
            for number, (name, title) in enumerate((("vcs", "VCs"), ("sessions", "Sessions"), ("drops", "Drops"),
                                                    ("events", "Events")), 2):
                with TabPane(f"{number} {title}", id=name):
                    yield Grid(id=f"all-{name}")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.set_interval(_LOOK, self._look)
        self.set_interval(_ASK, self._ask)
        self._look()

    def _look(self) -> None:
        """Show the newest tick, unless what is shown is frozen."""
        ticks = self._source.ticks()
        if not ticks or (self._ticks and (self._frozen or ticks[-1].number == self._ticks[-1].number)):
            return
        self._ticks = ticks
        self._draw()

    def _draw(self) -> None:
        """Draw the tab that is shown, and no other: long tables take time."""
        if not self._ticks:
            return
        tick, network = self._ticks[-1], self._source.network
        self._head(tick)
        match self.screen_stack[0].query_one(TabbedContent).active:
            case "overview":
                self._fill("overview-nodes", tables.nodes(tick, network))
                self._fill("overview-links", tables.links(tick, network))
                self._fill("overview-servers", tables.servers(tick))
                self._fill("overview-events", tables.events(self._ticks, clock)[:_FEW_EVENTS])
            case "events":
                self._fill("all-events", tables.events(self._ticks, clock)[:_MOST_EVENTS])
            case "drops":
                self._fill("all-drops", tables.drops(tick))

    def _head(self, tick: Tick) -> None:
        cells = sum(link.there + link.back for link in tick.links.values())
        open_now = sum(server.sessions for server in tick.servers.values())
        self.query_one("#head", Static).update(
            f"{self._source.network.name}  {clock(tick.time)}  {cells:,.0f} cells/s  {open_now:,} sessions"
            f"{'  FROZEN (space goes on)' if self._frozen else ''}")

    def _fill(self, name: str, rows: list[Row]) -> None:
        # Of the application's own screen: a detail may lie over it.
        self.screen_stack[0].query_one(f"#{name}", Grid).fill(rows)

    def _ask(self) -> None:
        """Ask for VCs or sessions where these are looked at: long tables cost the daemons time."""
        active = self.screen_stack[0].query_one(TabbedContent).active
        if self._frozen or len(self.screen_stack) > 1 or active not in ("vcs", "sessions"):
            return
        makers: dict[str, Callable[[], list[Row]]] = {
            "vcs": lambda: tables.vcs(self._source.vcs()), "sessions": lambda: tables.sessions(self._source.sessions())}

        def asked() -> None:
            rows = makers[active]()
            self.call_from_thread(self._fill, f"all-{active}", rows)

        self.run_worker(asked, thread=True, exclusive=True, group="ask")

    # What keys do.

    def action_tab(self, name: str) -> None:
        """Go to a tab."""
        self.set_focus(None)  # what is focused when its tab is hidden would bring that tab back
        self.query_one(TabbedContent).active = name

    def on_tabbed_content_tab_activated(self) -> None:
        """Go to the table of the tab that is shown now."""
        self.call_after_refresh(self._focus_grid)
        self._draw()
        self._ask()

    def action_freeze(self) -> None:
        """Hold what is shown, or go on."""
        self._frozen = not self._frozen
        if ticks := self._source.ticks():
            self._head(ticks[-1])

    def action_filter(self) -> None:
        """Ask for words."""
        words = self.query_one("#words", Input)
        words.add_class("open")
        words.focus()

    def action_unfilter(self) -> None:
        """Forget the words."""
        words = self.query_one("#words", Input)
        words.value = ""
        words.remove_class("open")
        self._focus_grid()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show only rows that have the words."""
        for grid in self.query(Grid):
            grid.filter(event.value)

    def on_input_submitted(self) -> None:
        """Go back to the table."""
        self._focus_grid()

    def action_sort(self) -> None:
        """Sort by the next column."""
        if isinstance(self.focused, Grid):
            self.focused.sort_by_next()

    def action_turn(self) -> None:
        """Reverse the order."""
        if isinstance(self.focused, Grid):
            self.focused.turn()

    def action_open(self) -> None:
        """Open what the cursor is on."""
        if isinstance(self.focused, Grid) and (subject := self.focused.subject()) is not None:
            self.open(subject)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a row that was chosen by Enter or by the mouse."""
        if isinstance(event.data_table, Grid) and (subject := event.data_table.subject()) is not None:
            self.open(subject)

    def open(self, subject: Subject) -> None:
        """Show a thing in detail."""
        self.push_screen(DetailScreen(self._source, subject, lambda: self._frozen))

    def _focus_grid(self) -> None:
        active = self.query_one(TabbedContent).active
        self.query_one("#overview-links" if active == "overview" else f"#all-{active}", Grid).focus()


def clock(time: int) -> str:
    """A time (ns) of today, as hours, minutes, seconds and a tenth."""
    return f"{datetime.fromtimestamp(time // 10**9):%H:%M:%S}.{time // 10**8 % 10}"
