"""Tables 1 and 2 of the patent (pages 14 and 15), as printed."""

from __future__ import annotations

from typing import Literal

SIZES = ("100B", "1KB", "10KB")
"""The files: 100 bytes, 1 Kbyte and 10 Kbytes."""

AT_ONCE = (1, 5, 10, 15, 20, 25, 100)
"""Requests at once."""

REQUESTS = 1000
"""The requests of a test."""

SINGLE, DEPOT = "single", "depot"
SYSTEMS = (SINGLE, DEPOT)
"""One server alone, and the depot with two, in turn."""

IMPROVEMENT, IMPROVEMENT_AT = 2.65, ("1KB", 20)
"""The improvement that the patent quotes (page 15), and the test that it is of."""

Measure = Literal["kbytes", "rate"]
MEASURES: tuple[Measure, ...] = ("kbytes", "rate")
TITLES = {"kbytes": "Table 1: Kbytes/s, headers included", "rate": "Table 2: requests/s"}

_NONE = None  # "X": the test could not be completed

_KBYTES: dict[int, tuple[float | None, ...]] = {
    1: (18.22, 17.46, 66.58, 56.67, 52.13, 51.98),
    5: (29.21, 44.62, 99.26, 80.75, 151.85, 168.18),
    10: (21.1, 55.13, 94.83, 99.81, 226.80, 244.53),
    15: (10.18, 39.5, 65.75, 101.73, 223.1, 277.06),
    20: (11.17, 29.86, 42.64, 111.93, 251.24, 289.91),
    25: (6.46, 30.00, 33.86, 117.53, 233.73, 297.89),
    100: (6.55, 12.23, _NONE, 37.59, _NONE, 282.81),
}
_RATE: dict[int, tuple[float | None, ...]] = {
    1: (64.61, 61.92, 55.16, 46.95, 5.00, 4.99),
    5: (103.48, 158.23, 82.19, 46.88, 14.55, 16.13),
    10: (74.59, 194.70, 78.31, 82.55, 21.68, 23.44),
    15: (35.73, 138.95, 54.03, 84.21, 21.35, 26.53),
    20: (39.03, 104.62, 34.87, 92.29, 23.97, 27.67),
    25: (22.48, 105.22, 27.55, 97.23, 22.40, 28.49),
    100: (22.41, 40.79, _NONE, 28.51, _NONE, 25.69),
}
_TABLES = {"kbytes": _KBYTES, "rate": _RATE}


def patent(measure: Measure, size: str, at_once: int, system: str) -> float | None:
    """A figure of the patent; None where it has an X: the test could not be completed.

    Raises KeyError and ValueError for what the tables do not have.
    """
    return _TABLES[measure][at_once][2 * SIZES.index(size) + SYSTEMS.index(system)]


def patent_ratio(measure: Measure, size: str, at_once: int) -> float | None:
    """The patent's depot system against its single server, where it has both."""
    over, under = (patent(measure, size, at_once, system) for system in (DEPOT, SINGLE))
    return over / under if over is not None and under is not None else None
