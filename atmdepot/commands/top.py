"""`atmdepot top`: a running network on the whole terminal."""

from __future__ import annotations

import sys

import click

from atmdepot.errors import AtmdepotError, EnvironmentLacks


@click.command("top", epilog="\b\nExamples:\n  atmdepot top\n  atmdepot top --network backbone\n")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
def top_command(network_name: str | None) -> None:
    """Show a running network on the whole terminal.

    You see nodes, links, servers, VCs, sessions, drops and events. Enter opens what the cursor is on, down to the
    octets of a cell; / filters, s sorts, space freezes, q ends.
    """
    try:
        from atmdepot.view.top import Top
    except ImportError as error:
        raise EnvironmentLacks(f"the full-screen view needs {error.name}: pip install 'atmdepot[top]'") from None
    from atmdepot.view.background import Background

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise AtmdepotError("this takes a terminal; `atmdepot show` and `atmdepot events` print into pipes")
    with Background(network_name) as source:
        Top(source).run()
