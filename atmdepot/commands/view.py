"""`atmdepot view`: a page in the browser that shows a running network."""

from __future__ import annotations

from typing import Any

import click

from atmdepot.errors import EnvironmentLacks


class _Address(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.3
    """A TCP address, as a VC table has it."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it; anything else is a usage error."""
        from atmdepot.config.units import TcpAddress

        class PageAddress(TcpAddress):
            any_port = True

        try:
            return PageAddress.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("view", epilog="""\b
Examples:
  atmdepot view
  atmdepot view --control
  atmdepot view --network backbone --listen '127.0.0.1:*' --open
""")
@click.option("--network", "network_name", metavar="NAME",
              help="The running network; needed only while several run.")
@click.option("--listen", type=_Address(), default="127.0.0.1:8410", show_default=True,
              help="Where the page is served; * as the port is any free one.")
@click.option("--host", "names", multiple=True, metavar="NAME",
              help="A further name by which browsers may call the page. Can be repeated.")
@click.option("--control", is_flag=True, help="Let the page change the network: impair and cut links, drain servers.")
@click.option("--open", "opening", is_flag=True, help="Open the page in the browser of this machine.")
def view_command(network_name: str | None, listen: Any, names: tuple[str, ...], control: bool, opening: bool) -> None:
    """Show a running network in the browser.

    You see cells that move, sessions, servers, and the octets of each cell. Open the address that is printed. It has a
    token: whoever has the address may see the page, and with --control change the network.
    """
    try:
        from atmdepot.view.serve import is_loopback, serve_page
    except ImportError as error:
        raise EnvironmentLacks(f"the page needs {error.name}: pip install 'atmdepot[view]'") from None

    def ready(address: str) -> None:
        click.echo(address)
        if not is_loopback(listen.host):
            click.echo("atmdepot: other machines reach this page, and what it tells is not encrypted", err=True)
        if opening:
            click.launch(address)
        else:
            click.echo("atmdepot: open this address in a browser; Ctrl-C ends it", err=True)

    serve_page(network_name, listen, names=names, control=control, ready=ready)
