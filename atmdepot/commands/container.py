"""`atmdepot container`: run a node of a VC table in a container, as the lab runs its nodes in namespaces.

The addresses come from the lab's plan, the web servers are the lab's, and the client waits for the same pages as there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atmdepot import build
from atmdepot.config.reading import find, load
from atmdepot.errors import AtmdepotError
from atmdepot.lab import web as webs
from atmdepot.lab.lans import CLIENT
from atmdepot.lab.plan import plan_of
from atmdepot.lab.probe import wait_for_all
from atmdepot.lab.wiring import wire_here
from atmdepot.options import Seconds
from atmdepot.paths import CONTAINER_NOTE, run_dir

if TYPE_CHECKING:
    from atmdepot.config.model import Network

READY_FILE = "client.ready"
"""File that the client leaves beside the control sockets when a page has come; its health check looks for it."""

_STDOUT = Path("/dev/stdout")


@click.command("container", epilog="""\b
Examples:
  atmdepot container compose --node web1 --wire
  atmdepot container mine.toml --node depot
""")
@click.argument("table")
@click.option("--node", required=True, help=f"The node to be: one of the VC table, or {CLIENT}.")
@click.option("--wire", is_flag=True, help="Give the container's interface the addresses that the VC table has for "
                                           "the node; without it, the machine has them.")
@click.option("--web/--no-web", default=True, show_default=True, help="Run a web server on an edge node.")
@click.option("--timeout", type=Seconds(), default=120.0, show_default=True,
              metavar="SECONDS", help="The longest time that the client waits for the first page (then exit code 4).")
def container(table: str, node: str, wire: bool, web: bool, timeout: float) -> None:
    """Be a node of the VC table TABLE in a container.

    This sets its addresses, and runs its web server and its daemon. The client waits until a page has come through the
    depot, and then idles.
    """
    network = load(table)
    kinds = {name: settings.kind for name, settings in network.nodes.items() if settings.kind != "external"}
    lone = [server.node for server in webs.web_servers(network) if server.node not in network.nodes]
    known = [CLIENT, *kinds, *lone]
    if node not in known:
        raise AtmdepotError(f"{table}: \"{node}\" is no node to be: there are {', '.join(known)}")
    directory = run_dir() / network.name
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ready = directory / READY_FILE
    # The file of an earlier start would make the client healthy too early.
    ready.unlink(missing_ok=True)
    if node not in kinds:
        (directory / f"{node}{CONTAINER_NOTE}").write_text(network.depot, encoding="utf-8")
    if wire:
        wire_here(plan_of(network, web=web), node, [str(vip) for vip in network.vips])
    if node == CLIENT:
        wait_for_all(network, timeout)
        ready.touch()
        os.execvp("sleep", ["sleep", "infinity"])
    started = _start_web_servers(network, node, directory) if web else []
    if node in lone:
        sys.exit(started[0].wait() if started else 0)
    of_log = click.get_current_context().find_root().params
    os.execv(sys.executable, build.python("-m", "atmdepot", "--log-level", of_log["log_level"], "--log-format",
                                          of_log["log_format"], kinds[node], str(find(table)), "--node", node))


def _start_web_servers(network: Network, node: str, directory: Path) -> list[subprocess.Popen[bytes]]:
    """Run a node's web servers; they log to the container's output and end with the container."""
    nginx = webs.find_nginx()
    started = []
    for web in webs.web_servers(network):
        if web.node == node:
            command = webs.command_of(directory, network, web, nginx)
            log = directory / node / "access.log"
            if not web.is_proxy and not log.is_symlink():
                log.symlink_to(_STDOUT)
            started.append(subprocess.Popen(command))
    return started
