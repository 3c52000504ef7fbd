"""Sets of depots and their edge nodes, on ATM and on Frame Relay, warm and hot, under damaged and forged octets.

No node may raise, hold more than its bounds, or forget to work on; and at the end the stream still makes both alike.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.depot.forwarding import Depot
from atmdepot.wire.announcement import MOST_TERM, Announcement, Claim, Flows, Recall, ToldFlow
from atmdepot.wire.frame_relay import train_of
from atmdepot.wire.statistics import ServerState, Statistics
from tests.effort import examples
from tests.fuzz import damaged, seeds
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_sets

if TYPE_CHECKING:
    from atmdepot.config.model import Network

MS = 1_000_000
HOT = 'standby = "hot"\nwatch = { depot1 = "copy0", depot2 = "copy0" }'
SMALL = '[sessions]\nmax_sessions = 200\nmax_half_open = 50\nidle = "20s"\ntwo_msl = "1s"'
NETWORKS: dict[tuple[str, bool], Network] = {
    (bearer, hot): make_sets({"main": ["depot1", "depot2"]}, bearer=bearer, of_set=HOT if hot else "", tables=SMALL)
    for bearer in ("atm", "frame-relay") for hot in (False, True)}
SEEDS = seeds()
ALIVE = Statistics(ServerState.ACCEPTS, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0).pack()


class Hostile:
    """A network, and somebody who sends what it likes on each of its links."""

    def __init__(self, network: Network, random: Random) -> None:
        self.net, self._random = InMemoryNetwork(network), random
        self.net.depots["depot1"].roles.granted(self.net.now)

    def step(self) -> None:
        random, net = self._random, self.net
        what = random.randrange(10)
        node = random.choice([*net.depots.values(), *net.edges.values()])
        if what < 4:
            octets = damaged(random, random.choice(SEEDS)) if random.random() < 0.5 else random.choice(SEEDS)
            node.packet_from_tun(octets, net.now)
            if isinstance(node, Depot) and random.random() < 0.3:
                node.watch([octets, damaged(random, octets)], net.now)
        elif what < 7:
            link = random.choice(list(node.links))
            node.octets_from_port(link, self._octets(node, link), net.now)
        elif what < 8:
            depot = random.choice(list(net.depots.values()))
            random.choice((depot.roles.granted, depot.roles.revoked))(net.now)
        elif what < 9:
            self._say(random.choice(list(net.depots.values())))
        net.now += random.choice((0, MS, 200 * MS, SECOND, 3 * SECOND))
        for each in (*net.depots.values(), *net.edges.values()):
            if (due := each.next_timer()) is not None and due <= net.now:
                each.handle_timer(net.now)
        net.settle()
        del net.seen[:-200]

    def _octets(self, node: Any, link: str) -> bytes:
        """Octets as they cross a link: real ones, damaged; cells stay whole cells, as their link sees to it."""
        random = self._random
        real = [octets for _, to, octets in self.net.seen if to == node.name] or [bytes(53)]
        octets = damaged(random, random.choice(real))
        if node.links[link].medium != "cells":
            return train_of([octets or bytes(3)])  # as the link does with what comes
        return (octets + bytes(53))[:max(1, len(octets) // 53) * 53]

    def _say(self, depot: Depot) -> None:
        """Have a word come to an edge node, or to a depot, on their management channels."""
        random = self._random
        node = random.choice(["web1", "web2"])
        word: Any = random.choice([
            Announcement("main", random.choice(["depot1", "depot2"]), random.choice([1, 2, 2**62, MOST_TERM]),
                         random.choice([1, 100, 60_000]), Claim(random.randrange(4))),
            Recall(random.getrandbits(32), random.choice([0, 1, 2**32 - 1])),
            Flows(random.getrandbits(32), random.getrandbits(16), random.random() < 0.5,
                  [ToldFlow(random.randbytes(13), random.getrandbits(16), 0)]),
            Statistics(ServerState.ACCEPTS, 1, random.getrandbits(32), 0, 0, 0, 0, 0, 0, 0, 0,
                       term=random.choice([0, 3, 2**62, 2**64 - 1]), follows=random.choice(["", "depot1", "depot2"]))])
        path: Any = depot.bearer.management(node)
        if random.random() < 0.5:
            path.send(word.pack(), 0)
        else:
            way = next(way for way in self.net.edges[node].ways if way.depot == depot.name)
            way.tell(word.pack())


@pytest.mark.parametrize(("bearer", "hot"), NETWORKS)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 60))
@examples(30)
def test_no_node_of_a_set_ends_by_what_comes(bearer: str, hot: bool, seed: int, steps: int) -> None:
    hostile = Hostile(NETWORKS[bearer, hot], Random(seed))
    for _ in range(steps):
        hostile.step()
    net = hostile.net
    for depot in net.depots.values():
        assert depot.sessions.index.count <= 200 + len(net.edges)
    for edge in net.edges.values():
        assert len(edge.flows) <= 200
    # And all work on: what is idle goes, with its channels, and a new session comes through.
    net.advance(60 * SECOND)
    for depot in net.depots.values():
        depot.roles.revoked(net.now)
    net.depots["depot1"].roles.granted(net.now)
    for _ in range(5):  # a server of which somebody told is missed when nobody tells any more
        for edge in net.edges.values():
            for way in edge.ways:
                way.tell(ALIVE)
        net.advance(SECOND)
    (edge,) = net.to_service(tcp(CLIENT4, 60_001, VIP4, 80, SYN, seq=100), "depot1")
    answer = tcp(VIP4, 80, CLIENT4, 60_001, SYN | ACK, seq=500, ack=101)
    assert net.from_server(edge, answer)["depot1"] == [answer]
