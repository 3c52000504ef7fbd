"""The management agent of an edge node."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from msgspec import UNSET

from atmdepot.edge.node import EdgeNode, Flow
from atmdepot.net.agents import proxy_counters
from atmdepot.net.agents.agent import Agent, Command, Family, Sample, circuit_text
from atmdepot.net.agents.rows import CounterRow
from atmdepot.net.agents.set_rows import DepotRow
from atmdepot.net.protection import ProtectionRequest
from atmdepot.node.names import flow_ends
from atmdepot.wire.statistics import ServerState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.oam import NodeOam
    from atmdepot.bearer.protected import ProtectedVp
    from atmdepot.net.agents.agent import Clock, View

_NS = 1_000_000_000


class EdgeAgent(Agent):
    """The agent of an edge node."""

    node: EdgeNode
    families: ClassVar[Mapping[str, Family]] = {
        "edge_follows": Family(False, "1 for the depot to which the edge node sends answers, 0 for the others.",
                               ("set", "depot")), **proxy_counters.FAMILIES}
    metric_of_counter = proxy_counters.METRIC_OF_COUNTER
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

    def counters(self) -> Iterator[CounterRow]:
        """Counters of a caching proxy's answers, and of announcements, once a depot has announced itself."""
        node = self.node
        yield from proxy_counters.rows_of(node.name, "proxy", node.proxy)
        for name, following in node.followings.items():
            if following.term:
                yield CounterRow(node.name, name, "moves", following.moves, "times",
                                 "another depot of the set is followed")
                for way in following.ways:
                    yield CounterRow(node.name, way.name, "old-terms", way.old_terms, "announcements",
                                     f"of {way.depot}, with a term below the highest")
                    yield CounterRow(node.name, way.name, "same-terms", way.conflicts, "announcements",
                                     f"of {way.depot}, with the term of another depot that is active")

    def depots(self, limit: int, clock: Clock) -> Iterator[DepotRow]:
        """The sets of depots, each with the depot that is followed and the time since its last announcement."""
        now = clock()
        for name, following in islice(self.node.followings.items(), limit):
            if following.term:
                way = following.chosen(now)
                yield DepotRow(
                    node=self.node.name, set=name, role="edge", term=following.term,
                    since=UNSET if way.heard_at is None else round((now - way.heard_at) / _NS, 3),
                    follows=following.followed(now))

    def samples(self, clock: Clock) -> Iterator[Sample]:
        """The depots that are followed, of sets with several."""
        now = clock()
        for name, following in self.node.followings.items():
            followed = following.followed(now)
            for way in following.ways if len(following.ways) > 1 else ():
                yield Sample("edge_follows", way.depot == followed, (name, way.depot))

    views: ClassVar[Mapping[str, View]] = {"depots": depots}
