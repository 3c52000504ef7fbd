"""A state machine of an edge node with three depots, against the rule that it follows, told plainly."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from atmdepot.wire.announcement import Announcement, Claim
from tests.effort import examples
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_sets

MS = 1_000_000
SILENCE = 300 * MS
SETS = {"main": ["depot1", "depot2", "depot3"], "other": ["depot4"]}
DEPOTS = [depot for nodes in SETS.values() for depot in nodes]
OF = {depot: of for of, nodes in SETS.items() for depot in nodes}
PORTS = st.integers(5000, 5003)
VPS = ['session_vcis = "64-65535"', ""]


class EdgeOfSeveralDepots(RuleBasedStateMachine):
    """Packets, announcements and silences in any order."""

    @initialize(vp=st.sampled_from(VPS))
    def begin(self, vp: str) -> None:
        self.net = InMemoryNetwork(make_sets(SETS, servers=1, vp=vp))
        self.edge = self.net.edges["web1"]
        self.silent_at: dict[str, int] = {}
        self.term: dict[str, int] = {}
        self.highest: dict[str, int] = {}
        self.flows: dict[int, str] = {}
        """The depot from which each flow's last packet came."""
        self.stays: set[int] = set()
        """Flows that a depot has opened while another of its set was followed; until it announces itself."""
        self.chosen = {of: nodes[0] for of, nodes in SETS.items()}

    def announces(self, depot: str) -> bool:
        return self.silent_at.get(depot, 0) > self.net.now

    def best(self, of: str) -> str:
        """The depot to follow: the highest term among those that announce themselves; of equals that of before."""
        heard = [depot for depot in SETS[of] if self.announces(depot)]
        if heard:
            most = max(self.term[depot] for depot in heard)
            if not (self.chosen[of] in heard and self.term[self.chosen[of]] == most):
                self.chosen[of] = next(depot for depot in heard if self.term[depot] == most)
        return self.chosen[of]

    def expected(self, port: int) -> str:
        """The depot that is to get the answer to a client's port."""
        depot = self.flows.get(port)
        if depot is None:
            for of in SETS:
                if self.announces(self.best(of)):
                    return self.best(of)
            return self.best("main")
        best = self.best(OF[depot])
        if self.announces(depot):
            self.stays.discard(port)
        return depot if self.announces(depot) or not self.announces(best) or port in self.stays else best

    @rule(depot=st.sampled_from(DEPOTS), port=PORTS)
    def client_speaks(self, depot: str, port: int) -> None:
        out = self.net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN), depot)
        assert out.keys() == {"web1"}, "all that comes from any depot goes to the server"
        if self.flows.get(port) != depot:
            self.stays.discard(port)
            if not self.announces(depot) and self.announces(self.best(OF[depot])):
                self.stays.add(port)
        self.flows[port] = depot

    @rule(port=st.integers(5000, 5005))
    def server_speaks(self, port: int) -> None:
        expected = self.expected(port)
        self.net.seen.clear()
        self.net.from_server("web1", tcp(VIP4, 80, CLIENT4, port, SYN | ACK))
        assert [to for by, to, _ in self.net.seen if by == "web1"] == [expected]

    @rule(depot=st.sampled_from(DEPOTS), term=st.integers(1, 4), lost=st.booleans(),
          claim=st.sampled_from([Claim.ACTIVE, Claim.ACTIVE, Claim.ACTIVE | Claim.HANDING_OVER, Claim.NOTHING]))
    def depot_announces(self, depot: str, term: int, lost: bool, claim: Claim) -> None:
        if lost:
            self.net.faults[depot] = lambda _cells: b""
        vp = self.net.depots[depot].bearer.vps[f"{depot}-web1"]
        vp.management.send(Announcement(OF[depot], depot, term, 100, claim).pack(), 0)
        self.net.settle()
        self.net.faults.clear()
        if lost:
            return
        for of in SETS:
            self.best(of)  # it may have changed by the silence of others before
        if claim & Claim.ACTIVE:
            self.term[depot] = term
            self.silent_at[depot] = self.net.now + SILENCE
            self.highest[OF[depot]] = max(term, self.highest.get(OF[depot], 0))
        else:
            self.silent_at[depot] = min(self.net.now, self.silent_at.get(depot, 0))

    @rule(span=st.sampled_from([1, 99 * MS, 150 * MS, SILENCE - 1, SILENCE, SECOND]))
    def time_passes(self, span: int) -> None:
        self.net.now += span  # without the depots' own timers: they would announce themselves
        self.edge.handle_timer(self.net.now)

    @invariant()
    def follows_one_depot_of_a_set(self) -> None:
        if not hasattr(self, "net"):
            return
        for of, nodes in SETS.items():
            heard = [heard for heard in self.edge.heard_depots(self.net.now) if heard.of == of]
            followed = [one.depot for one in heard if one.is_followed]
            assert len(followed) <= 1
            best = self.best(of)
            assert followed == ([best] if self.announces(best) else [])
            assert [one.announces for one in heard] == [self.announces(depot) for depot in nodes]
            assert self.edge.followings[of].term == self.highest.get(of, 0)


EdgeOfSeveralDepots.TestCase.settings = examples(60, stateful_step_count=25, deadline=None)
TestEdgeOfSeveralDepots = EdgeOfSeveralDepots.TestCase
