"""The order of the contenders' turns, and the estimate of the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MINUTE = 60


def order(contenders: Sequence[str], round_number: int, load_number: int) -> list[str]:
    """The contenders in the order of a turn: the first rotates each time, and odd rounds run backwards.

    So no contender always runs first, or always after the same contender.
    """
    start = (round_number + load_number) % max(1, len(contenders))  # the list may be empty
    turned = [*contenders[start:], *contenders[:start]]
    return turned[::-1] if round_number % 2 else turned


class TimeLeft:
    """The time left: the expected time, corrected by the time that the finished parts took."""

    def __init__(self, expected: float) -> None:
        """Take the expected seconds of all parts."""
        self._expected = expected
        self._done = self._took = 0.0

    def passed(self, expected: float, took: float) -> None:
        """Note the end of a part: the seconds it was expected to take, and the seconds it took."""
        self._done += expected
        self._took += took

    def spared(self, expected: float) -> None:
        """Note a part that is left out, by the seconds it was expected to take."""
        self._expected -= expected

    @property
    def seconds(self) -> float:
        """The time left, in seconds."""
        left = max(0.0, self._expected - self._done)
        return left * (self._took / self._done if self._done else 1.0)  # no part done: as expected


def in_words(seconds: float) -> str:
    """A time as text: `45 s`, `3 min 10 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < _MINUTE else f"{whole // _MINUTE} min {whole % _MINUTE} s"
