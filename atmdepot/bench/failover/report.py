"""Results of `bench failover`: for people, as JSON, and as Markdown for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field, to_builtins
from rich import box
from rich.table import Table

from atmdepot.bench.failover import costs
from atmdepot.bench.failover.cases import CONTENDERS, EVENTS, KILLS, PERIODS, SIGKILL
from atmdepot.bench.failover.judging import (
    AGES,
    SETTLED,
    Summary,
    by_age,
    expected_loss,
    loss_of_lifetime,
    reasons,
    steps_for,
    summary,
    survival,
)
from atmdepot.config.units import count_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atmdepot.bench.failover.judging import Reading, Share, SyncReading

MEANS = (1.0, 10.0, 60.0, 600.0)
"""Mean lifetimes of sessions for the table of the warm standby, in seconds."""

GAPS = {"kept": "sessions from before", "new": "new sessions", "train": "a single session", "download": "a download"}
BEGIN, END = "<!-- bench failover -->", "<!-- end of bench failover -->"
"""The markers of a page that has the tables."""

_MACHINE = ("processor", "kernel", "python")


class Row(Struct, frozen=True):
    """The result of a case."""

    contender: str
    event: str
    kills: int
    gaps: dict[str, Summary]
    established: Share
    settled: Share
    ages: dict[str, Share]
    reasons: dict[str, int]
    noise: Summary | None

    @property
    def title(self) -> str:
        """The contender's title."""
        return CONTENDERS[self.contender].title


class OracleRow(Struct, frozen=True):
    """The share (percent) that a warm standby loses of sessions with a mean lifetime: as computed, and as measured."""

    period: float
    mean: float
    expected: float
    told: float | None
    recalled: float | None


class Report(Struct, frozen=True):
    """All that is told of a run; `settings` and `machine` go into the JSON as they are."""

    readings: dict[str, list[Reading]]
    settings: dict[str, Any]
    machine: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)
    costs: list[costs.Round] = field(default_factory=list)
    syncs: list[SyncReading] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """A row for each case that was measured, in the order of contenders and events."""
        return [_row(name, event, found) for name, contender in CONTENDERS.items() for event in contender.events
                if (found := self.readings.get(f"{name} {event}"))]

    @property
    def oracle(self) -> list[OracleRow]:
        """The warm standbys' losses, for each period that was measured, and each mean lifetime."""
        found = []
        for period in PERIODS:
            told, recalled = (self.readings.get(f"warm-{period:g}{kind} {SIGKILL.name}", []) for kind in ("-told", ""))
            if told or recalled:
                found += [OracleRow(period, mean, 100 * expected_loss(mean, period), _lost(told, mean, period),
                                    _lost(recalled, mean, period)) for mean in MEANS]
        return found

    @property
    def about(self) -> str:
        """The number of failures, and a warning of too few."""
        fewest = min((row.kills for row in self.rows), default=0)
        return f"at least {count_text(fewest, 'failure')} of each case" + (
            f", fewer than the {KILLS} that figures take to be quoted" if fewest < KILLS else "")


def _row(contender: str, event: str, readings: Sequence[Reading]) -> Row:
    gaps = {name: found for name in GAPS if (found := summary([getattr(reading, name) for reading in readings]))}
    return Row(contender, event, len(readings), gaps, survival(readings), survival(readings, SETTLED),
               dict(by_age(readings)), reasons(readings), summary([reading.noise for reading in readings]))


def _lost(readings: Sequence[Reading], mean: float, period: float) -> float | None:
    found = loss_of_lifetime(readings, mean, steps_for(period)) if readings else None
    return None if found is None else 100 * found


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain values; the keys are stable. Times are in ms, shares in percent."""
    return {
        "settings": report.settings, "machine": report.machine,
        "contenders": {name: to_builtins(contender) for name, contender in CONTENDERS.items()},
        "events": {name: to_builtins(event) for name, event in EVENTS.items()},
        "rows": [to_builtins(row) | {
            "percent": row.established.percent, "percent_by_age": {name: share.percent for name, share
                                                                   in row.ages.items()}} for row in report.rows],
        "warm": [to_builtins(row) for row in report.oracle],
        "costs": [to_builtins(row) for row in costs.rows(report.costs)],
        "syncs": [to_builtins(reading) for reading in report.syncs],
        "left_out": report.left_out,
    }


def as_markdown(report: Report) -> str:
    """The machine, then a table for each of `_parts`, in Markdown."""
    about = ", ".join(str(report.machine[key]) for key in _MACHINE if key in report.machine)
    lines = [f"{about}. {report.about[:1].upper()}{report.about[1:]}: median / worst."]
    for _, table in _parts(report):
        lines += ["", *_markdown(table)]
    return "\n".join(lines) + "\n"


def _parts(report: Report) -> Iterator[tuple[str, list[list[str]]]]:
    """The tables that there are figures for, each with a title."""
    if report.rows:
        yield "failures: gaps as median / worst", _cases(report)
    if any(row.event == SIGKILL.name for row in report.rows):
        yield "sessions that go on, by their age", _ages(report)
    if report.oracle:
        yield "warm standby: sessions lost", _oracle(report)
    if report.costs:
        yield "costs: medians and quartiles of ratios within a round", _costs(report)
    if report.syncs:
        yield "full sync of a standby that comes late", _syncs(report)


def _markdown(table: list[list[str]]) -> list[str]:
    head, *rows = table
    return [_line(head), _line(["---"] * len(head)), *map(_line, rows)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cases(report: Report) -> list[list[str]]:
    head = ["", "failure", "times", *(f"gap, {title}, ms" for title in GAPS.values()), "sessions that go on"]
    return [head, *([row.title, EVENTS[row.event].title, str(row.kills),
                     *(gap_text(row.gaps.get(name)) for name in GAPS), share_text(row.established)]
                    for row in report.rows)]


def _ages(report: Report) -> list[list[str]]:
    rows = [row for row in report.rows if row.event == SIGKILL.name]
    return [["SIGKILL, by age", *AGES], *([row.title, *(share_text(row.ages[name]) for name in AGES)] for row in rows)]


def _oracle(report: Report) -> list[list[str]]:
    head = ["warm: lost of sessions that live", "computed", "measured, no recall", "measured, recall"]
    return [head, *([f"{_seconds(row.mean)} on average, P = {_seconds(row.period)}", f"{row.expected:.2f} %",
                     _percent(row.told), _percent(row.recalled)] for row in report.oracle)]


def _costs(report: Report) -> list[list[str]]:
    rows = {(row.mode, row.figure): row for row in costs.rows(report.costs)}
    modes = list(dict.fromkeys(mode for mode, _ in rows))
    head = [f"costs, against two depots without a standby, {len(report.costs)} rounds",
            *(costs.MODES[mode].title for mode in modes)]
    return [head, *([title, *(_ratio(rows.get((mode, name))) for mode in modes)] for name, title
                    in costs.FIGURES.items() if any((mode, name) in rows for mode in modes))]


def _ratio(row: costs.CostRow | None) -> str:
    return "–" if row is None else f"×{row.ratio:.3f} ({row.quartiles[0]:.3f}–{row.quartiles[1]:.3f})"


def _syncs(report: Report) -> list[list[str]]:
    head = ["full sync beside new connections", "time", "connections/s before", "meanwhile",
            "turns above 5 ms (longest)"]
    return [head, *([f"{each.sessions:,} sessions", f"{each.seconds:.1f} s", f"{each.rate_before:,.0f}",
                     f"{each.rate_during:,.0f}",
                     f"{each.long_turns} ({each.longest_turn:.1f} ms)" if each.long_turns else "none"]
                    for each in sorted(report.syncs, key=lambda each: each.sessions))]


def _seconds(value: float) -> str:
    return f"{value:g} s" if value < 60 else f"{value / 60:g} min"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} %"


def share_text(share: Share) -> str:
    """A share as text: `100 %`, or with two decimals and the number that was lost."""
    if share.percent is None:
        return "–"
    if share.went_on == share.of:
        return f"100 % of {share.of:,}"
    # Never rounded up to 100.
    return f"{min(share.percent, 99.99):.2f} % of {share.of:,}"


def gap_text(gap: Summary | None) -> str:
    """A gap as text: median / worst in whole ms; `∞` where nothing came any more."""
    if gap is None:
        return "–"
    return " / ".join("∞" if value is None else f"{value:.0f}" for value in (gap.median, gap.worst))


def tables(report: Report) -> list[Table]:
    """The tables for a terminal."""
    return [_table(title, rows) for title, rows in _parts(report)]


def _table(title: str, rows: list[list[str]]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    head, *rest = rows
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number < 2 else "right", overflow="fold")
    for row in rest:
        table.add_row(*row)
    return table
