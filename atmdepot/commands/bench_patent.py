"""`atmdepot bench patent`: the command."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

import atmdepot
from atmdepot.bench import machine
from atmdepot.bench.page import require_markers
from atmdepot.bench.patent import charts, document, page_of, prior_art, report, settings, words
from atmdepot.bench.patent.plan import FAST, METHODS, PARTS, QUICK, REGIMES, SMALL, WHOLE, Plan, Size, plan
from atmdepot.bench.patent.run import Runner
from atmdepot.bench.patent.samples import Journal
from atmdepot.bench.progress import Teller
from atmdepot.bench.schedule import in_words
from atmdepot.commands.ending import end_on_sigterm
from atmdepot.commands.writing import FileToWrite
from atmdepot.config.units import count_text
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.paths import write_whole

_SAMPLES, _REPORT = "samples.jsonl", "report"
_NEEDED = {FAST: ("ip", "nginx", "ab"), SMALL: ("ip", "tc")}


@click.command(epilog="""\b
Examples:
  atmdepot bench patent --plan
  atmdepot bench patent --out patent-report
  atmdepot bench patent --out patent-report --passes 3
  atmdepot bench patent --quick --out short
  atmdepot bench patent --part tables --regime B --out tables-b
""")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("patent-report"),
              show_default=True, help="The directory of the report: Markdown, HTML, charts, JSON, and every sample.")
@click.option("--passes", type=click.IntRange(1, 100), default=1, show_default=True,
              help="How often each test is taken; three give quartiles.")
@click.option("--quick", is_flag=True, help="A shortened run, which shows the shape and not the figures.")
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Only this; can be repeated.")
@click.option("--regime", "regimes", multiple=True, type=click.Choice(list(REGIMES)),
              help="A: servers as fast as the machine; B: each a small machine of its own. Both by default.")
@click.option("--servers", "servers_file", type=click.Path(path_type=Path),
              help="The file that fixes regime B's servers; by default the one that ships with atmdepot.")
@click.option("--resume", is_flag=True, help="Go on with the run in the directory: what it has is not taken again.")
@click.option("--anew", is_flag=True, help="Forget the run in the directory.")
@click.option("--page", type=FileToWrite(exists=True),
              help=f"Put the report into this page besides, between {page_of.BEGIN} and {page_of.END}.")
@click.option("--plan", "plan_only", is_flag=True, help="Tell what would be done, and how long it takes.")
def patent(
    out: Path, passes: int, quick: bool, parts: tuple[str, ...], regimes: tuple[str, ...], servers_file: Path | None,
    resume: bool, anew: bool, page: Path | None, plan_only: bool,
) -> None:
    """Repeat the patent's experiment, and its prior art.

    It compares one server alone with the depot and two servers, in labs of its own. The machine outside the labs is
    not touched. If you end a run, it leaves a report of what it has measured, marked as a part.
    """
    if resume and anew:
        raise click.UsageError("--resume goes on with a run, and --anew forgets it: give one of them")
    if page is not None:  # refused now, not after the run
        require_markers(page, page_of.BEGIN, page_of.END)
    of = settings.load(servers_file or settings.shipped())
    size = QUICK if quick else WHOLE
    lacking = _lacking(regimes or tuple(REGIMES), size)
    size = msgspec.structs.replace(size, methods=tuple(name for name in size.methods if name not in lacking))
    tests = plan(of, parts or tuple(PARTS), regimes or tuple(REGIMES), size, passes)
    journal = _journal(out, of, tests, resume=resume, anew=anew) if not plan_only else \
        _begun(out, of, tests) if resume and (out / _SAMPLES).exists() else None
    done = journal.samples.done if journal else {}
    if plan_only or journal is None:
        _tell_plan(tests, done)
        return
    end_on_sigterm()
    try:
        with Teller(tests.expected(done), sys.stderr) as teller:
            Runner(tests, of, journal, teller).run()
    finally:
        # Also of an ended run: what was measured is kept.
        if journal.samples.by_key:
            _write(out, _report(journal, tests, size, of, passes, lacking), page)


def _lacking(regimes: tuple[str, ...], size: Size) -> dict[str, str]:
    """The tests that lack a program, with the way to get it, told at once; raise EnvironmentLacks when all do."""
    if missing := machine.missing(name for regime in regimes for name in _NEEDED[regime]):
        raise EnvironmentLacks(machine.how_to_get(missing))
    lacking = {}
    for method in size.methods:
        program = prior_art.PROGRAMS.get(method)
        if program is not None and machine.missing([program]):
            lacking[method] = machine.how_to_get([program])
            click.echo(f"{METHODS[method]} is left out: {lacking[method]}", err=True)
    if not charts.available():
        lacking["charts"] = charts.LACKING
        click.echo(charts.LACKING, err=True)
    return lacking


def _journal(out: Path, of: settings.Settings, tests: Plan, *, resume: bool, anew: bool) -> Journal:
    path = out / _SAMPLES
    try:
        out.mkdir(parents=True, exist_ok=True)
        if anew:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise AtmdepotError(f"{out} cannot be made: {error.strerror}; name another directory with --out") from None
    if path.exists() and not resume:
        raise AtmdepotError(f"{path}: there is a run already: go on with it by --resume, forget it by --anew, or name "
                            "another directory with --out")
    return Journal(path, atmdepot.__version__, of, [item.key for item in tests.items])


def _begun(out: Path, of: settings.Settings, tests: Plan) -> Journal:
    """The journal of a run that has begun; it stays as it is."""
    return Journal(out / _SAMPLES, atmdepot.__version__, of, [item.key for item in tests.items], only_read=True)


def _tell_plan(tests: Plan, done: dict[str, int]) -> None:
    for part, about in PARTS.items():
        for regime in REGIMES:
            some = Plan(tuple(item for item in tests.items if (item.part, item.regime) == (part, regime)), tests.passes)
            if some.items:
                left = sum(max(0, some.passes - done.get(item.key, 0)) for item in some.items)
                click.echo(f"{part:10} {regime}  {count_text(left, 'test'):>10}  {in_words(some.expected(done)):>12}   "
                           f"{about}")
    click.echo(f"{in_words(tests.expected(done))} in all")


def _report(journal: Journal, tests: Plan, size: Size, of: settings.Settings, passes: int,
            lacking: dict[str, str]) -> report.Report:
    done = journal.samples.done
    missing = sum(max(0, passes - done.get(item.key, 0)) for item in tests.items)
    return report.Report(journal.samples, of, machine.describe([]), size.requests, passes, missing, lacking)


def _write(out: Path, of: report.Report, page: Path | None) -> None:
    """Write the report's files, and tell what they say in short."""
    blocks = list(report.blocks(of))
    files = {f"{_REPORT}.md": document.as_markdown(blocks), f"{_REPORT}.html": document.as_html(report.TITLE, blocks),
             f"{_REPORT}.json": msgspec.json.format(msgspec.json.encode(report.as_json(of))).decode() + "\n",
             **{block.name: block.svg for block in blocks if isinstance(block, document.Chart)}}
    try:
        for name, text in files.items():
            write_whole(out / name, text)
        if page is not None:
            page_of.put(page, blocks)
    except OSError as error:
        raise AtmdepotError(f"the report cannot be written into {out}: {error.strerror}; {_SAMPLES} there has every "
                            "sample: make room, then --resume writes the report") from None
    if of.missing:
        click.echo(f"this is a part of the run: {count_text(of.missing, 'test')} missing; --resume goes on", err=True)
    for text in words.statement(of.judgement, of.samples, of.requests):
        click.echo(text)
    click.echo(f"{out / _REPORT}.html, .md and .json have the whole")
