"""The Compose file of a VC table: a container for each node, as those of `testbed/`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.errors import AtmdepotError
from atmdepot.lab.lans import CLIENT
from atmdepot.scenario.changing import changed

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.config.model import Network

FOLDER, TABLE = "/scenario", "table.toml"
"""The path of the table in the containers."""

_METRICS = "0.0.0.0:9464"


def compose_file(network: Network, folder: Path, common: Path) -> dict[str, Any]:
    """The services of a table in `folder`; `common` has what all containers share.

    Raises:
        AtmdepotError: it has nodes for which there is no container.

    """
    if alone := [name for name, server in network.servers.items() if server.stands_alone]:
        raise AtmdepotError(f"{alone[0]} stands on Ethernet, and containers have links only: play it in the lab")
    if others := [name for name, node in network.nodes.items() if node.kind == "external"]:
        raise AtmdepotError(f"{others[0]} is an external node: play it in the lab")
    return {"services": {name: _service(name, folder, common) for name in (CLIENT, *network.nodes)}}


def _service(name: str, folder: Path, common: Path) -> dict[str, Any]:
    return {"extends": {"file": str(common), "service": CLIENT if name == CLIENT else "node"},
            "command": ["container", f"{FOLDER}/{TABLE}", "--node", name, "--wire"],
            "volumes": [f"{folder}:{FOLDER}:ro"],
            # Docker's networks have no IPv6 as a rule, but VC tables have.
            "sysctls": {"net.ipv6.conf.all.disable_ipv6": 0, "net.ipv6.conf.default.disable_ipv6": 0,
                        "net.ipv6.conf.all.forwarding": 1}}


def table_text(text: str, network: Network) -> str:
    """The table with the page of each node's condition where the containers' health check asks for it."""
    return changed(text, {"nodes": {name: {"metrics": _METRICS} for name in network.nodes}})
