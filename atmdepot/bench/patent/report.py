"""The report of a run: its blocks, and all of it as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field, to_builtins

from atmdepot.bench.patent import charts, words
from atmdepot.bench.patent.document import Block, Grid, Heading, Paragraph
from atmdepot.bench.patent.judging import (
    Judgement,
    judge,
    measured,
    measured_sizes,
    p50,
    p99,
    rate,
    table_key,
    variation,
)
from atmdepot.bench.patent.plan import FAST, METHODS, REGIMES, SMALL
from atmdepot.bench.patent.rig import SERVERS
from atmdepot.bench.patent.samples import spread
from atmdepot.bench.patent.tables import (
    AT_ONCE,
    DEPOT,
    IMPROVEMENT,
    MEASURES,
    SINGLE,
    SIZES,
    SYSTEMS,
    TITLES,
    patent,
    patent_ratio,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.bench.patent.samples import Sample, Samples, Spread
    from atmdepot.bench.patent.settings import Settings
    from atmdepot.bench.patent.tables import Measure

TITLE = "The patent's experiment, repeated"
_NO = "–"
_VALUES: dict[Measure, Callable[[Sample], float | None]] = {"kbytes": lambda sample: sample.kbytes, "rate": rate}
_BUSY = 0.02
_PROGRAMS = ("nginx", "ab", "haproxy", "nft", "dnsmasq")


class Report(Struct, frozen=True):
    """A run: what was measured, by which servers and machine; `missing` tests were planned and not taken."""

    samples: Samples
    settings: Settings
    machine: dict[str, Any]
    requests: int
    passes: int
    missing: int = 0
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def judgement(self) -> Judgement:
        """The judgement of regime B."""
        return judge(self.samples, self.requests)


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain values: every sample, the servers, the machine and the versions."""
    return {
        "passes": report.passes, "requests": report.requests, "part": report.missing > 0, "missing": report.missing,
        "machine": report.machine, "servers": to_builtins(report.settings), "left_out": report.left_out,
        "judgement": to_builtins(report.judgement),
        "tables": [_cell(report, regime, measure, size, at_once, system, requests)
                   for regime in REGIMES for requests in (report.requests, 0) for measure in MEASURES
                   for at_once in AT_ONCE for size in SIZES for system in SYSTEMS],
        "samples": [to_builtins(sample) for sample in report.samples.all],
    }


def _cell(report: Report, regime: str, measure: Measure, size: str, at_once: int, system: str,
          requests: int) -> dict[str, Any]:
    found = report.samples.spread(table_key(report.samples, regime, system, size, at_once, requests), _VALUES[measure])
    return {"regime": regime, "measure": measure, "size": size, "at_once": at_once, "system": system,
            "requests": requests or None, "patent": patent(measure, size, at_once, system),
            "ours": to_builtins(found)}


def blocks(report: Report) -> Iterator[Block]:
    """The report from its title to its end."""
    drawn = charts.charts(report.samples, report.requests, report.judgement.ranges)
    yield Heading(1, TITLE)
    if report.missing:
        yield Paragraph(f"This is a part of a run: {report.missing} of its tests are missing. `--resume` takes them.",
                        marked=True)
    yield Paragraph(_about(report))
    yield Heading(2, "The patent's statement")
    for text in words.statement(report.judgement, report.samples, report.requests):
        yield Paragraph(text)
    for regime in (SMALL, FAST):
        if any(key.startswith(f"tables/{regime}/") for key in report.samples.by_key):
            yield Heading(2, f"Regime {regime}: {REGIMES[regime]}")
            yield Paragraph(words.ABOUT_REGIMES[regime])
            yield from drawn.get(regime, [])
            yield Paragraph(words.READING)
            yield from _tables(report, regime)
    yield from _knee(report)
    if report.judgement.ranges:
        yield Heading(2, "Other servers: the improvement at 20 at once, 1 KB")
        yield Paragraph(words.RANGE)
        yield from drawn.get("range", [])
        yield Grid(("changed", "improvement", "of the patent's 2.65"),
                   tuple((change, _spread(of, 2), "reached" if of.median >= IMPROVEMENT else "not reached")
                         for change, of in report.judgement.ranges.items()))
    if art := [key for key in report.samples.by_key if key.startswith("prior-art/")]:
        yield Heading(2, "The prior art on the same servers")
        yield Paragraph(words.PRIOR_ART)
        yield from drawn.get("prior-art", [])
        for situation in dict.fromkeys(key.split("/", 3)[3] for key in art):
            yield Heading(3, _situation(situation))
            yield _art_table(report, situation)
        for text in words.where_the_depot_loses(report.samples):
            yield Paragraph(text)
    if any(key.startswith("death/") for key in report.samples.by_key):
        yield Heading(2, "A server that dies")
        yield Paragraph(words.DEATH)
        yield _death_table(report)
    yield Heading(2, "The servers, the machine and its load")
    yield from _machine(report)


def _about(report: Report) -> str:
    machine = report.machine
    passes = f"{report.passes} pass" + ("es: medians, and quartiles in brackets" if report.passes > 1 else "")
    return (f"{machine['processors']} × {machine['processor']}, Linux {machine['kernel']}, {machine['python']}, "
            f"atmdepot {machine['atmdepot']}; {passes}. Made by `atmdepot bench patent`.")


def _tables(report: Report, regime: str) -> Iterator[Block]:
    for requests in (report.requests, 0):
        if not measured(report.samples, regime, requests):
            continue  # a shortened run has no longer tests
        what = f"{requests:,} requests" if requests else "a longer run"
        for measure in MEASURES:
            yield Heading(3, f"{TITLES[measure]}, {what}")
            yield _table(report, regime, measure, requests)


def _table(report: Report, regime: str, measure: Measure, requests: int) -> Grid:
    """A table in the patent's layout: our figure, the patent's in brackets; then the ratio of each system's two."""
    sizes = measured_sizes(report.samples, regime, requests)
    head = ["at once", *(f"{size} {name}" for size in sizes for name in ("single", "depot", "depot/single"))]
    rows = []
    for at_once in measured(report.samples, regime, requests):
        row = [str(at_once)]
        for size in sizes:
            keys = {system: table_key(report.samples, regime, system, size, at_once, requests) for system in SYSTEMS}
            for system in SYSTEMS:
                row.append(_both(report, keys[system], measure, patent(measure, size, at_once, system)))
            ratio = report.samples.ratio(keys[DEPOT], keys[SINGLE], _VALUES[measure])
            theirs = patent_ratio(measure, size, at_once)
            row.append(f"×{_spread(ratio, 2)} (×{theirs:.2f})" if ratio and theirs else
                       f"×{_spread(ratio, 2)}" if ratio else f"{_NO} (×{theirs:.2f})" if theirs else _NO)
        rows.append(tuple(row))
    return Grid(tuple(head), tuple(rows))


def _both(report: Report, key: str, measure: Measure, theirs: float | None) -> str:
    """A figure of ours and of the patent's, and ours in times of the patent's; X for what was not completed."""
    samples = report.samples.of(key)
    found = report.samples.spread(key, _VALUES[measure])
    printed = "X" if theirs is None else f"{theirs:.2f}"
    if not samples:
        return f"{_NO} ({printed})"
    if found is None:
        return f"X ({printed})"
    return f"{_spread(found, 1)} ({printed}" + (f", ×{found.median / theirs:.1f})" if theirs else ")")


def _knee(report: Report) -> Iterator[Block]:
    if found := report.judgement.knee:
        yield Heading(2, "The knee of regime B")
        yield Paragraph(words.knee(found, report.settings.server))
        yield Grid(("at once", *map(str, found.rates)),
                   (("requests/s, 1 KB, one server", *("X" if each is None else f"{each:,.0f}"
                                                       for each in found.rates.values())),))


def _situation(text: str) -> str:
    more = text.split("/")
    many = "20 client addresses" if any(each.endswith("clients") for each in more) else "one client address"
    costs = "unequal requests (one of ten takes ten times the work)" if "dear" in more else "equal requests"
    return f"{many.capitalize()}, {costs}"


def _art_table(report: Report, situation: str) -> Grid:
    head = ("", "requests/s", "p50, ms", "p99, ms", "failed", "server 1", "server 2", "variation of shares")
    return Grid(head, tuple(
        _art_row(method, samples) for method in METHODS
        if (samples := report.samples.of(f"prior-art/{SMALL}/{method}/{situation}"))))


def _art_row(method: str, samples: list[Sample]) -> tuple[str, ...]:
    whole = [sample.seen for sample in samples if sample.seen]
    if not whole:
        return (METHODS[method], f"no figure: {samples[-1].why}", *[_NO] * 6)
    shares = [sum(seen.servers.get(name, 0) for seen in whole) for name in SERVERS]
    total = sum(shares) or 1
    return (METHODS[method], _of(samples, rate, 0), _of(samples, p50, 1), _of(samples, p99, 0),
            str(sum(seen.failed for seen in whole)), *(f"{100 * share / total:.0f} %" for share in shares),
            f"{variation(shares):.2f}")


def _of(samples: list[Sample], value: Callable[[Sample], float | None], digits: int) -> str:
    found = spread([each for sample in samples if (each := value(sample)) is not None])
    return _spread(found, digits) if found else _NO


def _death_table(report: Report) -> Grid:
    rows = []
    for method in METHODS:
        for samples in (found for key, found in report.samples.by_key.items()
                        if key.startswith(f"death/{SMALL}/{method}/")):
            seen = samples[-1].seen
            if seen is None:
                rows.append((METHODS[method], f"no figure: {samples[-1].why}", _NO, _NO, _NO))
                continue
            until = "never" if any(each.never for each in samples) else (
                f"{max(each.until_none or 0.0 for each in samples):.2f} s")
            rows.append((METHODS[method], _of(samples, rate, 0), _of(samples, p99, 0),
                         " / ".join(str(each.seen.failed) for each in samples if each.seen), until))
    return Grid(("", "requests/s", "p99, ms", "failed", "until none failed"), tuple(rows))


def _machine(report: Report) -> Iterator[Block]:
    server = to_builtins(report.settings.server) | to_builtins(report.settings.lines) | to_builtins(
        report.settings.client)
    yield Grid(("regime B", *server), (("", *(f"{value:g}" for value in server.values())),))
    programs = ", ".join(f"{name} {version}" for name, version in report.machine.get("programs", {}).items()
                         if name in _PROGRAMS)
    yield Paragraph(f"Programs: {programs}.")
    told = report.samples.all
    if waited := [sample.waited for sample in told if sample.waited is not None]:
        busy = sum(each > _BUSY for each in waited)
        yield Paragraph(f"Before {busy} of {len(waited)} tests other processes waited for a processor for more than "
                        f"2 % of a moment; load average {min(each.load for each in told):.1f} to "
                        f"{max(each.load for each in told):.1f}.", marked=busy > len(waited) / 10)
    for name, why in report.left_out.items():
        yield Paragraph(f"{name}: {why}")


def _spread(of: Spread | None, digits: int) -> str:
    if of is None:
        return _NO
    text = f"{of.median:,.{digits}f}"
    return text if of.lower == of.upper else f"{text} [{of.lower:,.{digits}f}–{of.upper:,.{digits}f}]"
