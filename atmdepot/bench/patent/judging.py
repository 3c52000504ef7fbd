"""The patent's statements, judged by what was measured."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.bench.patent.plan import SMALL, Item
from atmdepot.bench.patent.samples import Spread  # noqa: TC001 - msgspec reads it at run time
from atmdepot.bench.patent.tables import AT_ONCE, DEPOT, IMPROVEMENT, IMPROVEMENT_AT, REQUESTS, SINGLE, SIZES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atmdepot.bench.patent.samples import Sample, Samples

AT_ONE = 0.9
"""The least ratio to the single server at 1 at once that the depot is to reach in regime B; the patent has 0.85."""

FALLEN = 0.9
"""A rate below this share of the best is past the knee."""

TWICE = 2.0
_MOST_OF_ALL = 0.95


class Knee(Struct, frozen=True):
    """The best rate of a single server with its number at once, and the number from which on it has fallen for good."""

    best_at: int
    best: float
    falls_at: int | None
    rates: dict[int, float | None]


class Ratio(Struct, frozen=True):
    """A test of both systems: their rates, and the depot's against the single server's within a pass."""

    size: str
    at_once: int
    ratio: Spread


class Judgement(Struct, frozen=True):
    """All that is said about the patent's statements; what was not measured is None or empty."""

    improvement: Spread | None
    improvement_long: Spread | None
    single_most: float | None
    """Answers per second of the single server at 20 at once, 1 KB, until 95 % had come."""

    single: float | None
    at_one: list[Ratio]
    above_two: list[Ratio]
    knee: Knee | None
    failed: dict[str, int]
    """Failed requests of tests of the tables that were not completed, by test."""

    ranges: dict[str, Spread]

    @property
    def reached(self) -> bool | None:
        """True when the improvement is at least the patent's; None when it was not measured."""
        return None if self.improvement is None else self.improvement.median >= IMPROVEMENT


def rate(sample: Sample) -> float | None:
    """Requests per second of a sample."""
    return sample.rate


def p50(sample: Sample) -> float | None:
    """The time (ms) within which half of the requests were answered."""
    return sample.seen.p50 if sample.seen and sample.seen.answered else None


def p99(sample: Sample) -> float | None:
    """The time (ms) within which 99 % of the requests were answered."""
    return sample.seen.p99 if sample.seen and sample.seen.answered else None


def judge(samples: Samples, requests: int = REQUESTS, regime: str = SMALL) -> Judgement:
    """The judgement of regime B's samples; `requests` is the number of a test's requests, as it was run."""
    size, at_once = IMPROVEMENT_AT
    single = table_key(samples, regime, SINGLE, size, at_once, requests)
    return Judgement(
        _ratio(samples, regime, size, at_once, requests),
        _ratio(samples, regime, size, at_once, 0), _median(samples, single, _most), _median(samples, single, rate),
        [each for each in _ratios(samples, regime, requests) if each.at_once == 1],
        [each for each in _ratios(samples, regime, requests) if each.ratio.median > TWICE],
        knee(samples, requests), _failed(samples, regime), dict(_ranges(samples, requests)))


def table_key(samples: Samples, regime: str, system: str, size: str, at_once: int, requests: int) -> str:
    """The key of a test of the tables: with so many requests, or of the longer run when that is 0."""
    start = Item("tables", regime, system, size, at_once).key.rpartition("/")[0]
    # Longer runs are named by their seconds.
    found = [key for key in samples.by_key if key.rpartition("/")[0] == start
             and (key.endswith("s") if not requests else key.endswith(f"/{requests}"))]
    return found[0] if found else f"{start}/{requests}"


def measured(samples: Samples, regime: str, requests: int) -> list[int]:
    """The numbers at once of the tables for which a regime has samples."""
    return [at_once for at_once in AT_ONCE if any(
        table_key(samples, regime, system, size, at_once, requests) in samples.by_key
        for system in (SINGLE, DEPOT) for size in SIZES)]


def measured_sizes(samples: Samples, regime: str, requests: int) -> list[str]:
    """The sizes of the tables for which a regime has samples."""
    return [size for size in SIZES if any(
        table_key(samples, regime, system, size, at_once, requests) in samples.by_key
        for system in (SINGLE, DEPOT) for at_once in AT_ONCE)]


def _ratio(samples: Samples, regime: str, size: str, at_once: int, requests: int) -> Spread | None:
    over, under = (table_key(samples, regime, system, size, at_once, requests) for system in (DEPOT, SINGLE))
    return samples.ratio(over, under, rate)


def _ratios(samples: Samples, regime: str, requests: int) -> Iterator[Ratio]:
    for size in SIZES:
        for at_once in AT_ONCE:
            if found := _ratio(samples, regime, size, at_once, requests):
                yield Ratio(size, at_once, found)


def _most(sample: Sample) -> float | None:
    seen = sample.seen
    return _MOST_OF_ALL * seen.counted / seen.seconds_most if seen and seen.seconds_most else None


def _median(samples: Samples, key: str, value: object) -> float | None:
    found = samples.spread(key, value)  # type: ignore[arg-type]
    return found.median if found else None


def knee(samples: Samples, requests: int) -> Knee | None:
    """The knee of the single server of regime B with 1 KB; None without rates."""
    size = IMPROVEMENT_AT[0]
    rates: dict[int, float | None] = {}
    for key in samples.by_key:
        part, regime, system, of, at_once, amount, *_ = key.split("/")
        if part in ("tables", "knee") and (regime, system, of, amount) == (SMALL, SINGLE, size, str(requests)):
            found = samples.spread(key, rate)
            rates[int(at_once)] = found.median if found else None
    return knee_of(rates)


def knee_of(rates: dict[int, float | None]) -> Knee | None:
    """The knee of some rates by number at once; a test that was not completed (None) has fallen."""
    known = {at_once: each for at_once, each in sorted(rates.items()) if each is not None}
    if not known:
        return None
    best_at = max(known, key=lambda at_once: known[at_once])
    best = known[best_at]
    falls_at = None
    for at_once in sorted(rates, reverse=True):
        if at_once <= best_at or (rates[at_once] or 0) >= FALLEN * best:
            break
        falls_at = at_once
    return Knee(best_at, best, falls_at, dict(sorted(rates.items())))


def _failed(samples: Samples, regime: str) -> dict[str, int]:
    return {key: sum(each.seen.failed for each in found if each.seen) for key, found in samples.by_key.items()
            if key.startswith(f"tables/{regime}/") and any(each.seen and each.seen.failed for each in found)}


def _ranges(samples: Samples, requests: int) -> Iterator[tuple[str, Spread]]:
    for key in samples.by_key:
        part, regime, system, *_, last = key.split("/")
        if part == "range" and system == SINGLE and f"/{requests}/" in key:
            over = key.replace(f"{regime}/{SINGLE}/", f"{regime}/{DEPOT}/", 1)
            if found := samples.ratio(over, key, rate):
                yield last, found


def variation(shares: Sequence[int]) -> float:
    """The coefficient of variation of the servers' shares: 0 when all have the same; 1 when one of two has all."""
    mean = statistics.fmean(shares) if shares else 0.0
    return statistics.pstdev(shares) / mean if mean else 0.0
