"""Costs of standbys in normal operation: the loads of `bench peers` on sets of depots and on a lone depot, by turns.

A set needs a LAN on the clients' side, and its edge nodes have a link to each depot. So standbys are compared with a
set of two depots that tell each other nothing, and what such a set costs is told by the lone depot's row.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.bench import figures, loads
from atmdepot.bench.contenders import Contender as SiteKind
from atmdepot.bench.failover.cases import CONTENDERS, UNTOLD
from atmdepot.bench.failover.depot_table import base_of, table_for
from atmdepot.bench.samples import quartiles_of
from atmdepot.bench.schedule import order
from atmdepot.bench.site import Site
from atmdepot.config.reading import find
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from atmdepot.bench.failover.journal import Journal
    from atmdepot.bench.loads import Load
    from atmdepot.bench.progress import Teller

BASE = UNTOLD.name
MODES = {BASE: UNTOLD} | {name: CONTENDERS[name] for name in ("lone", "warm-1", "stream", "hot")}
"""Contenders whose costs are measured, by name; the others are compared with the first."""

_LOADS = (figures.NEW, "keep-alive", figures.BULK)
_CPU, _CPU_ACTIVE = "cpu-connections", "cpu-active"
FIGURES = {figures.NEW: "new connections/s", "keep-alive": "keep-alive requests/s", figures.BULK: "bulk, Mbit/s",
           _CPU_ACTIVE: "CPU time of the active depot, 1000 new connections",
           _CPU: "CPU time of all depots and edge nodes, 1000 new connections"}
ROUNDS, QUICK_ROUNDS = 4, 2
_UP = 6.0
_SECONDS = 1

Round = dict[str, dict[str, float]]
"""A round's figures: by mode and figure."""


class CostRow(Struct, frozen=True):
    """A figure of a mode against the base: the median and quartiles of the ratios within a round."""

    mode: str
    figure: str
    ratio: float
    quartiles: tuple[float, float]


def expected(rounds: int, modes: Collection[str] = MODES) -> float:
    """The time (s) that rounds take, about."""
    return len(modes) * (_UP + rounds * len(_LOADS) * (_SECONDS + loads.OVERHEAD)) if rounds else 0.0


def rows(rounds: Sequence[Round]) -> list[CostRow]:
    """The ratios to the base, of the rounds that have both."""
    found = []
    for mode in list(MODES)[1:]:
        for figure in FIGURES:
            ratios = [taken[mode][figure] / taken[BASE][figure] for taken in rounds
                      if figure in taken.get(mode, {}) and taken.get(BASE, {}).get(figure)]
            if quartiles := quartiles_of(ratios):
                found.append(CostRow(mode, figure, statistics.median(ratios), quartiles))
    return found


def measure(journal: Journal, rounds: int, teller: Teller, modes: Collection[str] = MODES) -> dict[str, str]:
    """Take the rounds that the journal lacks; return why modes were left out."""
    left_out: dict[str, str] = {}
    if len(journal.costs) >= rounds:
        return left_out
    with tempfile.TemporaryDirectory(prefix="atmdepot-costs-") as home, ExitStack() as stack:
        sites: dict[str, Site] = {}
        for mode in modes:
            try:
                sites[mode] = stack.enter_context(_site(mode, Path(home)))
                loads.warm_up(sites[mode], {"ab", "wrk", "iperf3"})
            except (AtmdepotError, SubprocessError) as error:
                left_out[f"cost {mode}"] = str(error)
                teller.tell(f"cost {mode}: {error}")
        if BASE not in sites or len(sites) < 2:
            return left_out
        for number in range(len(journal.costs), rounds):
            began = time.monotonic()
            journal.add_costs(_round(sites, number, teller))
            teller.passed(expected(1) - len(MODES) * _UP, time.monotonic() - began)
            teller.end_of(f"costs, round {number + 1} of {rounds}", _in_words(journal.costs[-1]))
    return left_out


def _site(mode: str, home: Path) -> Site:
    contender = MODES[mode]
    text = table_for(contender, find(base_of(contender)).read_text(encoding="utf-8"), "cost")
    return Site(SiteKind(f"cost-{mode}", contender.title, "", daemons="compiled"), text, home)


def _round(sites: dict[str, Site], number: int, teller: Teller) -> Round:
    taken: Round = {mode: {} for mode in sites}
    for at, load in enumerate(each for each in loads.loads() if each.name in _LOADS):
        for mode in order(list(sites), number, at):
            taken[mode] |= _take(sites[mode], load, teller)
    return taken


def _take(site: Site, load: Load, teller: Teller) -> dict[str, float]:
    before, all_before = site.cpu_seconds_of_depots(), site.cpu_seconds()
    try:
        found = load.take(site, _SECONDS)
        site.require_alive()
        if found.get(_CPU):
            found[_CPU_ACTIVE] = found[_CPU] * _busiest(site, before) / (site.cpu_seconds() - all_before)
    except AtmdepotError as error:
        teller.tell(f"{load.name}, {site.contender.name}: no figure: {error}")
        return {}
    finally:
        site.tidy()
    return {name: value for name, value in found.items() if name in FIGURES}


def _busiest(site: Site, before: dict[str, float]) -> float:
    """The processor time (s) since `before` of the depot that took most: only the active one forwards."""
    return max(now - before.get(node, 0.0) for node, now in site.cpu_seconds_of_depots().items())


def _in_words(taken: Round) -> str:
    return ", ".join(f"{mode} {found[figures.NEW]:,.0f}/s" for mode, found in taken.items() if figures.NEW in found)
