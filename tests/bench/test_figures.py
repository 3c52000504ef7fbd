"""The figures' names, how they are chosen, and the targets."""

from __future__ import annotations

import pytest

from atmdepot.bench.contenders import CONTENDERS
from atmdepot.bench.figures import Target, chosen, figures, targets
from atmdepot.bench.loads import loads
from atmdepot.errors import AtmdepotError

MANY = 1_000_000
NAMES = list(figures(MANY))
LONGEST_TITLE = 62
"""Characters that a panel of the picture has room for."""


@pytest.mark.parametrize(("words", "names"), [
    (["keep-alive"], ["keep-alive"]),
    (["connections-1kb"], ["connections-1kb-1", "connections-1kb-20", "connections-1kb-100"]),
    (["connections-1kb-1"], ["connections-1kb-1"]),
    (["bulk", "latency"], ["bulk-down-1", "bulk-down-4", "bulk-up-1", "bulk-up-4", "latency-p50", "latency-p99"]),
    (["idle-sessions"], ["idle-sessions-1000", "idle-sessions-1000000"]),
    ([], NAMES),
])
def test_measures_are_chosen_by_name_or_prefix(words: list[str], names: list[str]) -> None:
    assert chosen(words, NAMES) == names


@pytest.mark.parametrize("word", ["bul", "keep", "connections-1kb-10", "x", ""])
def test_an_unknown_measure_is_refused(word: str) -> None:
    if word == "keep":
        assert chosen([word], NAMES) == ["keep-alive"]
        return
    with pytest.raises(AtmdepotError, match="--list"):
        chosen(["bulk", word], NAMES)


def test_every_figure_has_one_load_or_is_of_idle_sessions() -> None:
    given = [figure for load in loads() for figure in load.figures]
    assert sorted(given) == sorted(name for name in NAMES if not name.startswith("idle-sessions"))
    assert all(load.name in load.figures for load in loads())


def test_titles_fit_the_picture() -> None:
    assert [figure.title for figure in figures(4_000_000).values() if len(figure.title) > LONGEST_TITLE] == []


def test_targets_refer_to_measured_figures() -> None:
    for target in targets(MANY):
        for figure, contender in (target.over, target.under or target.over):
            assert figure in NAMES
            assert contender in CONTENDERS
        assert figures(MANY)[target.over[0]].higher_is_better == target.higher_is_better
    assert {target.key: (target.at_least, target.aim) for target in targets(MANY)} == {
        "new_connections": (0.8, 1.2), "keep_alive": (0.8, 1.2), "bulk": (0.35, 1.0), "latency_p50": (2.0, 1.3),
        "plain_new_connections": (0.3, 0.5), "lab_cpu_bulk": (1.6, 1.0), "cells": (300_000, 1_000_000),
        "idle_sessions": (0.9, 1.0)}


@pytest.mark.parametrize(("value", "verdict"), [(0.79, "missed"), (0.8, "met"), (1.19, "met"), (1.2, "aim reached")])
def test_more_is_better(value: float, verdict: str) -> None:
    assert Target("a", "", ("", ""), None, 0.8, 1.2).verdict(value) == verdict


@pytest.mark.parametrize(("value", "verdict"), [(2.01, "missed"), (2.0, "met"), (1.31, "met"), (1.3, "aim reached")])
def test_less_is_better(value: float, verdict: str) -> None:
    assert Target("a", "", ("", ""), None, 2.0, 1.3, higher_is_better=False).verdict(value) == verdict
