"""The plan of a run: how often each load runs, and about how long all takes."""

from __future__ import annotations

import pytest

from atmdepot.bench.contenders import BEARERS, BESIDE_BEARERS, CONTENDERS
from atmdepot.bench.figures import BULK, NEW, figures, labs, of_bearers
from atmdepot.bench.loads import Load, loads
from atmdepot.bench.report import FEWEST
from atmdepot.bench.run import Plan

MANY = 1_000_000
TEN_MINUTES = 600


def plan(wanted: frozenset[str], rounds: int = 3, counted: int = 3, idle: int | None = None) -> Plan:
    return Plan(list(CONTENDERS.values()), loads(), wanted, "", rounds, 1, idle, counted)


def load(name: str) -> Load:
    return next(each for each in loads() if each.name == name)


@pytest.mark.parametrize(("wanted", "name", "round_number", "runs"), [
    (frozenset(labs(NEW)), NEW, 1, 2), (frozenset(labs(NEW)), NEW, 3, 2), (frozenset(labs(NEW)), NEW, 4, 1),
    (frozenset(labs(NEW)), BULK, 1, 1), (frozenset({"lab-cpu-connections"}), NEW, 1, 1),
    (frozenset({"lab-faults-bulk"}), BULK, 1, 2), (frozenset(figures(MANY)), "bulk-up-4", 1, 1),
])
def test_a_load_runs_again_only_for_counts_that_are_wanted(
    wanted: frozenset[str], name: str, round_number: int, runs: int,
) -> None:
    assert plan(wanted).runs_of(load(name), round_number) == runs


def test_counts_take_time() -> None:
    every = frozenset(figures(MANY))
    assert plan(every, counted=0).expected < plan(every, counted=1).expected < plan(every).expected


def test_quick_is_expected_to_take_no_more_than_ten_minutes() -> None:
    assert plan(frozenset(figures(MANY)), 3, 1, MANY).expected < TEN_MINUTES


def test_all_bearers_in_rounds_to_quote_are_expected_to_take_less_than_ten_minutes() -> None:
    wanted = set(of_bearers())
    its = [each for each in loads() if wanted.intersection(each.figures)]
    assert wanted <= {figure for each in its for figure in each.figures}
    every = Plan([*BESIDE_BEARERS, *BEARERS.values()], its, frozenset(wanted), "", FEWEST, 1, None, FEWEST)
    assert every.expected < TEN_MINUTES


def test_a_contender_may_have_a_table_of_its_own() -> None:
    of = Plan(list(CONTENDERS.values()), loads(), frozenset(), "all", 3, 1, None, 3, {"depot-ports": "its own"})
    assert (of.table_of(BEARERS["ports"]), of.table_of(BEARERS["atm"])) == ("its own", "all")
