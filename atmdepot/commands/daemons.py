"""`atmdepot depot` and `atmdepot edge`: the daemons."""

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
                        help="Where the metrics page is to be had; else where the table says, if it does.")


@click.command("depot", epilog="\b\nExample:\n  atmdepot depot vc_tables/direct.toml\n")
@click.argument("table")
@_METRICS
def depot_command(table: str, metrics: TcpAddress | None) -> None:
    """Run the depot of the VC table TABLE (a file, or the name of a table that ships: direct, gns3, ...)."""
    from atmdepot.config.reading import find, load
    from atmdepot.net import daemon

    network = load(table)
    _warn_of_stale_code()
    daemon.run(network, network.depot, find(table), metrics)


@click.command("edge", epilog="\b\nExample:\n  atmdepot edge vc_tables/direct.toml --node web1\n")
@click.argument("table")
@click.option("--node", required=True, help="Which of the table's edge nodes to be.")
@_METRICS
def edge_command(table: str, node: str, metrics: TcpAddress | None) -> None:
    """Run an edge node of the VC table TABLE."""
    from atmdepot.config.reading import find, load
    from atmdepot.net import daemon

    network = load(table)
    if node not in network.edges:
        known = f"the edge nodes are {', '.join(network.edges)}" if network.edges else "it has no edge nodes"
        raise AtmdepotError(f"{table}: \"{node}\" is no edge node: {known}")
    _warn_of_stale_code()
    daemon.run(network, node, find(table), metrics)


def _warn_of_stale_code() -> None:
    if build.is_compiled() and (newer := build.stale()):
        log = logging.getLogger("atmdepot")
        log.warning("the compiled data path is older than %s: %s", ", ".join(newer), build.REBUILD)
