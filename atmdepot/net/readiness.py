"""Whether a node does what it is there for; what `/readyz` and so the testbed's health checks ask.

Nothing is asked for the question's sake: a depot's probes go through the ATM path to the servers all the time, and an
edge node connects to its server before each report.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from atmdepot.depot.probing import Outcome
from atmdepot.edge.node import EdgeNode
from atmdepot.net import views
from atmdepot.wire.statistics import ServerState

if TYPE_CHECKING:
    from atmdepot.net.pump import Pump


def not_ready(pump: Pump) -> str:
    """Why the node is not ready; empty when it is.

    A depot is ready when a request gets through: a server is on the alive-list and, where probing is on, has answered
    the last probe. An edge node is ready when its server accepts connections. Neither is while something is missing of
    what the daemon has set up on its host.
    """
    if pump.host is not None and pump.host.problem:
        return f"this host is not set up: {pump.host.problem}"
    if isinstance(pump.node, EdgeNode):
        return _edge(pump.node)
    servers = views.servers(pump, sys.maxsize)
    probed = pump.node.network.probing.probe != "none"
    alive = [row for row in servers if row["list"] == "alive"]
    if not alive:
        return "no server is alive: " + "; ".join(f"{row['server']}: {row['why']}" for row in servers)
    if probed and all(row["last_probe"] != Outcome.ANSWERED for row in alive):
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
