"""Announcements of a set's active depot: when they come, what they say, and what edge nodes say back."""

from __future__ import annotations

from atmdepot.depot.role import Role
from atmdepot.wire.announcement import Announcement, Claim, is_message, read
from atmdepot.wire.statistics import ServerState
from tests.network_in_memory import SECOND, InMemoryNetwork, make_network, make_sets

MS = 1_000_000
PAIR = {"main": ["depot1", "depot2"]}


def announced(net: InMemoryNetwork, edge: str = "web1") -> list[Announcement]:
    """The announcements that have gone to an edge node, each in a single cell; they are taken out of `seen`."""
    found = []
    for _, to, cells in net.seen:
        payload = cells[5:53]
        if to == edge and is_message(payload):
            told = read(payload[:int.from_bytes(payload[-6:-4], "big")])
            assert isinstance(told, Announcement)
            found.append(told)
    net.seen.clear()
    return found


def test_depot_that_the_table_has_in_no_set_announces_nothing() -> None:
    net = InMemoryNetwork(make_network())
    assert net.depot.announcing.next_timer() is None
    net.advance(10 * SECOND)
    assert net.seen == []


def test_active_announces_itself_to_each_edge_node_in_each_period() -> None:
    net = InMemoryNetwork(make_sets(PAIR, of_set='announce = "200ms"\nsilence = "600ms"'))
    net.advance(SECOND)
    assert announced(net) == []
    net.depots["depot1"].roles.granted(net.now)
    net.settle()
    told = Announcement("main", "depot1", 1, 200)
    assert announced(net, "web2") == [told]
    net.advance(SECOND)
    assert announced(net) == [told] * 5
    assert net.depots["depot1"].announcing.sent == 12


def test_depot_alone_in_its_set_announces_itself() -> None:
    net = InMemoryNetwork(make_network(tables='[depots.main]\nnodes = ["depot"]'))
    net.advance(150 * MS)
    assert announced(net) == [Announcement("main", "depot", 1, 100)] * 2


def test_change_of_role_or_term_is_announced_at_once() -> None:
    net = InMemoryNetwork(make_sets(PAIR))
    roles = net.depots["depot1"].roles
    roles.granted(net.now)
    net.settle()
    net.advance(10 * MS)
    announced(net)
    roles.edge_heard("depot1", 7, net.now)
    net.settle()
    assert announced(net) == [Announcement("main", "depot1", 8, 100)]
    assert roles.handover_asked(net.now, "depot2")
    net.settle()
    assert announced(net) == [Announcement("main", "depot1", 8, 100, Claim.ACTIVE | Claim.HANDING_OVER)]
    roles.revoked(net.now)
    net.settle()
    assert announced(net) == [Announcement("main", "depot1", 8, 100, Claim.NOTHING)]
    net.advance(SECOND)
    assert announced(net) == []


def test_edge_nodes_move_with_a_takeover_and_the_old_active_yields() -> None:
    net = InMemoryNetwork(make_sets(PAIR))
    first, second = (net.depots[name] for name in PAIR["main"])
    first.roles.granted(net.now)
    net.settle()
    net.edges["web1"].send_statistics(ServerState.ACCEPTS, 0.0, 1, 0, net.now)
    net.settle()
    assert second.announcing.follows == {"web1": ("depot1", 1, net.now)}
    second.roles.granted(net.now)
    net.settle()
    assert [heard.depot for heard in net.edges["web1"].heard_depots(net.now) if heard.is_followed] == ["depot2"]
    assert (second.roles.term, first.roles.role) == (2, Role.JOINING), "the edge node has said so at once"
    assert first.announcing.follows["web1"][:2] == ("depot2", 2)


def test_term_outlives_a_restart_of_the_whole_set() -> None:
    net = InMemoryNetwork(make_sets(PAIR))
    net.depots["depot1"].roles.granted(net.now, term=9)
    net.settle()
    for name in PAIR["main"]:
        net.restart_depot(name)
    net.depots["depot2"].roles.granted(net.now)
    net.settle()
    net.edges["web1"].send_statistics(ServerState.ACCEPTS, 0.0, 1, 0, net.now)
    net.settle()
    assert not net.depots["depot2"].roles.is_active, "depot1 still counts as heard at the edge node"
    net.advance(10 * SECOND)
    net.edges["web1"].send_statistics(ServerState.ACCEPTS, 0.0, 1, 0, net.now)
    net.settle()
    assert (net.depots["depot2"].roles.is_active, net.depots["depot2"].roles.term) == (True, 10)
