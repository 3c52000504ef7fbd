"""All that was measured: a sample for each figure, contender and round; medians, spreads, and ratios within rounds."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from atmdepot.bench.figures import Target


class Spread(Struct, frozen=True):
    """The median of some samples, the least and the greatest."""

    median: float
    least: float
    most: float


class Failure(Struct, frozen=True):
    """A measurement that does not count; rounds begin with 1."""

    round: int
    measure: str
    contender: str
    why: str


class Samples:
    """The samples by figure and contender: for each round a sample, or None after a failure."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.by_figure: dict[str, dict[str, list[float | None]]] = {}
        self.failures: list[Failure] = []

    def add(self, figure: str, contender: str, round_number: int, value: float) -> None:
        """Keep the sample of a round (1, 2...)."""
        taken = self.by_figure.setdefault(figure, {}).setdefault(contender, [None] * self.rounds)
        taken[round_number - 1] = value

    def of(self, figure: str, contender: str) -> list[float | None]:
        """The samples, round by round; empty before the first."""
        return self.by_figure.get(figure, {}).get(contender, [])

    def spread(self, figure: str, contender: str) -> Spread | None:
        """Median and spread, if there is a sample."""
        return spread_of(self.of(figure, contender))

    def ratio(self, over: tuple[str, str], under: tuple[str, str]) -> Spread | None:
        """Median and spread of the ratios within a round of two (figure, contender), if a round has both."""
        return spread_of(self.ratios(over, under))

    def ratios(self, over: tuple[str, str], under: tuple[str, str]) -> list[float]:
        """The ratios within a round of two (figure, contender), of the rounds that have both."""
        return [above / below for above, below in zip(self.of(*over), self.of(*under), strict=False)
                if above is not None and below]

    def value(self, target: Target) -> float | None:
        """The value to compare with a target: the median of its ratio, or of its figure, if that was measured."""
        found = self.spread(*target.over) if target.under is None else self.ratio(target.over, target.under)
        return None if found is None else found.median

    def contenders(self, order: Iterable[str]) -> list[str]:
        """The contenders that have a sample."""
        return [name for name in order if any(name in taken for taken in self.by_figure.values())]


def quartiles_of(samples: Sequence[float | None]) -> tuple[float, float] | None:
    """The lower and the upper quartile (25 %, 75 %) of the samples, if there are samples."""
    taken = [sample for sample in samples if sample is not None]
    if len(taken) < 2:
        return (taken[0], taken[0]) if taken else None
    # Inclusive: the rounds are all that there is, and no quartile lies beyond them.
    lower, _, upper = statistics.quantiles(taken, n=4, method="inclusive")
    return lower, upper


def spread_of(samples: Sequence[float | None]) -> Spread | None:
    """Median, least and greatest of the samples that there are."""
    taken = [sample for sample in samples if sample is not None]
    return Spread(statistics.median(taken), min(taken), max(taken)) if taken else None
