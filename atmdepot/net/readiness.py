"""Readiness of a node, for `/readyz` and so for the testbed's health checks.

The answer costs no probe: a depot's probes go through the ATM path to the servers all the time, and an edge node
connects to its server before each report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.net.kinds import agent_of

if TYPE_CHECKING:
    from atmdepot.net.pump import Pump


ROLES = ("active",)
"""The roles for which `/readyz?role=` asks."""


def not_in_role(pump: Pump, role: str) -> str:
    """The reason that the node is not ready in a role of `ROLES`; empty when it is.

    A router that leads clients to the active depot of a set asks so. A node without a set of depots has no such role.
    """
    own = agent_of(pump.node).role()
    if own in ("alone", "active", "handing-over"):
        return not_ready(pump)
    return f"{pump.node.name} is {own}, not {role}" if own else f"{pump.node.name} is no depot and never {role}"


def not_ready(pump: Pump) -> str:
    """The reason that the node is not ready; empty when it is.

    A depot is ready when a request gets through: a server is on the alive-list and, if probing is on, has answered the
    last probe. An edge node is ready when its server accepts connections. No node is ready while a part of the daemon's
    set-up is missing on its host.
    """
    if pump.host is not None and pump.host.problem:
        return f"this host is not set up: {pump.host.problem}"
    return agent_of(pump.node).not_ready()
