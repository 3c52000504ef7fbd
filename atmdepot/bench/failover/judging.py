"""The effect of a failure on a service: gaps between answers, and the sessions that went on. Times are arguments."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NS_A_MS = 1e6
_QUIET_NS = 100_000_000
"""Silence for longer than this is no pause between two answers."""

HANDSHAKE = -1.0
"""The age of a session whose handshake was not over when the failure came."""

AGES: dict[str, tuple[float, float]] = {
    "handshake": (-math.inf, 0.0), "below 10 ms": (0.0, 10.0), "10 to 100 ms": (10.0, 100.0),
    "0.1 to 1 s": (100.0, 1000.0), "1 to 10 s": (1000.0, 10_000.0), "10 s and more": (10_000.0, math.inf)}
"""Buckets of ages in milliseconds: from, and below."""

ESTABLISHED = tuple(AGES)[1:]
SETTLED = tuple(AGES)[2:]
"""The buckets of sessions established 10 ms before a failure, or earlier."""


class Reading(Struct):
    """One failure as the client saw it.

    Gaps in milliseconds: `kept` between answers on sessions from before (a request every few ms, each on another
    session), `new` between first answers of new sessions, `train` on a single session with requests every 10 ms,
    `download` between chunks of a paced one. None: nothing came any more. `noise` is the longest gap of `kept` in the
    second before. `went_on` and `lost` have the ages of sessions at the failure in ms (`HANDSHAKE` for one that was
    being opened), the latter by reason.
    """

    kept: float | None = None
    new: float | None = None
    train: float | None = None
    download: float | None = None
    noise: float | None = None
    went_on: list[float] = field(default_factory=list)
    lost: dict[str, list[float]] = field(default_factory=dict)

    @property
    def all_lost(self) -> list[float]:
        """The ages of all that were lost."""
        return [age for ages in self.lost.values() for age in ages]


def longest_gap(times: Sequence[int], since: int, until: int) -> float | None:
    """The longest time (ms) between two answers that follow each other, of which the later came after `since`.

    Args:
        times: when answers came, in ns, in order.
        since: the time of the failure; the last answer before it counts as the first.
        until: answers after this time do not count.

    Returns:
        None where answers did not come back: none came after the failure, or they ended soon after it.

    """
    first, last = bisect_right(times, since), bisect_right(times, until)
    if first >= last:
        return None
    before = times[first - 1] if first else since
    seen = [before, *times[first:last]]
    longest = max(later - sooner for sooner, later in pairwise(seen))
    return None if until - seen[-1] > max(longest, _QUIET_NS) else longest / _NS_A_MS


class Share(Struct, frozen=True):
    """The count of sessions that went on, out of some."""

    went_on: int
    of: int

    @property
    def percent(self) -> float | None:
        """The share that went on, in percent; None where there were none."""
        return 100 * self.went_on / self.of if self.of else None


def survival(readings: Iterable[Reading], buckets: Sequence[str] = ESTABLISHED) -> Share:
    """The sessions of some ages that went on, over several failures."""
    went_on = lost = 0
    for reading in readings:
        went_on += _within(reading.went_on, buckets)
        lost += _within(reading.all_lost, buckets)
    return Share(went_on, went_on + lost)


def _within(ages: Iterable[float], buckets: Sequence[str]) -> int:
    ranges = [AGES[name] for name in buckets]
    return sum(any(least <= age < most for least, most in ranges) for age in ages)


def reasons(readings: Iterable[Reading]) -> dict[str, int]:
    """The reasons why sessions were lost, with their numbers."""
    found: dict[str, int] = {}
    for reading in readings:
        for why, ages in reading.lost.items():
            found[why] = found.get(why, 0) + len(ages)
    return found


def expected_loss(mean: float, period: float) -> float:
    """The share of sessions that a warm standby without recall loses if it is told of new ones each `period` seconds.

    Lifetimes are exponential with this mean (seconds), so are the ages of open sessions. A failure may come at any time
    of the period, and the sessions opened since it began are lost: 1 - (L/P)(1 - e^(-P/L)).
    """
    ratio = mean / period
    return 1 + ratio * math.expm1(-1 / ratio)


def loss_of_lifetime(readings: Sequence[Reading], mean: float, steps: Sequence[float]) -> float | None:
    """The share lost among sessions whose lifetimes are exponential with this mean (seconds), as measured.

    The measured loss at each age is weighted with the sessions that such lifetimes have at that age. So one run tells
    of all means, and sessions that an earlier failure had ended do not bend the figure.

    Args:
        readings: of failures at times spread over the period.
        mean: in seconds.
        steps: ages in seconds, rising from 0: the loss is taken to be even between two of them, and none is after the
            last.

    Returns:
        None where no session was in one of the steps.

    """
    went_on = sorted(age / 1000 for reading in readings for age in reading.went_on if age >= 0)
    lost = sorted(age / 1000 for reading in readings for age in reading.all_lost if age >= 0)
    total = 0.0
    for least, most in pairwise(steps):
        fell, stayed = _between(lost, least, most), _between(went_on, least, most)
        if not fell + stayed:
            return None
        total += fell / (fell + stayed) * (math.exp(-least / mean) - math.exp(-most / mean))
    return total


def _between(ages: Sequence[float], least: float, most: float) -> int:
    return bisect_right(ages, most) - bisect_right(ages, least)


def steps_for(period: float, many: int = 10) -> list[float]:
    """Ages for `loss_of_lifetime`: even steps of the period, and a quarter more for what is on its way."""
    return [period * step / many for step in range(many + many // 4 + 1)]


class Summary(Struct, frozen=True):
    """A figure of several failures: its median and its worst; None where a failure had none (nothing came any more)."""

    median: float | None
    worst: float | None


def summary(values: Sequence[float | None]) -> Summary | None:
    """Median and worst of a gap over several failures; None without one. A gap without end is longer than any."""
    if not values:
        return None
    ordered = sorted(math.inf if value is None else value for value in values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Summary(*(None if math.isinf(value) else value for value in (median, ordered[-1])))


class SyncReading(Struct):
    """A full sync of a standby, beside a load.

    Attributes:
        sessions: how many idle ones the active depot had.
        seconds: from when the standby was ready until it was in sync.
        rate_before, rate_during: new connections a second without a standby, and while it went on.
        long_turns: turns of the active depot's loop that took more than 5 ms of the processor meanwhile.
        longest_turn: the longest of them in ms; 0 without one.

    """

    sessions: int
    seconds: float
    rate_before: float
    rate_during: float
    long_turns: int
    longest_turn: float


def by_age(readings: Sequence[Reading]) -> Mapping[str, Share]:
    """The share that went on in each bucket of ages."""
    return {name: survival(readings, (name,)) for name in AGES}
