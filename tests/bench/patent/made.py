"""Samples made by hand, and a run's settings, for the tests of the experiment."""

from __future__ import annotations

from atmdepot.bench.patent import settings
from atmdepot.bench.patent.plan import PARTS, QUICK, REGIMES, WHOLE, Item, Plan, Size, plan
from atmdepot.bench.patent.samples import Sample, Samples
from atmdepot.bench.patent.seen import Seen
from atmdepot.bench.patent.tables import AT_ONCE, SIZES, SYSTEMS, patent

MACHINE = {"processors": 2, "processor": "a processor", "kernel": "6.1", "python": "CPython 3.11", "atmdepot": "1",
           "programs": {"nginx": "1.22"}}


def small() -> settings.Settings:
    return settings.load(settings.shipped())


def of(size: Size = WHOLE, passes: int = 1) -> Plan:
    return plan(small(), tuple(PARTS), tuple(REGIMES), size, passes)


def quick() -> Plan:
    return of(QUICK)


def seen(rate: float, answered: int = 1000, failed: int = 0, **more: object) -> Seen:
    seconds = answered / rate
    return Seen(answered, failed, seconds, answered * 1200, answered, 10.0, 20.0, 0.95 * seconds,
                **more)  # type: ignore[arg-type]


def sample(key: str, rate: float, number: int = 1, failed: int = 0) -> Sample:
    return Sample(key, number, seen(rate, failed=failed))


def as_the_patent(times: float = 10.0) -> Samples:
    """Samples of both regimes that have the patent's rates, so many times; X as a test with failures."""
    found = Samples()
    for regime in REGIMES:
        for size in SIZES:
            for at_once in AT_ONCE:
                for system in SYSTEMS:
                    rate = patent("rate", size, at_once, system)
                    key = Item("tables", regime, system, size, at_once).key
                    found.add(sample(key, times * rate) if rate else sample(key, 100.0, failed=7))
    return found
