"""`atmdepot vc`: the cross-connects of running switches, which can be changed while cells pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct, field

from atmdepot.commands.hinting_group import HintingGroup
from atmdepot.errors import AtmdepotError
from atmdepot.options import MOST_ROWS

if TYPE_CHECKING:
    from atmdepot.config.links import CrossConnect

_COLUMNS = ("switch", "from", "to", "contract", "name", "kept")
_LOST = "lost at a restart, unless `atmdepot vc save` writes it into the VC table"
_NETWORK = click.option("--network", "network_name", metavar="NAME",
                        help="The running network; needed only while several run.")


class _Crossed(Struct):
    """A cross-connect, as a daemon tells it."""

    place: str = field(name="from")
    to: str
    name: str
    contract: str
    kept: str


class _AllCrossed(Struct):
    rows: list[_Crossed]


@click.group(cls=HintingGroup, epilog="""\b
Examples:
  atmdepot vc list
  atmdepot vc add sw1 'to-web1 9/100' 'to-web2 9/100' --contract cbr:pcr=1000
  atmdepot vc save sw1 lab.toml
""")
def vc() -> None:
    """See and change the cross-connects of running switches."""


@vc.command("list", epilog="\b\nExample:\n  atmdepot vc list sw1\n")
@click.argument("switch", required=False)
@_NETWORK
@click.option("--limit", type=click.IntRange(min=1), metavar="N", default=MOST_ROWS, show_default=True,
              help="The most rows of a table; JSON has all.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="The format of the output.")
def list_command(switch: str | None, network_name: str | None, limit: int, output: str) -> None:
    """List the cross-connects of SWITCH, or of all switches."""
    import msgspec

    from atmdepot.net.control_client import Refused

    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    for path in _sockets(network_name, switch):
        try:
            rows += [{"switch": path.stem} | msgspec.to_builtins(row) for row in _crossed(path)]
        except Refused:
            if switch is not None:  # else it is no switch
                raise
        except AtmdepotError as failure:
            failures.append(str(failure))
    if rows or not failures:  # an empty table would look like an answer
        _print(rows, limit, output)
    if failures:
        raise AtmdepotError("; ".join(failures))


def _print(rows: list[dict[str, Any]], limit: int, output: str) -> None:
    import msgspec

    if output == "json":
        click.echo(msgspec.json.encode(rows).decode())
        return
    from atmdepot.tables import print_rows

    print_rows("cross-connects", _COLUMNS, rows[:limit], more=max(0, len(rows) - limit))
    if len(rows) > limit:
        click.echo(f"atmdepot: {len(rows) - limit:,} more rows; `--limit {len(rows)}` shows them, SWITCH chooses among "
                   "them, and `-o json` has all", err=True)
    elif not rows:
        click.echo("atmdepot: no switch has a cross-connect here; `atmdepot show vcs` has the VCs of depots and edge "
                   "nodes", err=True)


@vc.command("add", epilog="\b\nExample:\n  atmdepot vc add sw1 'to-web1 9/100' 'trunk 9/100' 'to-web2 9/100'\n")
@click.argument("switch")
@click.argument("place", metavar="FROM")
@click.argument("leaves", metavar="TO", nargs=-1, required=True)
@click.option("--contract", help="Its contract, as in the VC table; without it best effort.")
@click.option("--name", help="Its name in the VC table, once it is saved.")
@_NETWORK
def add_command(
    switch: str, place: str, leaves: tuple[str, ...], contract: str | None, name: str | None, network_name: str | None,
) -> None:
    """Lead the cells that come in at FROM to each TO.

    A place is 'LINK VPI' or 'LINK VPI/VCI'. If FROM has other TOs already, it gets these as well: point to
    multipoint.
    """
    request = {"vc_add": place, "to": leaves, "contract": contract, "name": name}
    click.echo(f"{_done(switch, network_name, request)}; {_LOST}")


@vc.command("remove", epilog="\b\nExample:\n  atmdepot vc remove sw1 'to-web1 9/100' 'to-web2 9/100'\n")
@click.argument("switch")
@click.argument("place", metavar="FROM")
@click.argument("leaves", metavar="[TO]...", nargs=-1)
@_NETWORK
def remove_command(switch: str, place: str, leaves: tuple[str, ...], network_name: str | None) -> None:
    """Remove each TO from FROM, or without a TO the whole of it."""
    done = _done(switch, network_name, {"vc_remove": place, "to": leaves})
    click.echo(f"{done}; if the VC table has it, it is back at a restart, unless `atmdepot vc save` takes it out")


@vc.command("save", epilog="\b\nExample:\n  atmdepot vc save sw1 lab.toml\n")
@click.argument("switch")
@click.argument("table", type=click.Path(dir_okay=False, path_type=Path))
@_NETWORK
def save_command(switch: str, table: Path, network_name: str | None) -> None:
    """Write the cross-connects that you added into TABLE.

    TABLE is the VC table with which the daemon of SWITCH was started. Comments stay. A lab runs from a copy of the
    VC table, which is written as well. The daemon then reads its VC table again.
    """
    from atmdepot.config.links import CrossConnect
    from atmdepot.config.reading import load
    from atmdepot.lab.state import TABLE_FILE
    from atmdepot.net.control_client import ask_done

    network = load(table)
    [socket] = _sockets(network_name or network.name, switch)
    own = {row.name: CrossConnect(switch=switch, from_=row.place, to=row.to.split(", "), contract=row.contract or None)
           for row in _crossed(socket) if row.kept != "by its VP or VC"}
    _save(table, switch, own)
    copy = socket.parent / TABLE_FILE
    if copy.exists() and not copy.samefile(table):
        _save(copy, switch, own)
    click.echo(ask_done(socket, {"reload": True}))


def _save(table: Path, switch: str, own: dict[str, CrossConnect]) -> None:
    """Write a switch's own cross-connects into a table; raise AtmdepotError for what `check` would say."""
    from atmdepot.config.reading import parse
    from atmdepot.config.saving import with_connects
    from atmdepot.paths import write_whole

    try:
        text = with_connects(table.read_text(encoding="utf-8-sig"), switch, own)
        parse(text, str(table))
        write_whole(table, text)
    except OSError as error:
        raise AtmdepotError(f"{table}: cannot be written: {error.strerror}") from None
    click.echo(f"{table}: cross-connects of {switch} beside its VPs and VCs: {len(own)}")


def _sockets(network_name: str | None, switch: str | None) -> list[Path]:
    from atmdepot.net.running import control_sockets

    return control_sockets(network_name, switch)


def _crossed(path: Path) -> list[_Crossed]:
    """The cross-connects of a daemon; raise AtmdepotError where it has none to tell."""
    from atmdepot.net.control_client import ask_for

    return ask_for(path, {"vc_list": True}, _AllCrossed).rows


def _done(switch: str, network_name: str | None, request: dict[str, Any]) -> str:
    """Have a switch's daemon do something; return its report."""
    from atmdepot.net.control_client import ask_done

    [path] = _sockets(network_name, switch)
    return ask_done(path, request)
