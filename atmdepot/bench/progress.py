"""The progress of the benchmark on a stream: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from atmdepot.bench.schedule import TimeLeft, in_words

if TYPE_CHECKING:
    from typing import TextIO


class Teller:
    """A reporter of progress: lines of text, and the time left at the end of each part."""

    def __init__(self, expected: float, stream: TextIO) -> None:
        """Take the expected seconds of all parts, and the stream to write to."""
        self._left = TimeLeft(expected)
        self._console = Console(file=stream, highlight=False, soft_wrap=True, markup=False)
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]} left"),
                             console=self._console, transient=True, disable=not self._console.is_terminal,
                             auto_refresh=False)  # a bar redrawn by a thread would take CPU time from the measurement
        self._task = self._bar.add_task("", total=expected, left=in_words(expected))

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._bar.stop()

    def tell(self, line: str) -> None:
        """Print a line."""
        self._console.print(line)

    def passed(self, expected: float, took: float) -> None:
        """Note the end of a part: the seconds it was expected to take, and the seconds it took."""
        self._left.passed(expected, took)
        self._bar.update(self._task, advance=expected, left=in_words(self._left.seconds), refresh=True)

    def spared(self, expected: float) -> None:
        """Note a part that is left out, by the seconds it was expected to take."""
        self._left.spared(expected)
        self._bar.update(self._task, advance=expected, left=in_words(self._left.seconds), refresh=True)

    def end_of(self, part: str, found: str) -> None:
        """Print the result of a finished part, and the time left where no bar shows it."""
        self._bar.update(self._task, description=part, refresh=True)
        # A bar on a terminal shows the time left already.
        left = "" if self._console.is_terminal else f"; {in_words(self._left.seconds)} left"
        self.tell(f"{part}: {found}{left}")
