"""Results of `bench proxies`: as a table, JSON, Markdown for a page, and an SVG chart."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, to_builtins

from atmdepot.bench.drawing import MARGIN, ROW, TOP, WIDTH, bar, document, where
from atmdepot.bench.proxies.run import CASES, DELAY_MS
from atmdepot.bench.samples import Spread
from atmdepot.config.units import count_text
from atmdepot.quantiles import quantile
from atmdepot.tables import make_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from atmdepot.bench.proxies.documents import Asking
    from atmdepot.bench.proxies.run import Reading

BEGIN, END = "<!-- bench proxies -->", "<!-- end of bench proxies -->"
"""The markers of a page that has the table."""

_TITLE = "Caching proxies behind the depot: latency, and the origin's load"
_LABEL, _VALUE, _HEAD, _GAP = 210, 90, 30, 20
_LONGEST = WIDTH - 2 * MARGIN - _LABEL - _VALUE


class Figure(NamedTuple):
    """A figure of a reading, its unit, and how it is written."""

    title: str
    unit: str
    of: Callable[[Reading], float]
    digits: int = 1


FIGURES = (
    Figure("mean latency", "ms", lambda reading: 1000 * statistics.fmean(reading.answers.seconds)),
    Figure("95 % answered within", "ms", lambda reading: 1000 * quantile(sorted(reading.answers.seconds), 0.95)),
    Figure("answered from a cache", "%", lambda reading: 100 * reading.answers.hits / len(reading.answers.seconds)),
    Figure("requests at the origin", "", lambda reading: float(reading.origin.requests), 0),
    Figure("octets from the origin", "MB", lambda reading: reading.origin.octets / 1e6),
    Figure("greatest share of a proxy", "%", lambda reading: 100 * max(
        reading.answers.by_proxy.values(), default=0) / len(reading.answers.seconds), 0),
)
"""The figures of each case."""

_DRAWN = FIGURES[:4]


class Report(Struct, frozen=True):
    """All that is told of a run."""

    readings: list[Reading]
    asking: Asking
    rounds: int
    machine: dict[str, Any]

    @property
    def cases(self) -> list[str]:
        """The cases that were measured."""
        return [name for name in CASES if any(reading.case == name for reading in self.readings)]

    def spread(self, case: str, figure: Figure) -> Spread:
        """A figure of a case over the rounds."""
        values = [figure.of(reading) for reading in self.readings if reading.case == case]
        return Spread(statistics.median(values), min(values), max(values))

    @property
    def about(self) -> str:
        """The requests in words."""
        asking = self.asking
        return (f"{count_text(self.rounds, 'round')} of {asking.requests:,} requests of {asking.clients} clients, by "
                f"Zipf's law (exponent {asking.exponent:g}): {1 - asking.own:.0%} for {asking.shared_documents:,} "
                f"documents of all, {asking.own:.0%} for {asking.own_documents} of each client's own; the origin "
                f"answers after {DELAY_MS} ms, caches are empty at first")


def _rows(report: Report) -> list[dict[str, str]]:
    return [{"way": CASES[case].title} | {_heading(figure): _text(report.spread(case, figure), figure)
                                          for figure in FIGURES} for case in report.cases]


def _heading(figure: Figure) -> str:
    return f"{figure.title} ({figure.unit})" if figure.unit else figure.title


def _number(value: float, figure: Figure) -> str:
    return f"{value:,.{figure.digits}f}"


def _text(spread: Spread, figure: Figure) -> str:
    """The median, and between which values it lies where there are several rounds."""
    least, median, most = (_number(value, figure) for value in (spread.least, spread.median, spread.most))
    return median if least == most else f"{median} ({least} to {most})"


def table(report: Report) -> Table:
    """The table for a terminal."""
    return make_table("caching proxies", ["way", *map(_heading, FIGURES)], [dict(row) for row in _rows(report)])


def as_markdown(report: Report) -> str:
    """The table for a page."""
    columns = ["way", *map(_heading, FIGURES)]
    lines = [columns, ["---"] + ["--:"] * len(FIGURES), *([row[name] for name in columns] for row in _rows(report))]
    return "\n".join((f"{report.about}. Medians of the rounds, and their least and greatest. {where(report.machine)}.",
                      "", *("| " + " | ".join(line) + " |" for line in lines), ""))


def as_json(report: Report) -> dict[str, Any]:
    """All readings, without the seconds of each request, and the figures of each case."""
    readings = [{"case": reading.case, "round": reading.round, "hits": reading.answers.hits,
                 "failed": reading.answers.failed, "by_proxy": reading.answers.by_proxy,
                 "took_s": reading.answers.took, "origin": to_builtins(reading.origin),
                 **{_heading(figure): figure.of(reading) for figure in FIGURES}} for reading in report.readings]
    figures = {case: {_heading(figure): to_builtins(report.spread(case, figure)) for figure in FIGURES}
               for case in report.cases}
    return {"asking": to_builtins(report.asking), "origin_delay_ms": DELAY_MS, "rounds": report.rounds,
            "machine": report.machine, "figures": figures, "readings": readings}


def draw(report: Report) -> str:
    """The chart as the text of an SVG file."""
    body: list[str] = []
    y = TOP
    for figure in _DRAWN:
        body += _panel(report, figure, y)
        y += _HEAD + len(report.cases) * ROW + _GAP
    words = " ".join(_in_words(report, case, figure) for figure in _DRAWN for case in report.cases)
    return document(_TITLE, (where(report.machine), report.about), words, body, y)


def _in_words(report: Report, case: str, figure: Figure) -> str:
    return f"{CASES[case].title}: {figure.title} {_text(report.spread(case, figure), figure)} {figure.unit}.".replace(
        " .", ".")


def _panel(report: Report, figure: Figure, y: int) -> Iterator[str]:
    spreads = {case: report.spread(case, figure) for case in report.cases}
    scale = _LONGEST / (max(spread.most for spread in spreads.values()) or 1)
    yield f'<text x="{MARGIN}" y="{y + 14}" class="head">{_heading(figure)}</text>'
    for number, (case, spread) in enumerate(spreads.items()):
        yield from bar("depot" if CASES[case].by_depot else "peer", CASES[case].title, _in_words(report, case, figure),
                       _number(spread.median, figure), MARGIN + _LABEL, y + _HEAD + number * ROW,
                       (spread.median * scale, spread.least * scale, spread.most * scale))
