"""How far the benchmark is, on standard error: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from atmdepot.bench.schedule import TimeLeft, in_words

if TYPE_CHECKING:
    from typing import TextIO


class Teller:
    """Tells lines, and with each that ends a part how much time is left."""

    def __init__(self, expected: float, stream: TextIO) -> None:
        """Take the number of seconds that all is expected to take, and where to tell."""
        self._left = TimeLeft(expected)
        self._console = Console(file=stream, highlight=False, soft_wrap=True, markup=False)
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]} left"),
                             console=self._console, transient=True, disable=not self._console.is_terminal,
                             auto_refresh=False)  # a bar that draws itself would take time from what is measured
        self._task = self._bar.add_task("", total=expected, left=in_words(expected))

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self._bar.stop()

    def tell(self, line: str) -> None:
        """A line."""
        self._console.print(line)

    def passed(self, expected: float, took: float) -> None:
        """A part is done that was expected to take some seconds, and took others."""
        self._left.passed(expected, took)
        self._bar.update(self._task, advance=expected, left=in_words(self._left.seconds), refresh=True)

    def spared(self, expected: float) -> None:
        """A part that was expected to take some seconds is left out."""
        self._left.spared(expected)
        self._bar.update(self._task, advance=expected, left=in_words(self._left.seconds), refresh=True)

    def end_of(self, part: str, found: str) -> None:
        """A part is done, with what it found."""
        self._bar.update(self._task, description=part, refresh=True)
        left = "" if self._console.is_terminal else f"; {in_words(self._left.seconds)} left"
        self.tell(f"{part}: {found}{left}")
