"""`atmdepot show`: what the running daemons say of themselves."""

from __future__ import annotations

from typing import Any

import click

from atmdepot.errors import AtmdepotError
from atmdepot.net.subjects import SUBJECTS, row_of

_WHY_NONE = {
    "queues": "no link here has a `rate` or a contract, so no cells wait (docs/qos.md)",
    "protection": "no VP here has a second route, `protect` (docs/protection.md)",
    "depots": "no depot runs here",
}
"""The reason that a subject has no rows, where that is not plain."""


@click.command("show", epilog="""\b
Examples:
  atmdepot show sessions
  atmdepot show vcs --node web1
  atmdepot show counters -o json
  atmdepot show depots --compare
""")
@click.argument("subject", type=click.Choice(list(SUBJECTS)))
@click.option("--network", "network_name", help="Which running network, where there are several.")
@click.option("--node", help="Only this node.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True,
              help="At most so many rows from each node.")
@click.option("--wide", is_flag=True, help="All columns; the default is those that fit a terminal.")
@click.option("--all", "everything", is_flag=True, help="Counters that are 0, too.")
@click.option("--compare", "comparing", is_flag=True,
              help="Hold the session tables of depots that stand by against the active one's; exit code 1 if unlike.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def show_command(
    subject: str, network_name: str | None, node: str | None, limit: int, wide: bool, everything: bool,
    comparing: bool, output: str,
) -> None:
    """Ask the running daemons for sessions, VCs, links, queues, servers, counters, OAM, protected VPs or depots."""
    import msgspec

    from atmdepot.net.control_client import show
    from atmdepot.net.running import control_sockets

    if comparing and subject != "depots":
        raise click.BadParameter("it is for `show depots`", param_hint="--compare")
    failures: list[str] = []

    def ask_all() -> list[dict[str, Any]]:
        failures.clear()
        rows = []
        for path in control_sockets(network_name, node):
            try:
                rows += show(path, subject, limit)
            except AtmdepotError as failure:
                failures.append(str(failure))
        return rows

    rows = ask_all()
    if subject == "counters" and not everything:
        rows = [row for row in rows if row["value"]]
    if output == "json":
        click.echo(msgspec.json.encode(rows).decode())
    else:
        from atmdepot.tables import print_rows

        row = row_of(subject)
        print_rows(subject, row.columns() if wide else row.narrow, rows)
        if not rows and not failures and subject in _WHY_NONE:
            click.echo(f"atmdepot: {_WHY_NONE[subject]}", err=True)
    if comparing:
        from atmdepot.commands.depots import compare

        lines, equal = compare(ask_all)
        click.echo("\n".join(lines), err=output == "json")
        if not equal:
            raise SystemExit(1)
    if failures:
        raise AtmdepotError("; ".join(failures))
