"""In which order the contenders take their turns, and how long that still takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MINUTE = 60


def order(contenders: Sequence[str], round_number: int, load_number: int) -> list[str]:
    """The contenders in the order of a turn: another begins each time, and every second round they run backwards.

    So none always runs after the same other one, or always first.
    """
    start = (round_number + load_number) % max(1, len(contenders))
    turned = [*contenders[start:], *contenders[:start]]
    return turned[::-1] if round_number % 2 else turned


class TimeLeft:
    """The time that is left: as expected at first, and more and more as it was found."""

    def __init__(self, expected: float) -> None:
        """Take the number of seconds that all is expected to take."""
        self._expected = expected
        self._done = self._took = 0.0

    def passed(self, expected: float, took: float) -> None:
        """A part is done that was expected to take some seconds, and took others."""
        self._done += expected
        self._took += took

    def spared(self, expected: float) -> None:
        """A part that was expected to take some seconds is left out."""
        self._expected -= expected

    @property
    def seconds(self) -> float:
        """What is left, in seconds."""
        left = max(0.0, self._expected - self._done)
        return left * (self._took / self._done if self._done else 1.0)


def in_words(seconds: float) -> str:
    """A time as people read it: `45 s`, `3 min 10 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < _MINUTE else f"{whole // _MINUTE} min {whole % _MINUTE} s"
