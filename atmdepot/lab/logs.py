"""The logs of a lab's processes: their last lines, and those to come."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LOOK = 0.2
_PIECE = 64 * 1024


class _Log:
    """A log that is read on; a line without an end waits for the rest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._rest = b""

    def last(self, count: int) -> list[str]:
        """The last lines; reading goes on behind them."""
        found: list[str] = []
        while True:
            at, found = self._at, (found + self.more())[-count:]
            if self._at == at:
                return found

    def more(self) -> list[str]:
        """The lines that end in the next piece of the file; none when it cannot be read."""
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._at:  # it began anew
                    self._at, self._rest = 0, b""
                file.seek(self._at)
                piece = file.read(_PIECE)
        except OSError:
            return []
        self._at += len(piece)
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()[-_PIECE:]
        return [line.decode("utf-8", "replace") for line in lines]


def read(logs: dict[str, Path], last: int, is_followed: Callable[[], bool]) -> Iterator[str]:
    """The last lines of logs, each with the name of its process, and those to come while they are followed."""
    width = max(map(len, logs))
    opened = {name: _Log(path) for name, path in logs.items()}
    for name, log in opened.items():
        yield from (f"{name:<{width}}  {line}" for line in log.last(last))
    while is_followed():
        found = False
        for name, log in opened.items():
            for line in log.more():
                found = True
                yield f"{name:<{width}}  {line}"
        if not found:
            time.sleep(_LOOK)
