"""The run of `bench peers`: sites come up, take their turns round by round, and always go down, on errors too."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

from msgspec import Struct, field

from atmdepot.bench import figures, idle
from atmdepot.bench.cgroups import Cgroups
from atmdepot.bench.contenders import DEPOT, Contender
from atmdepot.bench.loads import OVERHEAD, Load, ask_ab, warm_up
from atmdepot.bench.others import Others
from atmdepot.bench.readings import NoFigure
from atmdepot.bench.samples import Failure, Samples
from atmdepot.bench.schedule import order
from atmdepot.bench.site import PREFIX, Site
from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab

if TYPE_CHECKING:
    from atmdepot.bench.progress import Teller

_START = 6.0
"""Seconds in which a lab comes up and warms up, about."""

_FILLED = 10_000
"""Idle sessions opened per second, about."""


class Plan(Struct, frozen=True):
    """The plan of a run: `figures` are the names of the wanted figures; without `idle_sessions`, these are skipped.

    `table` is the text of a VC table, and `tables` those of contenders with tables of their own, by their names.
    Counts of whole labs, which take runs of their own, are taken in the first `counted_rounds`.
    """

    contenders: list[Contender]
    loads: list[Load]
    figures: frozenset[str]
    table: str
    rounds: int
    seconds: int
    idle_sessions: int | None
    counted_rounds: int
    tables: dict[str, str] = {}

    @property
    def expected(self) -> float:
        """The expected duration in seconds."""
        found = len(self.contenders) * self.expected_of() if self.loads else 0.0
        if self.idle_sessions is not None:
            found += sum(self.expected_of(sessions) for sessions in (figures.FEW_IDLE, self.idle_sessions))
        return found

    def expected_of(self, idle_sessions: int = 0) -> float:
        """The same for a single contender, or for a depot with idle sessions."""
        samples = self.rounds if idle_sessions else sum(
            self.runs_of(load, number) for load in self.loads for number in range(1, self.rounds + 1))
        return _START + idle_sessions / _FILLED + samples * (self.seconds + OVERHEAD)

    def table_of(self, contender: Contender) -> str:
        """The text of a contender's VC table."""
        return self.tables.get(contender.name, self.table)

    def counts_of(self, load: Load) -> set[str]:
        """The kinds of counts of a whole lab that are wanted of a load."""
        return {kind for kind, name in figures.counts(load.name).items() if name in self.figures}

    def runs_of(self, load: Load, round_number: int) -> int:
        """The runs of a load for a sample: a second run for counts, where counts are wanted."""
        return 2 if round_number <= self.counted_rounds and self.counts_of(load) else 1


class Outcome(Struct):
    """The outcome of a run; `left_out` has the contenders and figures that could not take part, with the reason."""

    samples: Samples
    left_out: dict[str, str] = field(default_factory=dict)
    others: Others = field(default_factory=Others)


def run(plan: Plan, teller: Teller) -> Outcome:
    """Run a plan; raise AtmdepotError when no contender can run or another benchmark does."""
    refuse_a_second_benchmark()
    outcome = Outcome(Samples(plan.rounds))
    with tempfile.TemporaryDirectory(prefix="atmdepot-bench-") as home:
        runner = _Runner(plan, teller, outcome, Path(home))
        if plan.loads:
            runner.peers()
        if plan.idle_sessions is not None:
            runner.beside_idle(plan.idle_sessions)
    if not outcome.samples.by_figure:
        reasons = [*outcome.left_out.items(), *((one.contender, one.why) for one in outcome.samples.failures)]
        raise AtmdepotError("nothing could be measured: " + "; ".join(f"{name}: {why}" for name, why in reasons[:5]))
    return outcome


def refuse_a_second_benchmark() -> None:
    """Raise AtmdepotError when another benchmark runs: both would share labs and processors."""
    up = [lab.name for lab in Lab.all() if lab.alive and lab.name.startswith(PREFIX)]
    if up:
        raise AtmdepotError("another benchmark runs, or was killed and left its labs; in that case end them: "
                            + "; ".join(f"atmdepot lab down {name}" for name in up))


class _Runner:
    """A run of a plan: it fills the outcome."""

    def __init__(self, plan: Plan, teller: Teller, outcome: Outcome, home: Path) -> None:
        self._plan, self._teller, self._outcome, self._home = plan, teller, outcome, home
        self._samples = outcome.samples

    def peers(self) -> None:
        """All loads on all contenders, in turns."""
        cgroups = self._cgroups()
        with ExitStack() as stack:
            sites = {each.name: site for each in self._plan.contenders
                     if (site := self._up(stack, Site(each, self._plan.table_of(each), self._home, cgroups=cgroups),
                                          each.name))}
            if not sites:
                return
            for round_number in range(1, self._plan.rounds + 1):
                for load_number, load in enumerate(self._plan.loads):
                    self._turn([sites[name] for name in order(list(sites), round_number, load_number)], load,
                               round_number)

    def _cgroups(self) -> Cgroups | None:
        """The cgroups for the figures of whole labs, if they are wanted; a refusal of the kernel is told."""
        if not any(self._plan.figures.intersection(figures.labs(load.name)) for load in self._plan.loads):
            return None
        try:
            found = Cgroups.of_this_machine(sorted(set().union(*map(self._plan.counts_of, self._plan.loads))))
        except AtmdepotError as error:
            self._leave_out("lab", f"no cgroup: {error}")
            return None
        for kind, why in found.refused.items():
            self._leave_out(f"lab-{kind}", why)
        return found

    def _leave_out(self, name: str, why: str) -> None:
        self._outcome.left_out[name] = why
        self._teller.tell(f"{name} is left out: {why}")

    def beside_idle(self, many: int) -> None:
        """Load two depots with new connections, with few and with many idle sessions, in turns."""
        with ExitStack() as stack:
            sites = []
            for sessions in (figures.FEW_IDLE, many):
                name = figures.idle(sessions)
                site = self._up(stack, Site(DEPOT, self._plan.table, self._home, sessions), name, sessions)
                if site is None:  # a depot alone has no figure to compare with
                    return
                sites.append((site, _beside(sessions)))
            for round_number in range(1, self._plan.rounds + 1):
                # The order changes each round, so that neither depot always runs first.
                for site, load in sites[::-1] if round_number % 2 else sites:
                    self._turn([site], load, round_number)

    def _up(self, stack: ExitStack, site: Site, name: str, idle_sessions: int = 0) -> Site | None:
        """Bring a site up, fill it and warm it up; return it, or report the failure."""
        began = time.monotonic()
        try:
            stack.enter_context(site)
            if idle_sessions:
                self._teller.tell(f"{name}: making {idle_sessions:,} idle sessions")
                idle.fill(site, idle_sessions)
            warm_up(site, {load.program for load in self._plan.loads} or {"ab"})
        except (AtmdepotError, SubprocessError) as error:
            self._leave_out(name, str(error))
            self._teller.spared(self._plan.expected_of(idle_sessions))
            return None
        self._teller.passed(_START + idle_sessions / _FILLED, time.monotonic() - began)
        self._teller.end_of(name, "is up and warm")
        return site

    def _turn(self, turns: list[Site], load: Load, round_number: int) -> None:
        """Look at the load of other processes, put a load on each site, and report the results."""
        self._outcome.others.look(round_number)
        told = []
        for site in turns:
            began = time.monotonic()
            found = self._take(site, load, round_number)
            expected = self._plan.runs_of(load, round_number) * (self._plan.seconds + OVERHEAD)
            self._teller.passed(expected, time.monotonic() - began)
            told.append(f"{site.contender.name} {found:,.0f}" if found is not None else f"{site.contender.name} failed")
        self._teller.end_of(f"round {round_number} of {self._plan.rounds}: {load.name}", ", ".join(told))

    def _take(self, site: Site, load: Load, round_number: int) -> float | None:
        """Take a sample; return the figure with the load's name, or report the failure."""
        name = site.contender.name
        try:
            site.counting = round_number <= self._plan.counted_rounds
            found = load.take(site, self._plan.seconds)
            site.require_alive()  # a figure counts only if the whole site lived through the load
        except AtmdepotError as error:
            self._samples.failures.append(Failure(round_number, load.name, name, str(error)))
            self._teller.tell(f"{load.name}, {name}: no figure: {error}")
            return None
        finally:
            site.tidy()
        for figure, value in found.items():
            if figure in self._plan.figures:  # a load may give more figures than are wanted
                self._samples.add(figure, name, round_number, value)
        return found[load.name]


def _beside(sessions: int) -> Load:
    """The load for a depot with this many idle sessions, under the name of its figure."""
    name = figures.idle(sessions)

    def take(site: Site, seconds: int) -> dict[str, float]:
        rate = ask_ab(site, seconds, "1KB", 20).rate
        if (there := idle.primary(site)) < sessions:  # the figure is of a depot that kept its idle sessions
            raise NoFigure(f"of {sessions:,} idle sessions {there:,} are left")
        return {name: rate}

    return Load(name, "ab", (name,), take)
