"""The patent's tables as printed."""

from __future__ import annotations

import pytest

from atmdepot.bench.patent.tables import AT_ONCE, DEPOT, IMPROVEMENT, SINGLE, SIZES, SYSTEMS, patent, patent_ratio


def test_the_quoted_improvement_is_that_of_the_table() -> None:
    assert patent("rate", "1KB", 20, DEPOT) == 92.29
    assert patent_ratio("rate", "1KB", 20) == pytest.approx(IMPROVEMENT, abs=0.005)


def test_only_the_single_server_did_not_complete() -> None:
    crossed = [(size, at_once, system) for size in SIZES for at_once in AT_ONCE for system in SYSTEMS
               if patent("rate", size, at_once, system) is None]
    assert crossed == [("1KB", 100, SINGLE), ("10KB", 100, SINGLE)]


OCTETS = {"100B": (200, 400), "1KB": (1150, 1400), "10KB": (10_300, 11_300)}
"""Of an answer with its head."""


def test_both_tables_tell_of_answers_of_the_same_length_but_for_a_misprint() -> None:
    """A figure that was copied wrong would not fit the other table."""
    odd = []
    for size, (least, most) in OCTETS.items():
        for at_once in AT_ONCE:
            for system in SYSTEMS:
                kbytes, rate = patent("kbytes", size, at_once, system), patent("rate", size, at_once, system)
                assert (kbytes is None) == (rate is None)
                if kbytes and rate and not least <= 1024 * kbytes / rate <= most:
                    odd.append((size, at_once, system))
    assert odd == [("1KB", 5, DEPOT)], "80.75 Kbytes/s and 46.88 requests/s, as the patent prints them"
