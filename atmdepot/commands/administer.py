"""`atmdepot drain` and `undrain`: changes to a running depot."""

from __future__ import annotations

from typing import Any

import click


@click.command("drain", epilog="\b\nExamples:\n  atmdepot drain web1\n  atmdepot drain web1 --after 30s\n")
@click.argument("server")
@click.option("--after", metavar="DURATION", help="When its UDP flows go to other servers: after udp_idle of the VC "
                                                  "table if not given; 0s: at once.")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
def drain_command(server: str, after: str | None, network_name: str | None) -> None:
    """Give SERVER no new sessions; its open sessions go on.

    Its UDP flows go to other servers after a time, each with its next packet.
    """
    _tell_depot(network_name, {"drain": server} | ({} if after is None else {"after": _duration(after)}))


@click.command("undrain", epilog="\b\nExample:\n  atmdepot undrain web1\n")
@click.argument("server")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
def undrain_command(server: str, network_name: str | None) -> None:
    """Give SERVER new sessions again."""
    _tell_depot(network_name, {"undrain": server})


def _duration(text: str) -> int:
    """Nanoseconds of the `--after` option."""
    from atmdepot.config.units import Duration

    try:
        return int(Duration.parse(text))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--after") from None


def _tell_depot(network_name: str | None, request: dict[str, Any]) -> None:
    """Ask the depot's daemon, the only daemon with servers."""
    from atmdepot.net.control_client import ask_done
    from atmdepot.net.running import depot_socket

    click.echo(ask_done(depot_socket(network_name), request))
