"""`atmdepot protection`: the protected VPs of the running nodes, and an operator's commands for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atmdepot.commands.hinting_group import HintingGroup

if TYPE_CHECKING:
    from collections.abc import Callable

_NETWORK = click.option("--network", "network_name", metavar="NAME",
                        help="The running network; needed only while several run.")
_NODE = click.option("--node", metavar="NODE", help="The end that is asked; the depot if not given.")


@click.group("protection", cls=HintingGroup)
def protection_command() -> None:
    """See and move protected VPs. Each end moves by itself."""


@protection_command.command("show", epilog="\b\nExamples:\n  atmdepot protection show\n"
                                           "  atmdepot protection show --node web1 --wide\n")
@_NETWORK
@click.option("--node", metavar="NODE", help="Only this node.")
@click.option("--wide", is_flag=True, help="All columns; by default those that fit the terminal.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="The format of the output.")
@click.pass_context
def show(ctx: click.Context, network_name: str | None, node: str | None, wide: bool, output: str) -> None:
    """Show the protected VPs at both ends.

    `atmdepot show protection` does the same.
    """
    from atmdepot.commands.show import show_command

    ctx.invoke(show_command, subject="protection", network_name=network_name, node=node, wide=wide, output=output)


def _command(what: str, text: str) -> Callable[..., None]:
    @protection_command.command(what, help=text, epilog=f"\b\nExample:\n  atmdepot protection {what} web1\n")
    @click.argument("vp")
    @_NETWORK
    @_NODE
    def run(vp: str, network_name: str | None, node: str | None) -> None:
        from atmdepot.net.control_client import ask_done
        from atmdepot.net.running import node_socket

        path = node_socket(network_name, node)
        click.echo(f"{path.stem}: {ask_done(path, {'protection': vp, 'what': what})}")

    return run


_command("lockout", "Keep VP on its working route, even when that fails.")
_command("forced", "Put VP on its protection route, unless that fails.")
_command("manual", "Put VP on its protection route until a route fails.")
_command("clear", "Take the command for VP back, and end its wait to restore.")
