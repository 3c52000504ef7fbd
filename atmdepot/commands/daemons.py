"""`atmdepot depot`, `atmdepot edge` and `atmdepot switch`: the daemons."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from atmdepot import build
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from atmdepot.config.units import TcpAddress


def _tcp_address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> TcpAddress | None:
    from atmdepot.config.units import TcpAddress

    try:
        return None if value is None else TcpAddress.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_METRICS = click.option("--metrics", metavar="HOST:PORT", callback=_tcp_address,
                        help="Serve the metrics page at this address, instead of the VC table's.")


@click.command("depot", epilog="""\b
Examples:
  atmdepot depot vc_tables/direct.toml
  atmdepot depot standby --node depot2
""")
@click.argument("table")
@click.option("--node", metavar="NODE", help="The depot to run; needed only if the VC table has several.")
@_METRICS
def depot_command(table: str, node: str | None, metrics: TcpAddress | None) -> None:
    """Run the depot of the VC table TABLE.

    TABLE is a file, or the name of a VC table that ships (direct, gns3, ...).
    """
    _run(table, "depot", "depot", node, metrics)


@click.command("edge", epilog="\b\nExample:\n  atmdepot edge vc_tables/direct.toml --node web1\n")
@click.argument("table")
@click.option("--node", metavar="NODE", required=True, help="The edge node to run.")
@_METRICS
def edge_command(table: str, node: str, metrics: TcpAddress | None) -> None:
    """Run an edge node of the VC table TABLE."""
    _run(table, "edge", "edge node", node, metrics)


@click.command("switch", epilog="\b\nExample:\n  atmdepot switch vc_tables/switched.toml --node sw1\n")
@click.argument("table")
@click.option("--node", metavar="NODE", required=True, help="The switch to run.")
@_METRICS
def switch_command(table: str, node: str, metrics: TcpAddress | None) -> None:
    """Run a switch of the VC table TABLE.

    It leads cells from link to link.
    """
    _run(table, "switch", "switch", node, metrics)


@click.command("interworking", epilog="\b\nExample:\n  atmdepot interworking interworking.toml --node iwf\n")
@click.argument("table")
@click.option("--node", metavar="NODE", required=True, help="The interworking function to run.")
@_METRICS
def interworking_command(table: str, node: str, metrics: TcpAddress | None) -> None:
    """Run an interworking function of the VC table TABLE.

    It leads from VCs of ATM to PVCs of Frame Relay (FRF.8).
    """
    _run(table, "interworking", "interworking function", node, metrics)


def _run(table: str, kind: str, word: str, node: str | None, metrics: TcpAddress | None) -> None:
    """Run a node of a kind, which people call by `word`; without a name, the only one of that kind."""
    from atmdepot.config.reading import find, load
    from atmdepot.net import daemon

    network = load(table)
    there = [name for name, settings in network.nodes.items() if settings.kind == kind]
    if node is None and len(there) > 1:
        raise AtmdepotError(f"{table}: it has several {word}s, say which, as in `--node {there[0]}`: "
                            f"{', '.join(there)}")
    if node is None and there:
        node = there[0]
    if node not in there:
        plural = f"{word}es" if word.endswith("ch") else f"{word}s"
        known = f"the {plural} are {', '.join(there)}" if there else f"it has no {plural}"
        raise AtmdepotError(f"{table}: \"{node}\" is no {word}: {known}")
    _warn_of_stale_code()
    daemon.run(network, node, find(table), metrics)


def _warn_of_stale_code() -> None:
    if build.is_compiled() and (newer := build.stale()):
        log = logging.getLogger("atmdepot")
        log.warning("the compiled data path is older than %s: %s", ", ".join(newer), build.REBUILD)
