"""`atmdepot impair`: impairments of a link while its network runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from pathlib import Path

_RATIO = re.compile(r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(%?)")


class _Ratio(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.3
    """A ratio: `0.01` or `1%`."""

    name = "ratio"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a ratio from 0 to 1."""
        match = _RATIO.fullmatch(str(value).strip())
        ratio = float(match[1]) / (100 if match[2] else 1) if match else -1.0
        if not 0 <= ratio <= 1:
            self.fail(f"{value!r} is no ratio: write a number from 0 to 1, as in 0.01 or 1e-6, or 1%", param, ctx)
        return ratio


class _Unit(click.ParamType):  # type: ignore[type-arg]
    """A value with a unit, read as a VC table reads it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a value: ns of a duration, cells/s of a rate."""
        from atmdepot.config.units import CellRate, Duration

        try:
            return int(CellRate.parse(value) if self.name == "rate" else Duration.parse(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("impair", epilog="""\b
Examples:
  atmdepot impair to-web1 --from depot --loss 1% --delay 5ms --jitter 2ms
  atmdepot impair to-web1 --bit-errors 1e-6
  atmdepot impair --show
  atmdepot impair to-web1 --clear
""")
@click.argument("link", required=False)
@click.option("--from", "sender", metavar="NODE", help="Only what NODE sends; both directions if not given.")
@click.option("--loss", "cell_loss", type=_Ratio(), help="Lose this ratio of cells (of frames on Frame Relay).")
@click.option("--delay", type=_Unit("duration"), help="Delay, one-way.")
@click.option("--jitter", type=_Unit("duration"), help="Peak-to-peak variation of the delay; the order stays.")
@click.option("--rate", type=_Unit("rate"), help="Line rate, as in 20kcps, 155Mbps or oc3.")
@click.option("--bit-errors", type=_Ratio(), help="Flip this ratio of bits, in headers and payloads.")
@click.option("--misinsert", "misinsertion", type=_Ratio(), help="Ratio of cells before which a cell with another "
                                                                 "payload is inserted.")
@click.option("--reorder", "reordering", type=_Ratio(), help="Ratio of cells that overtake cells of other VCs.")
@click.option("--show", "showing", is_flag=True, help="Only show what is set, and what the VC table has.")
@click.option("--clear", is_flag=True, help="Bring the VC table's values back: of LINK, or of all links.")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="The format of the output.")
def impair_command(
    link: str | None, sender: str | None, bit_errors: float | None, showing: bool, clear: bool,
    network_name: str | None, output: str, **given: float | None,
) -> None:
    """Lose, delay, damage or reorder what crosses LINK.

    A value that you set replaces the VC table's value until you clear it or the daemon is restarted.
    """
    values = {name: value for name, value in given.items() if value is not None}
    if bit_errors is not None:
        values |= {"header_bit_errors": bit_errors, "payload_bit_errors": bit_errors}
    if showing and (values or clear):
        raise click.UsageError("--show changes nothing: leave it out to set or clear values")
    if not (values or clear or showing):
        raise click.UsageError("nothing to do: set a value, as in --loss 1%, or give --show or --clear")
    if link is None and values:
        raise click.UsageError("which link? `atmdepot impair --show` lists them")
    ends = _ends(network_name, link, sender)
    rows = [row for _, row in ends]
    if not showing:
        rows = [_tell(path, {"link": row["link"], "clear": clear, **values}) for path, row in ends]
    _print(rows, output)


def _ends(network_name: str | None, link: str | None, sender: str | None) -> list[tuple[Path, dict[str, Any]]]:
    """The directions that are meant, each with the control socket of the node that sends."""
    from atmdepot.net.control_client import show
    from atmdepot.net.running import control_sockets

    every = [(path, row) for path in control_sockets(network_name, sender) for row in show(path, "impairments")]
    if found := [(path, row) for path, row in every if link in (None, row["link"])]:
        return found
    of = "the network" if sender is None else sender
    links = ", ".join(dict.fromkeys(row["link"] for _, row in every))
    raise AtmdepotError(f"{of} has no link \"{link}\": it has {links or 'none'}")


def _tell(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    from atmdepot.net.control_client import ask_rows

    return ask_rows(path, {"impair": request}, "impairments", least=1)[0]


def _print(rows: list[dict[str, Any]], output: str) -> None:
    import msgspec

    if output == "json":
        click.echo(msgspec.json.encode(rows).decode())
        return
    from atmdepot.net.subjects import row_of
    from atmdepot.tables import print_rows

    print_rows("impairments", row_of("impairments").narrow, rows)
