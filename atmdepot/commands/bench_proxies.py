"""`atmdepot bench proxies`: the command."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from atmdepot.bench import machine
from atmdepot.bench.files import ReportFiles
from atmdepot.bench.page import put_into, require_markers
from atmdepot.bench.progress import Teller
from atmdepot.bench.proxies.documents import Asking
from atmdepot.bench.proxies.report import BEGIN, END, Report, as_json, as_markdown, draw, table
from atmdepot.bench.proxies.run import CASES, SECONDS, run
from atmdepot.commands.ending import end_on_sigterm
from atmdepot.commands.writing import FileToWrite
from atmdepot.errors import EnvironmentLacks
from atmdepot.tables import console

if TYPE_CHECKING:
    from pathlib import Path

_ROUNDS, _REQUESTS = 3, 2000


@click.command(epilog="""\b
Examples:
  atmdepot bench proxies --quick
  atmdepot bench proxies --svg proxies.svg --markdown proxies.md --json proxies.json
""")
@click.option("--quick", is_flag=True, help="A single round.")
@click.option("--rounds", type=click.IntRange(1, 100), help=f"The number of rounds; 1 with --quick, else {_ROUNDS}.")
@click.option("--requests", type=click.IntRange(100, 100_000), default=_REQUESTS, show_default=True,
              help="The number of requests in each case and round.")
@click.option("--case", "cases", multiple=True, metavar="NAME", type=click.Choice(list(CASES)),
              help=f"Only this case ({', '.join(CASES)}); can be repeated.")
@click.option("--json", "json_file", type=FileToWrite(), help="Write all figures there.")
@click.option("--svg", "svg_file", type=FileToWrite(), help="Draw them there.")
@click.option("--markdown", "markdown_file", type=FileToWrite(), help="Write the table there, for a page.")
@click.option("--page", type=FileToWrite(exists=True),
              help=f"Put the table into this page, between {BEGIN} and {END}.")
def proxies(
    quick: bool, rounds: int | None, requests: int, cases: tuple[str, ...], json_file: Path | None,
    svg_file: Path | None, markdown_file: Path | None, page: Path | None,
) -> None:
    """Measure latency and the origin's load with proxies.

    The cases are no proxy, one proxy, and three proxies behind the depot. Each case has a lab of its own in each round,
    with empty caches and the same requests. The machine outside the labs is not touched.
    """
    if page is not None:
        require_markers(page, BEGIN, END)
    if missing := machine.missing(["squid"]):
        raise EnvironmentLacks(machine.how_to_get(missing))
    rounds = rounds or (1 if quick else _ROUNDS)
    wanted = [name for name in CASES if not cases or name in cases]
    end_on_sigterm()
    asking = Asking(requests=requests)
    with Teller(len(wanted) * rounds * SECONDS, sys.stderr) as teller:
        readings = run(wanted, rounds, asking, teller)
    report = Report(readings, asking, rounds, machine.describe([]))
    out = console()
    out.print(table(report))
    out.print(f"{report.about}.", highlight=False)
    ReportFiles(json_file, svg_file, markdown_file).write(
        partial(as_json, report), partial(draw, report), partial(as_markdown, report))
    if page is not None:
        put_into(page, as_markdown(report), BEGIN, END)
