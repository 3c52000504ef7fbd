"""The management agent of an edge node."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from atmdepot.edge.node import EdgeNode, Flow
from atmdepot.net.agents.agent import Agent, Command, circuit_text
from atmdepot.net.protection import ProtectionRequest
from atmdepot.node.names import flow_ends
from atmdepot.wire.statistics import ServerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.oam import NodeOam
    from atmdepot.bearer.protected import ProtectedVp


class EdgeAgent(Agent):
    """The agent of an edge node."""

    node: EdgeNode
    commands: ClassVar[Mapping[str, Command]] = {"protection": Command(ProtectionRequest, Agent.move)}

    def not_ready(self) -> str:
        """The reason that the node is not ready: its server does not accept connections."""
        if not self.node.network.probing.statistics:
            return ""  # it does not look at its server, and carries cells as long as it runs
        state = self.node.server_state
        if state is None:
            return "the server has not been tried yet"
        if state in (ServerState.REFUSES, ServerState.SILENT):
            return f"the server {'refuses connections' if state is ServerState.REFUSES else 'does not answer'}"
        return ""

    def tries_not_made(self) -> int:
        """Count of connections to the server that this host could not make."""
        return self.node.tries_not_made

    def oam(self) -> NodeOam | None:
        """The OAM of the edge node's VPs."""
        return self.node.oam

    def protected(self) -> Mapping[str, ProtectedVp]:
        """The edge node's protected VPs."""
        return self.node.protected

    def carries(self, vc: Vc) -> str:
        """The client's end of the flow that a VC carries, or its circuit; `many` when it is for many flows."""
        return flow_ends(vc.owner.key)[0] if isinstance(vc.owner, Flow) else circuit_text(vc) or "many"
