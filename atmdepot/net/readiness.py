"""Readiness of a node, for `/readyz` and so for the testbed's health checks.

The answer costs no probe: a depot's probes go through the ATM path to the servers all the time, and an edge node
connects to its server before each report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.forwarding import Depot
from atmdepot.depot.servers import Outcome
from atmdepot.edge.node import EdgeNode
from atmdepot.wire.statistics import ServerState

if TYPE_CHECKING:
    from atmdepot.net.pump import Pump


def not_ready(pump: Pump) -> str:
    """The reason that the node is not ready; empty when it is.

    A depot is ready when a request gets through: a server is on the alive-list and, if probing is on, has answered the
    last probe. An edge node is ready when its server accepts connections. Neither is ready while a part of the daemon's
    set-up is missing on its host.
    """
    if pump.host is not None and pump.host.problem:
        return f"this host is not set up: {pump.host.problem}"
    if isinstance(pump.node, EdgeNode):
        return _edge(pump.node)
    if isinstance(pump.node, Depot):
        return _depot(pump.node)
    return ""


def _depot(node: Depot) -> str:
    servers = node.management.servers.values()
    if not any(server.alive for server in servers):
        return "no server is alive: " + "; ".join(f"{server.name}: {server.condition.why}" for server in servers)
    probed = node.network.probing.probe != "none"
    if probed and not any(server.alive and server.condition.last_outcome == Outcome.ANSWERED for server in servers):
        return "no server has answered a probe yet"
    return ""


def _edge(node: EdgeNode) -> str:
    if not node.network.probing.statistics:
        return ""  # it does not look at its server, and carries cells as long as it runs
    if node.server_state is None:
        return "the server has not been tried yet"
    if node.server_state in (ServerState.REFUSES, ServerState.SILENT):
        return f"the server {'refuses connections' if node.server_state is ServerState.REFUSES else 'does not answer'}"
    return ""
