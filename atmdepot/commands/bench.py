"""`atmdepot bench`: the commands."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from atmdepot.bench import figures, machine
from atmdepot.bench.contenders import BEARERS, BESIDE_BEARERS, CONTENDERS, DEPOT, EVERY, Contender
from atmdepot.bench.files import ReportFiles
from atmdepot.bench.loads import Load, loads
from atmdepot.bench.page import put_into, require_markers
from atmdepot.bench.progress import Teller
from atmdepot.bench.report import BEGIN, END, FEWEST, Report, as_json, as_markdown, note, tables
from atmdepot.bench.run import Outcome, Plan, run
from atmdepot.bench.svg import draw
from atmdepot.commands.bench_failover import failover
from atmdepot.commands.bench_patent import patent
from atmdepot.commands.bench_proxies import proxies
from atmdepot.commands.ending import end_on_sigterm
from atmdepot.commands.hinting_group import HintingGroup
from atmdepot.commands.writing import FileToWrite, OpenFileToWrite
from atmdepot.config.reading import find, load
from atmdepot.config.units import count_text
from atmdepot.errors import EnvironmentLacks
from atmdepot.options import Seconds
from atmdepot.tables import console

if TYPE_CHECKING:
    from pathlib import Path

_QUICK, _ROUNDS = 3, FEWEST
_QUICK_COUNTED = 1
"""Rounds of --quick with counts of whole labs: they take runs of their own, and differ little from round to round."""

_IDLE, _MOST = 1_000_000, 4_000_000


@click.group(cls=HintingGroup, epilog="\b\nExample:\n  atmdepot bench peers --quick\n")
def bench() -> None:
    """Measure the depot."""


bench.add_command(failover)
bench.add_command(patent)
bench.add_command(proxies)


@bench.command(epilog="""\b
Examples:
  atmdepot bench peers --quick
  atmdepot bench peers --json peers.json --svg peers.svg
  atmdepot bench peers --rounds 5 --contender haproxy --contender depot --measure bulk
  atmdepot bench peers --bearer atm --bearer ethernet --json bearers.json
  atmdepot bench peers --list
""")
@click.option("--rounds", type=click.IntRange(1, 100),
              help=f"The number of rounds; {_QUICK} with --quick, else {_ROUNDS}.")
@click.option("--quick", is_flag=True, help=f"{_QUICK} rounds, within ten minutes; figures to quote take {FEWEST}.")
@click.option("--seconds", type=click.IntRange(1, 60), default=1, show_default=True,
              help="The length of each sample (s).")
@click.option("--contender", "names", multiple=True, metavar="NAME", type=click.Choice(list(CONTENDERS)),
              help="Only this one; can be repeated.")
@click.option("--bearer", "bearers", multiple=True, metavar="NAME", type=click.Choice([*BEARERS, "all"]),
              help="Compare the depot by this bearer with kernel, DNAT and HAProxy; can be repeated; all: by each.")
@click.option("--measure", "measures", multiple=True, metavar="NAME",
              help="Only this measure, or those whose names begin so (bulk, connections-1kb); can be repeated.")
@click.option("--table", default="direct", show_default=True, help="The VC table of the lab.")
@click.option("--idle-sessions", type=click.IntRange(figures.FEW_IDLE + 1, _MOST), default=_IDLE, show_default=True,
              help=f"The number of sessions that the measure idle-sessions compares with {figures.FEW_IDLE:,}.")
@click.option("--json", "json_file", type=FileToWrite(), help="Write samples, medians and ratios there.")
@click.option("--svg", "svg_file", type=FileToWrite(), help="Draw bars there.")
@click.option("--markdown", "markdown_file", type=FileToWrite(), help="Write the tables there, for a page.")
@click.option("--page", type=FileToWrite(exists=True),
              help=f"Put the figures of bearers into this page, between {BEGIN} and {END}.")
@click.option("--list", "list_only", is_flag=True, help="List contenders and measures.")
def peers(
    rounds: int | None, quick: bool, seconds: int, names: tuple[str, ...], bearers: tuple[str, ...],
    measures: tuple[str, ...], table: str, idle_sessions: int, json_file: Path | None, svg_file: Path | None,
    markdown_file: Path | None, page: Path | None, list_only: bool,
) -> None:
    """Compare the depot with the kernel, HAProxy and nginx.

    The contenders take turns: kernel forwarding, nftables DNAT, HAProxy, nginx and the depot. Each has a lab of its
    own with the same VC table, web servers and client. Every round measures each figure once. The machine outside the
    labs is not touched.
    """
    if list_only:
        _list(idle_sessions)
        return
    _refuse_what_does_not_fit(names, bearers, page)
    chosen = _chosen(names, bearers)
    # Loaded first, so that a mistake in a table shows before the labs come up.
    for name in (table, *(each.table for each in chosen if each.table is not None)):
        load(name)
    wanted = figures.chosen(measures or (figures.of_bearers() if bearers else ()), figures.figures(idle_sessions))
    contenders, usable, left_out = _possible(chosen, [each for each in loads() if set(each.figures) & set(wanted)])
    beside_idle = _measures_idle_sessions(contenders, wanted, idle_sessions)
    if not contenders or not (usable or beside_idle):
        raise EnvironmentLacks("no contender or no measure is left that could be run here: "
                               + ("; ".join(left_out.values()) or "choose others"))
    rounds = rounds or (_QUICK if quick else _ROUNDS)
    plan = Plan(contenders, usable, frozenset(wanted), find(table).read_text(encoding="utf-8"), rounds, seconds,
                idle_sessions if beside_idle else None, _QUICK_COUNTED if quick else rounds,
                {each.name: find(each.table).read_text(encoding="utf-8") for each in contenders if each.table})
    end_on_sigterm()
    about = machine.describe(contenders)
    outcome = _carry_out(plan, about["data_paths"])
    settings = {"table": table, "bearers": list(bearers), "rounds": rounds, "seconds": seconds,
                "idle_sessions": idle_sessions}
    _tell(Report(outcome.samples, settings, about, left_out | outcome.left_out, idle_sessions, outcome.others),
          ReportFiles(json_file, svg_file, markdown_file), page)


def _refuse_what_does_not_fit(names: tuple[str, ...], bearers: tuple[str, ...], page: Path | None) -> None:
    """Raise UsageError for options that exclude each other, and AtmdepotError for a page without a place."""
    if bearers and names:
        raise click.UsageError("--bearer chooses the contenders: leave --contender out")
    if page is not None:
        if not bearers:
            raise click.UsageError("--page takes the figures of bearers: add --bearer all")
        require_markers(page, BEGIN, END)


def _chosen(names: tuple[str, ...], bearers: tuple[str, ...]) -> list[Contender]:
    """The contenders of these names, or all; for bearers the depot by each, and what it is compared with."""
    if not bearers:
        return [each for name, each in CONTENDERS.items() if not names or name in names]
    return [*BESIDE_BEARERS, *(each for name, each in BEARERS.items() if name in bearers or "all" in bearers)]


def _measures_idle_sessions(contenders: list[Contender], wanted: list[str], idle_sessions: int) -> bool:
    """True when a load beside idle sessions is wanted and possible: ab makes it, and only the depot holds them."""
    return (DEPOT in contenders and machine.find("ab") is not None
            and any(name in wanted for name in (figures.idle(idle_sessions), figures.idle(figures.FEW_IDLE))))


def _carry_out(plan: Plan, data_paths: dict[str, str]) -> Outcome:
    """Run a plan, and tell how far it is on standard error."""
    with Teller(plan.expected, sys.stderr) as teller:
        for name, path in data_paths.items():
            teller.tell(f"{name}: {path}")
        return run(plan, teller)


def _possible(
    contenders: list[Contender], wanted: list[Load],
) -> tuple[list[Contender], list[Load], dict[str, str]]:
    """Contenders and loads whose programs are installed, and by name the programs that the rest lack.

    Print what is left out; raise EnvironmentLacks without nginx.
    """
    if machine.find("nginx") is None:
        raise EnvironmentLacks(machine.how_to_get(["nginx"]))
    lacking = {each.name: machine.how_to_get(missing) for each in contenders
               if (missing := machine.missing(each.programs))}
    lacking |= {each.name: machine.how_to_get(missing) for each in wanted
                if (missing := machine.missing([each.program]))}
    for name, why in lacking.items():
        click.echo(f"{name} is left out: {why}", err=True)
    return ([each for each in contenders if each.name not in lacking],
            [each for each in wanted if each.name not in lacking], lacking)


def _list(idle_sessions: int) -> None:
    for each in EVERY.values():
        click.echo(f"contender  {each.name:22}  {each.title}: {each.about}")
    for figure in figures.figures(idle_sessions).values():
        click.echo(f"measure    {figure.name:22}  {figure.title} ({figure.unit})")


def _tell(report: Report, files: ReportFiles, page: Path | None) -> None:
    """Print the tables, write the files, and report samples that do not count."""
    out = console()
    for table in tables(report):
        out.print(table)
    out.print(note(report), highlight=False)
    files.write(partial(as_json, report), partial(draw, report), partial(as_markdown, report))
    if page is not None:
        put_into(page, as_markdown(report, with_targets=False), BEGIN, END)
    if failures := report.samples.failures:
        verb = "does" if len(failures) == 1 else "do"
        click.echo(f"{count_text(len(failures), 'sample')} {verb} not count, as was told above", err=True)


@bench.command(epilog="\b\nExamples:\n  atmdepot bench sar --both\n  atmdepot bench sar --size 1500 --json sar.json\n")
@click.option("--seconds", type=Seconds(0.01, 60), default=0.5, show_default=True,
              help="How much CPU time each work gets.")
@click.option("--size", "sizes", multiple=True, type=click.IntRange(1, 65535), metavar="OCTETS",
              help="Only packets of this size; can be repeated.")
@click.option("--both", is_flag=True, help="Measure the plain data path, too, and compare.")
@click.option("--json", "json_file", type=OpenFileToWrite(),
              help="Write the figures to this file; - is standard output.")
def sar(seconds: float, sizes: tuple[int, ...], both: bool, json_file: BinaryIO | None) -> None:
    """Time SAR, CRC and session look-up on a single core."""
    from atmdepot.bench.sar import SIZES, measure, measure_plain, table

    plain = measure_plain(sizes or SIZES, seconds) if both else None
    report = measure(sizes or SIZES, seconds)
    # The table must not mix with JSON on standard output.
    if json_file is None or json_file is not sys.stdout.buffer:
        console().print(table(report, plain))
    if json_file is not None:
        told = msgspec.to_builtins(report) | ({"plain": plain} if plain else {})
        json_file.write(msgspec.json.format(msgspec.json.encode(told)) + b"\n")


@bench.command(epilog="\b\nExamples:\n  atmdepot bench switch\n  atmdepot bench switch --seconds 5 --json cells.json\n")
@click.option("--seconds", type=Seconds(0.1, 60), default=2, show_default=True,
              help="The length of each load (s).")
@click.option("--json", "json_file", type=OpenFileToWrite(),
              help="Write the figures to this file; - is standard output.")
def switch(seconds: float, json_file: BinaryIO | None) -> None:
    """Count the cells that a switch moves each second.

    The second is one of processor time. Cells come in trains, and bare, as from Dynamips.
    """
    from atmdepot.bench.switch import measure, note, table

    rows = measure(seconds)
    # The table must not mix with JSON on standard output.
    if json_file is None or json_file is not sys.stdout.buffer:
        console().print(table(rows))
        console().print(note(rows), highlight=False)
    if json_file is not None:
        told = [msgspec.to_builtins(row) | {"cells_per_second": row.speed} for row in rows]
        json_file.write(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
