"""`atmdepot dynamips`: nodes of a VC table for Dynamips and Dynagen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atmdepot.commands.writing import FileToWrite, give
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("dynamips", epilog="""\b
Examples:
  atmdepot dynamips gns3-switch --node sw1 | nc localhost 7200
  atmdepot dynamips gns3 --image c7200.image
  atmdepot dynamips gns3 -w gns3.net
""")
@click.argument("table")
@click.option("--node", "nodes", multiple=True, metavar="NODE",
              help="Only this node; can be repeated.  [default: all but depots]")
@click.option("--format", "form", type=click.Choice(["hypervisor", "dynagen"]),
              help="The format of the output; by default that of the file's name (.net: dynagen), else hypervisor.")
@click.option("--image", default="c7200.image", show_default=True, metavar="FILE",
              help="The routers' IOS image, as Dynamips finds it.")
@click.option("-w", "--write", type=FileToWrite(allow_dash=True), metavar="FILE",
              help="Write to a file instead of standard output.")
def dynamips_command(table: str, nodes: tuple[str, ...], form: str | None, image: str, write: Path | None) -> None:
    """Print the commands that make nodes of TABLE in Dynamips.

    They are for the hypervisor of Dynamips, or a file for Dynagen. TABLE is a VC table. Switches become ATM switches,
    edge nodes and external nodes Cisco 7200 routers. Run the other nodes by atmdepot.
    """
    from atmdepot.config import dynamips
    from atmdepot.config.reading import load

    network = load(table)
    chosen = _chosen(dynamips.candidates(network), nodes)
    found = [f"{table}: {'.'.join(of.path)}: {of.message}" for of in dynamips.problems(network, chosen)]
    if found:
        raise AtmdepotError("\n".join(dict.fromkeys(found)))
    if (form or ("dynagen" if write is not None and write.suffix == ".net" else "hypervisor")) == "hypervisor":
        lines = dynamips.hypervisor(network, chosen, image)
    else:
        switches = [node for node in chosen if node in network.switches]
        if switches:
            raise AtmdepotError(f"{table}: nodes.{switches[0]}: Dynagen leads a port of an ATM switch to routers only: "
                                "choose routers by --node, or --format hypervisor")
        lines = dynamips.dynagen(network, chosen, image)
    give("\n".join(lines) + "\n", write)


def _chosen(candidates: list[str], nodes: tuple[str, ...]) -> list[str]:
    from atmdepot.config.problem import list_of

    for node in nodes:
        if "," in node:
            raise AtmdepotError(f"{node}: give each node an option of its own: "
                                f"{' '.join(f'--node {one.strip()}' for one in node.split(',') if one.strip())}")
        if node not in candidates:
            raise AtmdepotError(f"{node}: Dynamips can be no such node; {list_of('nodes', candidates)}")
    if not candidates:
        raise AtmdepotError("the VC table has no node that Dynamips can be: an edge node, external node or switch")
    return [node for node in candidates if not nodes or node in nodes]
