"""What `bench peers` found, for people, as JSON, and as Markdown for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from rich import box
from rich.table import Table

from atmdepot.bench.contenders import CONTENDERS, HAPROXY
from atmdepot.bench.figures import figures, targets

if TYPE_CHECKING:
    from atmdepot.bench.figures import Figure, Target
    from atmdepot.bench.samples import Samples, Spread

_MACHINE = ("processor", "kernel", "python")
NOTE = ("Medians, below them the least and the greatest of all rounds; × is the median of the ratios to "
        f"{HAPROXY.title} within a round.\nWhat the kernel forwards itself has no process whose CPU time counts.")


class Report(Struct, frozen=True):
    """All that is told of a run; `settings` and `machine` go into the JSON as they are."""

    samples: Samples
    settings: dict[str, Any]
    machine: dict[str, Any]
    left_out: dict[str, str]
    idle_sessions: int

    @property
    def figures(self) -> list[Figure]:
        """The figures that were measured."""
        return [figure for name, figure in figures(self.idle_sessions).items() if name in self.samples.by_figure]

    @property
    def contenders(self) -> list[str]:
        """The contenders that were measured."""
        return self.samples.contenders(CONTENDERS)

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
        "contenders": {name: {"title": CONTENDERS[name].title, "about": CONTENDERS[name].about} for name in names},
        "measures": {figure.name: {"title": figure.title, "unit": figure.unit,
                                   "higher_is_better": figure.higher_is_better} for figure in report.figures},
        "samples": {name: samples.by_figure[name] for name in every if name in samples.by_figure},
        "medians": {figure.name: {name: spread.median for name in names
                                  if (spread := samples.spread(figure.name, name))} for figure in report.figures},
        "ratios": {target.key: value for target, value in report.verdicts if target.under is not None},
        "targets": {target.key: {"title": target.title, "value": value, "at_least": target.at_least, "aim": target.aim,
                                 "higher_is_better": target.higher_is_better,
                                 "verdict": target.verdict(value) if value is not None else "not measured"}
                    for target, value in report.verdicts},
        "failures": samples.failures, "left_out": report.left_out,
    }


def as_markdown(report: Report) -> str:
    """The machine, the figures by contender (× is the ratio to HAProxy) and the targets, as lines of Markdown."""
    machine, samples, names = report.machine, report.samples, report.contenders
    about = ", ".join(str(machine[key]) for key in _MACHINE if key in machine)
    lines = [f"{about}. Medians of {samples.rounds} round{'s' * (samples.rounds > 1)}.", "",
             _row(["", *(CONTENDERS[name].title for name in names)]), _row(["---"] * (len(names) + 1))]
    for figure in report.figures:
        cells = [_cell(samples, figure.name, name).split("\n")[0] for name in names]
        lines.append(_row([f"{figure.title}, {figure.unit}", *cells]))
    lines += ["", _row(["", "measured", "at least", "aim", ""]), _row(["---"] * 5)]
    for target, value in report.verdicts:
        if value is not None:
            lines.append(_row([target.title, number(value), number(target.at_least), number(target.aim),
                               target.verdict(value)]))
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def tables(report: Report) -> list[Table]:
    """The figures by contender, and the targets that were measured."""
    measured = [(target, value) for target, value in report.verdicts if value is not None]
    return [_figures_table(report), *([_targets_table(measured)] if measured else [])]


def number(value: float) -> str:
    """A figure with as many digits as tell something."""
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
    ratio = samples.ratio((figure, contender), (figure, HAPROXY.name)) if contender != HAPROXY.name else None
    first = number(spread.median) + (f" ×{ratio.median:.2f}" if ratio else "")
    return f"{first}\n{range_of(spread)}" if samples.rounds > 1 else first


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
