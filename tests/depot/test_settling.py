"""A set of two depots, its engine and its edge nodes in virtual time: whatever fails, it settles when all is whole.

The engine is VRRP as keepalived does it: the depot with the higher priority has the address, where both hear each
other; one that hears no advert for three periods takes it; one that is unfit gives it away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.config.pools import DepotSet
from atmdepot.depot.role import Role
from atmdepot.depot.roles import UNFIT, Roles
from tests.effort import examples

MS = 1_000_000
S = 1000 * MS
TICK = 50 * MS
NAMES, EDGES = ("depot1", "depot2"), ("web1", "web2")
WIRES = [*(f"{name}.client" for name in NAMES), "sync", *(f"{name}.{edge}" for name in NAMES for edge in EDGES)]
SILENCE, MASTER_DOWN = 300 * MS, 350 * MS
FALLS, RISES = 2500 * MS, 2 * S
"""The time until a depot notes that it reaches no server, and until it notes that it does again."""


@dataclass
class Node:
    """A depot with its engine."""

    roles: Roles
    is_master: bool = False
    advert_at: int = 0
    reached_at: int = 0  # the first tick of the present time in which it reaches a server, or reaches none
    reaches: bool = True
    joins_since: int | None = None
    asked_at: int = -S  # the last packet of a client
    hung_at: int | None = None


@dataclass
class Set:
    """The set, its wires, and what each edge node has heard."""

    now: int = 0
    cut: set[str] = field(default_factory=set)
    nodes: dict[str, Node] = field(default_factory=dict)
    heard: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)  # by edge and depot: term, and when
    told: dict[str, str] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EDGES, 0))
    arp: str = ""  # the depot whose address the clients know

    def __post_init__(self) -> None:
        settings = DepotSet(nodes=list(NAMES))
        self.nodes = {name: self._node(settings, name) for name in NAMES}

    def _node(self, settings: DepotSet, name: str) -> Node:
        node = Node(Roles(settings, name, self.now), advert_at=self.now, reached_at=self.now)
        node.roles.client_seen = lambda: node.asked_at
        return node

    def restart(self, name: str) -> None:
        """Kill a depot and start it again: the other one learns it by its link."""
        self.nodes[name] = self._node(self.nodes[name].roles.settings, name)
        if "sync" not in self.cut:
            self.nodes[other_of(name)].roles.peer_lost(name, self.now)

    def tick(self) -> None:
        """Let a tick of time pass."""
        self.now += TICK
        if self.arp and self.nodes[self.arp].is_master and f"{self.arp}.client" not in self.cut:
            self.nodes[self.arp].asked_at = self.now
        running = {name: node for name, node in self.nodes.items() if node.hung_at is None}
        for name, node in running.items():
            self._probe(name, node)
            self._talk(name, node)
        for edge in EDGES:
            self._edge(edge, running)
        for name, node in running.items():
            node.roles.handle_timer(self.now)
            self._engine(name, node)

    def _probe(self, name: str, node: Node) -> None:
        reaches = any(f"{name}.{edge}" not in self.cut for edge in EDGES)
        if reaches is not node.reaches:
            node.reaches, node.reached_at = reaches, self.now
        if reaches and self.now - node.reached_at >= RISES * bool(node.roles.trouble):
            node.roles.fit(self.now)
        elif not reaches and self.now - node.reached_at >= FALLS:
            node.roles.unfit(self.now, "no server is alive")

    def _talk(self, name: str, node: Node) -> None:
        peer, roles = self.nodes[other_of(name)], node.roles
        if "sync" in self.cut:
            return
        if peer.hung_at is None:
            peer.roles.peer_heard(name, roles.role, roles.term, 0, self.now, not roles.trouble,
                                   roles.hears_clients(self.now))
        if roles.role is Role.JOINING and peer.roles.is_active:
            node.joins_since = self.now if node.joins_since is None else node.joins_since
            if self.now - node.joins_since >= 200 * MS:
                roles.synced(self.now)
        else:
            node.joins_since = None

    def _edge(self, edge: str, running: dict[str, Node]) -> None:
        reached = [name for name in running if f"{name}.{edge}" not in self.cut]
        for name in reached:
            roles = running[name].roles
            if roles.is_active:
                self.heard[edge, name] = roles.term, self.now
                self.highest[edge] = max(self.highest[edge], roles.term)
            else:
                self.heard.pop((edge, name), None)
        follows = self.follows(edge)
        if follows != self.told.get(edge) or self.now % S == 0:
            self.told[edge] = follows
            for name in reached:
                running[name].roles.edge_heard(follows, self.highest[edge], self.now, edge)

    def follows(self, edge: str) -> str:
        """The depot that an edge node follows."""
        announcing = [(term, name) for (by, name), (term, at) in self.heard.items()
                      if by == edge and self.now - at < SILENCE]
        return max(announcing, default=(0, ""))[1]

    def _engine(self, name: str, node: Node) -> None:
        peer = self.nodes[other_of(name)]
        fitness = node.roles.fitness(self.now)
        hears = not {f"{each}.client" for each in NAMES} & self.cut
        peers = peer.roles.fitness(self.now) if peer.hung_at is None else UNFIT
        beaten = peer.is_master and hears and (peers, name) > (fitness, other_of(name))
        if fitness <= UNFIT or (node.is_master and beaten):
            if node.is_master:
                node.is_master = False
                node.roles.revoked(self.now)
            node.advert_at = self.now
        elif not node.is_master:
            if beaten:
                node.advert_at = self.now
            if self.now - node.advert_at >= MASTER_DOWN:
                node.is_master = True
                if f"{name}.client" not in self.cut:
                    self.arp = name
                node.roles.granted(self.now)

    def settled(self) -> bool:
        """True when one depot is active, has the address and the edge nodes, and the other stands by, both fit."""
        active = [name for name, node in self.nodes.items() if node.roles.role is Role.ACTIVE]
        return (len(active) == 1 and self.nodes[active[0]].is_master
                and sorted(node.roles.role for node in self.nodes.values()) == ["active", "standby"]
                and not any(node.roles.trouble for node in self.nodes.values())
                and {self.follows(edge) for edge in EDGES} == set(active))


def other_of(name: str) -> str:
    """The other depot."""
    return NAMES[name == NAMES[0]]


steps = st.one_of(
    st.tuples(st.sampled_from(["cut", "restore"]), st.sampled_from(WIRES)),
    st.tuples(st.sampled_from(["hang", "wake", "restart", "takeover", "release", "cut edges", "restore edges"]),
              st.sampled_from(NAMES)),
    st.tuples(st.just("wait"), st.sampled_from([1, 3, 7, 20, 60, 110])))


@examples(150)
@given(st.lists(steps, max_size=12))
@example([("cut edges", "depot1"), ("wait", 100), ("restore edges", "depot1")])
@example([("cut edges", "depot1"), ("cut edges", "depot2"), ("wait", 100)])
def test_whatever_has_failed_the_set_settles_when_all_is_whole(done: list[tuple[str, str | int]]) -> None:
    depots = Set()
    run(depots, 40)
    assert depots.settled()
    for step, of in done:
        act(depots, step, of)
    depots.cut.clear()
    for name in NAMES:
        wake(depots, name)
    run(depots, round(9 * S / TICK))
    assert depots.settled()


def test_standby_that_loses_its_wire_to_the_clients_leaves_the_address_to_the_active() -> None:
    depots = Set()
    run(depots, 40)
    (active,) = (name for name in NAMES if depots.nodes[name].roles.is_active)
    depots.cut.add(f"{other_of(active)}.client")
    for _ in range(100):
        depots.tick()
        assert depots.nodes[active].roles.is_active
        assert not depots.nodes[other_of(active)].roles.is_active
    assert depots.nodes[other_of(active)].is_master, "so keepalived says there"
    depots.restart(active)
    run(depots, 2)
    assert depots.nodes[other_of(active)].roles.is_active, "nobody else can"


def test_standby_that_is_cut_off_from_depot_and_clients_keeps_the_edge_nodes_for_seconds_at_most() -> None:
    depots = Set()
    run(depots, 40)
    (active,) = (name for name in NAMES if depots.nodes[name].roles.is_active)
    depots.cut |= {"sync", f"{other_of(active)}.client"}
    run(depots, round(4 * S / TICK))
    assert depots.nodes[other_of(active)].is_master, "so keepalived says there"
    for _ in range(200):
        depots.tick()
        assert depots.nodes[active].roles.is_active
        assert not depots.nodes[other_of(active)].roles.is_active
        assert {depots.follows(edge) for edge in EDGES} == {active}


def test_active_that_loses_its_wire_to_the_clients_is_passed() -> None:
    depots = Set()
    run(depots, 40)
    (active,) = (name for name in NAMES if depots.nodes[name].roles.is_active)
    depots.cut.add(f"{active}.client")
    run(depots, round((MASTER_DOWN + 150 * MS) / TICK))
    for _ in range(100):
        assert depots.nodes[other_of(active)].roles.is_active
        assert not depots.nodes[active].roles.is_active
        depots.tick()


def run(depots: Set, ticks: int) -> None:
    """Let some ticks pass."""
    for _ in range(ticks):
        depots.tick()


def act(depots: Set, step: str, of: str | int) -> None:
    """Do a step of a test."""
    if isinstance(of, int):
        run(depots, of)
        return
    if step in ("cut", "restore"):
        (depots.cut.add if step == "cut" else depots.cut.discard)(of)
    elif step in ("cut edges", "restore edges"):
        wires = {f"{of}.{edge}" for edge in EDGES}
        depots.cut = depots.cut | wires if step == "cut edges" else depots.cut - wires
    elif step == "hang":
        hang(depots, of)
    elif step == "wake":
        wake(depots, of)
    elif step == "restart":
        depots.restart(of)
    elif step == "release" and depots.nodes[of].roles.role is Role.ACTIVE and depots.nodes[of].hung_at is None:
        depots.nodes[of].roles.release(depots.now, force=True)
    elif step == "takeover" and not depots.nodes[of].roles.is_active and depots.nodes[of].hung_at is None:
        depots.nodes[of].roles.takeover(depots.now, force=True)


def hang(depots: Set, name: str) -> None:
    """Stop a depot; its guard takes the address away."""
    node = depots.nodes[name]
    node.hung_at = depots.now if node.hung_at is None else node.hung_at
    node.is_master = False


def wake(depots: Set, name: str) -> None:
    """Let a depot run again, which counts the time as nobody's silence; its engine has told it of the loss."""
    node = depots.nodes[name]
    if node.hung_at is not None:
        node.roles.stood_still(depots.now - node.hung_at, depots.now)
        node.hung_at, node.advert_at = None, depots.now
        node.roles.revoked(depots.now)
