"""A table on the terminal: it keeps its cursor while its rows change, can be sorted by any column, and filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.widgets import DataTable

from atmdepot.view.tables import Order, arranged

if TYPE_CHECKING:
    from atmdepot.view.tables import Row, Subject, Value

_LOOKS = {"bad": "bold red", "good": "green", "": ""}


class Grid(DataTable[Text]):
    """A table of rows."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True, **options)
        self._rows: list[Row] = []
        self._placed: list[Row] = []
        self._order = Order()
        self._words = ""

    @property
    def placed(self) -> list[Row]:
        """The rows as they stand."""
        return self._placed

    def fill(self, rows: list[Row]) -> None:
        """Show rows, in place of those before."""
        if rows != self._rows:
            self._rows = rows
            self._place()

    def filter(self, words: str) -> None:
        """Show only rows that have all of the words."""
        self._words = words
        self._place()

    def sort_by_next(self) -> None:
        """Sort by the column behind that of now; behind the last, as the rows come."""
        names = ["", *(self._rows[0].values if self._rows else ())]
        at = names.index(self._order.column) if self._order.column in names else 0
        self._order = Order(names[(at + 1) % len(names)])
        self._place()

    def turn(self) -> None:
        """Reverse the order."""
        self._order = self._order._replace(down=not self._order.down)
        self._place()

    def subject(self) -> Subject | None:
        """The subject of the row under the cursor."""
        return self._placed[self.cursor_row].subject if 0 <= self.cursor_row < len(self._placed) else None

    def _place(self) -> None:
        before = self._placed[self.cursor_row].key if 0 <= self.cursor_row < len(self._placed) else None
        scroll = self.scroll_y
        self._placed = arranged(self._rows, self._words, self._order)
        self.clear(columns=True)
        names = list(self._rows[0].values) if self._rows else []
        texts = [[_text(row.values.get(name, ""), row.look) for name in names] for row in self._placed]
        for at, name in enumerate(names):
            mark = (" v" if self._order.down else " ^") if name == self._order.column else ""
            head = f"{name}{mark}"
            # With its width it is drawn at once as it stays; else it would be narrow until the next idle moment.
            self.add_column(head, width=max(len(head), *(text[at].cell_len for text in texts), 1))
        for row in texts:
            self.add_row(*row)
        at = next((number for number, row in enumerate(self._placed) if row.key == before), 0)
        if self._placed:
            self.move_cursor(row=at, animate=False, scroll=False)
            self.scroll_to(y=scroll, animate=False)


def _text(value: Value, look: str) -> Text:
    """A value; numbers stand at the right, and nothing in a text is markup."""
    if isinstance(value, int | float):
        return Text(f"{value:,}", style=_LOOKS[look], justify="right")
    return Text(value, style=_LOOKS[look])
