"""Results of `bench peers`: for people, as JSON, and as Markdown for a page."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from rich import box
from rich.table import Table

from atmdepot.bench.contenders import EVERY, HAPROXY
from atmdepot.bench.figures import figures, targets
from atmdepot.bench.others import ALLOWED, Others
from atmdepot.bench.samples import quartiles_of

if TYPE_CHECKING:
    from atmdepot.bench.figures import Figure, Target
    from atmdepot.bench.samples import Samples, Spread

_MACHINE = ("processor", "kernel", "python")
FEWEST = 7
"""Rounds that medians and quartiles take to be quoted."""

_NOTE = ("Medians, below them the quartiles (25 %, 75 %) of all rounds; × is the median of the ratios to "
         f"{HAPROXY.title} within a round.\n"
         "What the kernel forwards itself has no process of its own: only lab-cpu has its CPU time.")


class Report(Struct, frozen=True):
    """All that is told of a run; `settings` and `machine` go into the JSON as they are."""

    samples: Samples
    settings: dict[str, Any]
    machine: dict[str, Any]
    left_out: dict[str, str]
    idle_sessions: int
    others: Others = field(default_factory=Others)

    @property
    def figures(self) -> list[Figure]:
        """The figures that were measured."""
        return [figure for name, figure in figures(self.idle_sessions).items() if name in self.samples.by_figure]

    @property
    def contenders(self) -> list[str]:
        """The contenders that were measured."""
        return self.samples.contenders(EVERY)

    @property
    def about_rounds(self) -> str:
        """The number of rounds, in how many of them other processes were at work, and a warning of too few."""
        rounds = self.samples.rounds
        told = f"{rounds} round{'s' * (rounds > 1)}"
        if rounds < FEWEST:
            told += f", fewer than the {FEWEST} that figures take to be quoted"
        if not self.others.shares:
            return f"{told}; others at work unknown (no /proc/pressure/cpu)"
        return f"{told}; others at work in {len(self.others.rounds)} of them"

    @property
    def verdicts(self) -> list[tuple[Target, float | None]]:
        """The targets, and what was found for each."""
        return [(target, self.samples.value(target)) for target in targets(self.idle_sessions)]


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain values; the keys are stable."""
    samples, names = report.samples, report.contenders
    every = figures(report.idle_sessions)
    return {
        "settings": report.settings, "machine": report.machine,
        "contenders": {name: {"title": EVERY[name].title, "about": EVERY[name].about} for name in names},
        "measures": {figure.name: {"title": figure.title, "unit": figure.unit,
                                   "higher_is_better": figure.higher_is_better} for figure in report.figures},
        "samples": {name: samples.by_figure[name] for name in every if name in samples.by_figure},
        "medians": {figure.name: {name: spread.median for name in names
                                  if (spread := samples.spread(figure.name, name))} for figure in report.figures},
        "quartiles": {figure.name: {name: quartiles for name in names
                                    if (quartiles := quartiles_of(samples.of(figure.name, name)))}
                      for figure in report.figures},
        "to_haproxy": {figure.name: {name: {"median": statistics.median(ratios), "quartiles": quartiles_of(ratios)}
                                     for name in names if (ratios := _to_haproxy(samples, figure.name, name))}
                       for figure in report.figures},
        "others": {"allowed": ALLOWED, "rounds": report.others.rounds,
                   "waited": [report.others.shares.get(number) for number in range(1, samples.rounds + 1)]},
        "ratios": {target.key: value for target, value in report.verdicts if target.under is not None},
        "targets": {target.key: {"title": target.title, "value": value, "at_least": target.at_least, "aim": target.aim,
                                 "higher_is_better": target.higher_is_better,
                                 "verdict": target.verdict(value) if value is not None else "not measured"}
                    for target, value in report.verdicts},
        "failures": samples.failures, "left_out": report.left_out,
    }


BEGIN, END = "<!-- bench peers -->", "<!-- end of bench peers -->"
"""The markers of a page that has the figures of the bearers."""


def as_markdown(report: Report, *, with_targets: bool = True) -> str:
    """The machine, the figures by contender (× is the ratio to HAProxy; quartiles) and the targets, in Markdown."""
    machine, samples, names = report.machine, report.samples, report.contenders
    about = ", ".join(str(machine[key]) for key in _MACHINE if key in machine)
    lines = [f"{about}. Medians (quartiles) of {report.about_rounds}.", "",
             _row(["", *(EVERY[name].title for name in names)]), _row(["---"] * (len(names) + 1))]
    for figure in report.figures:
        cells = [_in_a_row(_cell(samples, figure.name, name)) for name in names]
        lines.append(_row([f"{figure.title}, {figure.unit}", *cells]))
    if with_targets:
        lines += ["", _row(["", "measured", "at least", "aim", ""]), _row(["---"] * 5)]
    for target, value in report.verdicts if with_targets else ():
        if value is not None:
            lines.append(_row([target.title, number(value), number(target.at_least), number(target.aim),
                               target.verdict(value)]))
    return "\n".join(lines) + "\n"


def note(report: Report) -> str:
    """The lines below the tables."""
    return f"{_NOTE}\n{report.about_rounds}."


def _in_a_row(cell: str) -> str:
    first, _, quartiles = cell.partition("\n")
    return f"{first} ({quartiles})" if quartiles else first


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def tables(report: Report) -> list[Table]:
    """The figures by contender, and the targets that were measured."""
    measured = [(target, value) for target, value in report.verdicts if value is not None]
    return [_figures_table(report), *([_targets_table(measured)] if measured else [])]


def number(value: float) -> str:
    """A figure as a whole number from 100 on, else with two or three decimals."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def _figures_table(report: Report) -> Table:
    samples = report.samples
    several = samples.rounds > 1
    table = Table(title=f"{samples.rounds} round{'s' * several}", box=box.SIMPLE_HEAD, pad_edge=False,
                  title_justify="left", show_lines=several)
    table.add_column("measure", overflow="fold")
    table.add_column("unit")
    for name in report.contenders:
        table.add_column(name, justify="right", overflow="fold")
    for figure in report.figures:
        table.add_row(figure.name, figure.unit, *(_cell(samples, figure.name, name) for name in report.contenders))
    return table


def _cell(samples: Samples, figure: str, contender: str) -> str:
    spread = samples.spread(figure, contender)
    if spread is None:
        return "–"
    ratios = _to_haproxy(samples, figure, contender) if contender != HAPROXY.name else []
    first = number(spread.median) + (f" ×{statistics.median(ratios):.2f}" if ratios else "")
    quartiles = quartiles_of(samples.of(figure, contender))
    return f"{first}\n{'–'.join(map(number, quartiles))}" if quartiles and samples.rounds > 1 else first


def _to_haproxy(samples: Samples, figure: str, contender: str) -> list[float]:
    """The ratios to HAProxy within each round."""
    return samples.ratios((figure, contender), (figure, HAPROXY.name))


def range_of(spread: Spread) -> str:
    """Least and greatest."""
    return f"{number(spread.least)}–{number(spread.most)}"


def _targets_table(measured: list[tuple[Target, float]]) -> Table:
    table = Table(title="targets", box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column("target", overflow="fold")
    for column in ("measured", "at least", "aim"):
        table.add_column(column, justify="right")
    table.add_column("")
    for target, value in measured:
        table.add_row(target.title, number(value), number(target.at_least), number(target.aim), target.verdict(value))
    return table
