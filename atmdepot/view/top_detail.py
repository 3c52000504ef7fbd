"""A thing in detail on the terminal: its facts, its rows, and its last cells down to their octets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from atmdepot.errors import AtmdepotError
from atmdepot.tables import heading_of
from atmdepot.view.grid import Grid
from atmdepot.view.tables import Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from atmdepot.view.decode import ShownCell
    from atmdepot.view.details import Detail
    from atmdepot.view.source import Source
    from atmdepot.view.tables import Subject

_AGAIN = 2.0
_COLOURS = {"header": "black on bright_blue", "hec": "black on cyan", "llc": "black on yellow", "ip": "black on green",
            "transport": "black on magenta", "data": "white on grey37", "pad": "grey50",
            "trailer": "black on dark_orange", "oam": "black on bright_magenta"}
_MOST_FACTS = 24


class DetailScreen(Screen[None]):
    """Details of a node, link, VC, server or session, and of the cell under the cursor."""

    CSS = """
    #title { height: 1; background: $primary; padding: 0 1; text-style: bold; }
    #facts { height: auto; max-height: 9; padding: 0 1; }
    #cells { height: 1fr; }
    #inside { width: 1fr; padding: 0 1; border-left: solid $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back"), Binding("q", "app.pop_screen", "Back", show=False),
        Binding("space", "app.freeze", "Freeze"), Binding("r", "again", "Ask again")]

    def __init__(self, source: Source, subject: Subject, is_frozen: Callable[[], bool]) -> None:
        super().__init__()
        self._source = source
        self._subject = subject
        self._is_frozen = is_frozen
        self._cells: dict[str, ShownCell] = {}
        self._opened = ""

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(id="title", markup=False)
        yield Static(id="facts", markup=False)
        with Horizontal():
            yield Grid(id="cells")
            with VerticalScroll(id="inside"):
                yield Static(id="octets", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Ask, and again now and then."""
        self.query_one("#title", Static).update(" ".join(self._subject))
        self.set_interval(_AGAIN, lambda: None if self._is_frozen() else self.action_again())
        self.action_again()
        self.query_one("#cells", Grid).focus()

    def action_again(self) -> None:
        """Ask for the details."""
        self.run_worker(self._ask, thread=True, exclusive=True, group="detail")

    def _ask(self) -> None:
        try:
            detail = self._source.detail(*self._subject)
        except AtmdepotError as error:
            self.app.call_from_thread(self.query_one("#facts", Static).update, str(error))
            return
        self.app.call_from_thread(self._show, detail)

    def _show(self, detail: Detail) -> None:
        self.query_one("#title", Static).update(detail.title)
        self.query_one("#facts", Static).update(_facts(detail))
        cells = sorted([*detail.cells, *detail.others], key=lambda cell: cell.time, reverse=True)
        self._cells = {f"{cell.id} {cell.octets}": cell for cell in cells}
        self.query_one("#cells", Grid).fill([_row(key, cell) for key, cell in self._cells.items()])

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the cell under the cursor."""
        grid = event.data_table
        if not isinstance(grid, Grid) or not 0 <= grid.cursor_row < len(grid.placed):
            return
        key = grid.placed[grid.cursor_row].key
        if key != self._opened and key in self._cells:
            self._opened = key
            self.run_worker(lambda: self._open(self._cells[key]), thread=True, exclusive=True, group="cell")

    def _open(self, cell: ShownCell) -> None:
        try:
            tree = self._source.tree(cell.link, int(cell.id), bytes.fromhex(cell.octets))
        except AtmdepotError as error:
            tree = str(error)
        self.app.call_from_thread(self.query_one("#octets", Static).update, octets_text(cell, tree))


def _facts(detail: Detail) -> Text:
    """The facts, and the first rows of tables, in lines."""
    text = Text()
    if detail.trouble:
        text.append(f"{detail.trouble}\n", style="bold red")
    facts = [f"{heading_of(name)} {_plain(value)}" for name, value in list(detail.facts.items())[:_MOST_FACTS]]
    text.append("  ".join(facts))
    for title, rows in detail.tables.items():
        text.append(f"\n{title} ({detail.notes.get(title, len(rows))}): ", style="bold")
        text.append("; ".join(" ".join(_plain(value) for value in list(row.values())[:6]) for row in rows[:4]))
    return text


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _row(key: str, cell: ShownCell) -> Row:
    time = int(cell.id)
    place = f"{cell.position} of {cell.cells}" if cell.position and cell.cells else str(cell.position or "")
    return Row(key, {"second": f"{time // 10**9 % 60:02}.{time // 1000 % 10**6:06}", "node": cell.node,
                     "way": cell.direction, "VC": cell.vc, "cell": place, "kind": cell.kind},
               look="" if cell.is_good else "bad")


def octets_text(cell: ShownCell, tree: str) -> Text:
    """The 53 octets of a cell, coloured by what they are of, and all fields below."""
    octets = bytes.fromhex(cell.octets)
    text = Text()
    for at, octet in enumerate(octets):
        kind = next((region.kind for region in cell.regions if region.begin <= at < region.end), "data")
        text.append(f"{octet:02x}", style=_COLOURS.get(kind, ""))
        text.append("\n" if at == 4 or (at > 4 and (at - 4) % 16 == 0) else " ")
    text.append("\n")
    for region in cell.regions:
        text.append("  ", style=_COLOURS.get(region.kind, ""))
        text.append(f" {region.text} {region.end - region.begin}  ")
    text.append("\n\n" + "  ".join(f"{name} {value}" for name, value in cell.fields.items()))
    if cell.pdu:
        text.append(f"\n\n{cell.pdu}", style="bold")
    text.append(f"\n\n{tree}")
    return text
