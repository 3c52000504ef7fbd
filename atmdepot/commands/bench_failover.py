"""`atmdepot bench failover`: the command."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

import atmdepot
from atmdepot.bench import machine
from atmdepot.bench.failover import cases, costs, syncing
from atmdepot.bench.failover.chart import draw
from atmdepot.bench.failover.journal import Journal, remove
from atmdepot.bench.failover.report import BEGIN, END, Report, as_json, as_markdown, tables
from atmdepot.bench.failover.run import run
from atmdepot.bench.files import ReportFiles
from atmdepot.bench.page import put_into, require_markers
from atmdepot.bench.progress import Teller
from atmdepot.bench.schedule import in_words
from atmdepot.commands.ending import end_on_sigterm
from atmdepot.commands.writing import FileToWrite, require_writable
from atmdepot.config.units import count_text
from atmdepot.errors import EnvironmentLacks
from atmdepot.tables import console


@click.command(epilog="""\b
Examples:
  atmdepot bench failover --plan
  atmdepot bench failover --quick
  atmdepot bench failover --markdown failover.md --json failover.json --svg failover.svg
  atmdepot bench failover --mode stream --mode conntrackd --event sigkill
""")
@click.option("--quick", is_flag=True,
              help=f"{cases.QUICK_KILLS} failures of each case; figures to quote take {cases.KILLS}.")
@click.option("--kills", type=click.IntRange(1, 1000),
              help=f"The number of failures of each case; {cases.QUICK_KILLS} with --quick, else {cases.KILLS}.")
@click.option("--mode", "modes", multiple=True, metavar="NAME", type=click.Choice(list(cases.CONTENDERS)),
              help="Only depots of this mode, or this peer; can be repeated.")
@click.option("--event", "events", multiple=True, metavar="NAME", type=click.Choice(list(cases.EVENTS)),
              help="Only this failure; can be repeated.")
@click.option("--costs/--no-costs", "with_costs", default=None,
              help="Measure what standbys cost while nothing fails; by default unless modes or failures are chosen.")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), default=Path("failover.jsonl"),
              show_default=True, help="What was measured is noted here; a run that was ended goes on from it.")
@click.option("--anew", is_flag=True, help="Begin a new journal.")
@click.option("--plan", "plan_only", is_flag=True, help="Tell what would be done, and how long it takes.")
@click.option("--json", "json_file", type=FileToWrite(), help="Write all figures there.")
@click.option("--svg", "svg_file", type=FileToWrite(), help="Draw the gaps there.")
@click.option("--markdown", "markdown_file", type=FileToWrite(), help="Write the tables there, for a page.")
@click.option("--page", type=FileToWrite(exists=True),
              help=f"Put the tables into this page, between {BEGIN} and {END}.")
def failover(
    quick: bool, kills: int | None, modes: tuple[str, ...], events: tuple[str, ...], with_costs: bool | None,
    journal: Path, anew: bool, plan_only: bool, json_file: Path | None, svg_file: Path | None,
    markdown_file: Path | None, page: Path | None,
) -> None:
    """Make depots and their peers fail, and measure the gap.

    The gap is the time without answers; the sessions that go on are counted, too. Each mode has a lab of its own, with
    a client that keeps several hundred sessions and opens 200 a second. The machine outside the labs is not touched.
    If you end a run and start it again, it goes on where it was.
    """
    if not plan_only:
        require_writable(journal, in_place=True)
    if page is not None:  # refused now, not after the run
        require_markers(page, BEGIN, END)
    wanted = kills or (cases.QUICK_KILLS if quick else cases.KILLS)
    rounds = costs.QUICK_ROUNDS if quick else costs.ROUNDS
    sizes: tuple[int, ...] = syncing.QUICK_SIZES if quick else syncing.SIZES
    if not (with_costs if with_costs is not None else not modes and not events):
        rounds, sizes = 0, ()
    plan, lacking = _possible(cases.plan(wanted, modes, events))
    if not plan.cases:
        raise EnvironmentLacks("; ".join(lacking.values()) or "no mode meets such a failure: --plan tells which do")
    if anew and not plan_only:
        remove(journal)
    noted = (Journal(journal, atmdepot.__version__, only_read=plan_only) if journal.exists() or not plan_only
             else None)
    done = noted.counts if noted is not None else {}
    if plan_only:
        _tell_plan(plan, done)
        _tell_costs(plan, done, *_left(noted, rounds, sizes))
        return
    assert noted is not None
    end_on_sigterm()
    rounds_left, sizes_left = _left(noted, rounds, sizes)
    with Teller(plan.expected(done) + costs.expected(rounds_left) + syncing.expected(sizes_left), sys.stderr) as teller:
        left_out = run(plan, noted, teller)
        left_out |= costs.measure(noted, rounds, teller) | syncing.measure(noted, sizes, teller)
    report = Report(noted.readings, {"kills": wanted, "cost_rounds": rounds}, machine.describe([]), lacking | left_out,
                    noted.costs, noted.syncs)
    _tell(report, ReportFiles(json_file, svg_file, markdown_file), page)


def _left(noted: Journal | None, rounds: int, sizes: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Rounds of costs and sizes of full syncs that the journal lacks."""
    if noted is None:
        return rounds, sizes
    done = {each.sessions for each in noted.syncs}
    return max(0, rounds - len(noted.costs)), tuple(size for size in sizes if size not in done)


def _possible(plan: cases.Plan) -> tuple[cases.Plan, dict[str, str]]:
    """The cases whose programs are installed, and by contender what the rest lacks, which is told."""
    lacking = {}
    for contender in plan.contenders:
        if missing := machine.missing(("ip", *contender.programs)):
            lacking[contender.name] = machine.how_to_get(missing)
            click.echo(f"{contender.name} is left out: {lacking[contender.name]}", err=True)
    return cases.Plan(tuple(case for case in plan.cases if case.contender.name not in lacking)), lacking


def _tell_plan(plan: cases.Plan, done: dict[str, int]) -> None:
    for case in plan.cases:
        left = max(0, case.kills - done.get(case.key, 0))
        click.echo(f"{case.contender.name:18} {case.event.name:11} {left:3} of {case.kills}   "
                   f"{in_words(left * cases.seconds_of(case)):>12}   {case.event.about}")


def _tell_costs(plan: cases.Plan, done: dict[str, int], rounds: int, sizes: tuple[int, ...]) -> None:
    seconds = costs.expected(rounds)
    if rounds:
        click.echo(f"{'costs':30} {rounds:3} rounds  {in_words(seconds):>11}   "
                   f"loads on {', '.join(costs.MODES)}, while nothing fails")
    for size in sizes:
        click.echo(f"{'full sync':30} {size:9,}   {in_words(syncing.expected((size,))):>12}   "
                   "of a standby that comes late, beside new connections")
    seconds += plan.expected(done) + syncing.expected(sizes)
    click.echo(f"{count_text(len(plan.cases), 'case')}, {in_words(seconds)} in all")


def _tell(report: Report, files: ReportFiles, page: Path | None) -> None:
    """Print the tables and write the files."""
    out = console()
    for table in tables(report):
        out.print(table)
    out.print(f"{report.about}.", highlight=False)
    for name, why in report.left_out.items():
        click.echo(f"{name}: {why}", err=True)
    files.write(partial(as_json, report), partial(draw, report), partial(as_markdown, report))
    if page is not None:
        put_into(page, as_markdown(report), BEGIN, END)
