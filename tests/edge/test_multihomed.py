"""An edge node with VPs to several depots: which depot gets an answer, on which VC, and what moves with the active."""

from __future__ import annotations

import pytest

from atmdepot.config.reading import parse
from atmdepot.drops import DropReason
from atmdepot.edge.multihomed import MultihomedEdgeNode, edge_node
from atmdepot.edge.node import EdgeNode
from atmdepot.edge.protection import HeardDepot
from atmdepot.net.kinds import agent_of
from atmdepot.wire.announcement import Announcement, Claim, Recall
from atmdepot.wire.statistics import ServerState, Statistics
from tests.ip_packets import ACK, SYN, ip, tcp, udp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_network, make_sets

MS = 1_000_000
SYN_ACK = SYN | ACK
PAIR = {"main": ["depot1", "depot2"]}
HOT = 'standby = "hot"\nwatch = { depot1 = "copy0", depot2 = "copy0" }'


def announce(net: InMemoryNetwork, depot: str, term: int, claim: Claim = Claim.ACTIVE) -> None:
    """Have a depot announce itself to all edge nodes."""
    of = net.network.name_of_set_of(depot)
    for vp in net.depots[depot].bearer.vps.values():
        vp.management.send(Announcement(of, depot, term, 100, claim).pack(), 0)
    net.settle()


def answered(net: InMemoryNetwork, edge: str = "web1", port: int = 5000) -> list[tuple[str, int]]:
    """The depots that get the server's answer to a client's port, each with the VCI."""
    net.seen.clear()
    net.from_server(edge, tcp(VIP4, 80, CLIENT4, port, SYN_ACK))
    return [(to, int.from_bytes(cells[:4], "big") >> 4 & 0xFFFF) for by, to, cells in net.seen if by == edge]


def opened(net: InMemoryNetwork, depot: str, port: int = 5000) -> str:
    """Open a session through a depot; the edge node that got it."""
    return next(iter(net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN), depot)))


@pytest.fixture
def net() -> InMemoryNetwork:
    return InMemoryNetwork(make_sets(PAIR, servers=1))


def test_node_with_a_single_vp_to_a_depot_is_a_plain_one() -> None:
    assert type(edge_node(make_network(), "web1")) is EdgeNode
    assert type(edge_node(make_sets(PAIR), "web1")) is MultihomedEdgeNode


def test_answer_goes_to_the_depot_of_the_last_packet_while_none_announces_itself(net: InMemoryNetwork) -> None:
    opened(net, "depot2")
    assert [to for to, _ in answered(net)] == ["depot2"]
    opened(net, "depot1")
    assert [to for to, _ in answered(net)] == ["depot1"]
    assert answered(net, port=9) == [("depot1", 32)], "the first depot of the set for a flow that is not known"


def test_flow_stays_with_its_depot_as_long_as_that_announces_itself(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 1)
    opened(net, "depot1")
    announce(net, "depot2", 2)
    assert answered(net) == [("depot1", 64)]
    assert answered(net, port=9) == [("depot2", 32)], "others go to the highest term"


def test_answers_move_with_their_vci_when_their_depot_falls_silent(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 1)
    opened(net, "depot1")
    net.advance(200 * MS)
    announce(net, "depot2", 2)
    assert answered(net) == [("depot1", 64)]
    net.advance(150 * MS)
    assert answered(net) == [("depot2", 64)]
    announce(net, "depot1", 1)  # it was only held up
    assert answered(net) == [("depot1", 64)]


def test_depot_that_says_it_is_not_active_is_left_at_once(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 1)
    announce(net, "depot2", 2)
    opened(net, "depot1")
    announce(net, "depot1", 2, Claim.NOTHING)
    assert answered(net) == [("depot2", 64)]


def test_probe_of_a_depot_that_stands_by_is_answered_there(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 1)
    opened(net, "depot2")
    assert [to for to, _ in answered(net)] == ["depot2"]
    announce(net, "depot2", 2)  # a session after all: from now on it moves as others do
    announce(net, "depot1", 2, Claim.NOTHING)
    assert [to for to, _ in answered(net)] == ["depot2"]
    announce(net, "depot1", 3)
    announce(net, "depot2", 3, Claim.NOTHING)
    assert [to for to, _ in answered(net)] == ["depot1"]


def test_flow_stays_when_all_depots_are_silent(net: InMemoryNetwork) -> None:
    opened(net, "depot1")
    announce(net, "depot2", 3)
    assert answered(net) == [("depot2", 64)]
    net.advance(10 * SECOND)
    assert answered(net) == [("depot1", 64)]
    assert answered(net, port=9) == [("depot2", 32)], "the last one that was followed"


def test_of_two_depots_with_one_term_the_one_that_was_followed_stays(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 5)
    announce(net, "depot2", 5)
    assert answered(net, port=9) == [("depot1", 32)]
    edge = net.edges["web1"]
    assert [(heard.is_followed, heard.conflicts) for heard in edge.heard_depots(net.now)] == [(True, 0), (False, 1)]
    opened(net, "depot2")
    assert [to for to, _ in answered(net)] == ["depot2"], "its flows are answered there"
    net.advance(310 * MS)
    announce(net, "depot2", 5)
    assert answered(net, port=9) == [("depot2", 32)]
    announce(net, "depot1", 5)
    assert answered(net, port=9) == [("depot2", 32)]


def test_term_is_remembered_and_told_with_the_depot_that_is_followed(net: InMemoryNetwork) -> None:
    edge = net.edges["web1"]

    def report() -> Statistics:
        edge.send_statistics(ServerState.ACCEPTS, 0.0, 1, 0, net.now)
        net.settle()
        told = [net.depots[depot].management.servers["web1"].condition.last_report for depot in PAIR["main"]]
        assert told[0] == told[1]
        assert told[0] is not None
        return told[0]

    assert (report().term, report().follows) == (0, "")
    announce(net, "depot2", 9)
    announce(net, "depot1", 4)
    assert (report().term, report().follows) == (9, "depot2")
    assert [heard.old_terms for heard in edge.heard_depots(net.now)] == [1, 0]
    net.advance(SECOND)
    assert (report().term, report().follows) == (9, "")
    announce(net, "depot1", 1)
    assert (report().term, report().follows) == (9, "depot1")


def test_depots_hear_at_once_that_another_one_is_followed_or_none_any_more(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 1)
    for name, edge in net.edges.items():
        assert net.depots["depot2"].announcing.follows == {}, "before its first report an edge node has no news"
        edge.send_statistics(ServerState.ACCEPTS, 0.5, 2, 1000, net.now)
        net.settle()
        del net.depots["depot2"].announcing.follows[name]
    follows = net.depots["depot2"].announcing.follows
    silent_at = max(way.silent_at for edge in net.edges.values() for way in edge.ways)
    net.stopped.add("depot1")
    net.advance(silent_at - net.now - 1)
    assert follows == {}
    net.advance(1)
    assert {edge: depot for edge, (depot, _, _) in follows.items()} == {"web1": ""}
    net.stopped.clear()
    announce(net, "depot1", 2)
    assert {edge: (depot, term) for edge, (depot, term, _) in follows.items()} == {"web1": ("depot1", 2)}
    assert {server.condition.last_report.server for server in net.depots["depot2"].management.servers.values()} == {
        ServerState.UNKNOWN}


def test_what_is_heard_is_told_depot_by_depot(net: InMemoryNetwork) -> None:
    announce(net, "depot2", 9)
    heard_at, heard = net.now, net.edges["web1"].heard_depots(net.now)
    assert heard == [
        HeardDepot("main", "depot1", "depot1-web1", "depot1-web1", 0, Claim.NOTHING, None, False, False, 0, 0),
        HeardDepot("main", "depot2", "depot2-web1", "depot2-web1", 9, Claim.ACTIVE, heard_at, True, True, 0, 0)]


def test_stall_of_the_edge_node_is_no_silence_of_a_depot(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 1)
    opened(net, "depot1")
    announce(net, "depot2", 2)
    net.now += SECOND
    net.edges["web1"].stood_still(SECOND, net.now)
    assert answered(net) == [("depot1", 64)]


def test_flow_on_the_default_vc_is_answered_to_its_depot() -> None:
    net = InMemoryNetwork(make_sets(PAIR, servers=1, vp=""))
    opened(net, "depot2")
    assert answered(net) == [("depot2", 32)]
    assert net.to_service(udp(CLIENT4, 7, VIP4, 80), "depot2")
    net.seen.clear()
    net.from_server("web1", udp(VIP4, 80, CLIENT4, 7))
    assert [to for by, to, _ in net.seen if by == "web1"] == ["depot2"]


def test_sets_are_chosen_apart_from_each_other() -> None:
    net = InMemoryNetwork(make_sets({"main": ["depot1", "depot2"], "other": ["depot3", "depot4"]}, servers=1))
    for port, depot in enumerate(("depot1", "depot2", "depot3", "depot4"), 5000):
        opened(net, depot, port)
    announce(net, "depot2", 1)
    announce(net, "depot4", 9)
    assert [[to for to, _ in answered(net, port=port)] for port in range(5000, 5004)] == [
        ["depot2"], ["depot2"], ["depot4"], ["depot4"]]
    assert [to for to, _ in answered(net, port=9)] == ["depot2"]
    net.advance(SECOND)
    announce(net, "depot4", 9)
    assert [to for to, _ in answered(net, port=9)] == ["depot4"], "a set in which a depot is active"


def test_in_a_hot_set_each_answer_goes_to_all_of_its_depots() -> None:
    net = InMemoryNetwork(make_sets({"main": ["depot1", "depot2"], "other": ["depot3"]}, servers=1,
                                    of_set=HOT))
    announce(net, "depot1", 1)
    opened(net, "depot1")
    assert answered(net) == [("depot1", 64), ("depot2", 64)]
    assert answered(net, port=9) == [("depot1", 32), ("depot2", 32)]


def test_in_a_hot_set_the_probe_of_a_depot_that_stands_by_is_answered_there_alone() -> None:
    net = InMemoryNetwork(make_sets(PAIR, servers=1, of_set=HOT))
    announce(net, "depot1", 1)
    opened(net, "depot2")
    assert [to for to, _ in answered(net)] == ["depot2"]


def test_fragments_follow_their_first_to_all_depots_of_a_hot_set() -> None:
    net = InMemoryNetwork(make_sets(PAIR, servers=1, of_set=HOT))
    opened(net, "depot1")
    whole = tcp(VIP4, 80, CLIENT4, 5000, ACK)[20:] + bytes(1000)
    first, later = (ip(VIP4, CLIENT4, 6, whole[:200], identification=7, fragment=0x2000),
                    ip(VIP4, CLIENT4, 6, whole[200:], identification=7, fragment=200 // 8))
    for order in ((first, later), (later, first)):
        net.seen.clear()
        for octets in order:
            net.from_server("web1", octets)
        assert sorted({(to, int.from_bytes(cells[:4], "big") >> 4 & 0xFFFF) for by, to, cells in net.seen
                       if by == "web1"}) == [("depot1", 64), ("depot2", 64)]
        net.advance(40 * SECOND)


def test_vcs_at_the_other_depot_close_when_nothing_comes_there(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 1)
    opened(net, "depot1")
    net.advance(SECOND)
    announce(net, "depot2", 2)
    answered(net)
    edge = net.edges["web1"]
    counts = [len(way.table) for way in edge.ways]
    assert counts == [3, 3]
    net.advance(40 * 60 * SECOND)
    assert [len(way.table) for way in edge.ways] == [2, 2]
    assert edge.flows == {}


def test_two_vps_on_one_link_are_kept_apart() -> None:
    text = []
    for depot, vpi in (("depot1", 1), ("depot2", 2)):
        text += [f'[nodes.{depot}]\nkind = "depot"', f"[vps.{depot}]", f'ends = ["{depot}", "web1"]', f"vpi = {vpi}",
                 'session_vcis = "64-65535"', f"[links.{depot}]",
                 f'ends = {{ {depot} = "127.0.0.1:{6000 + vpi}", sw = "127.0.0.1:{7000 + vpi}" }}']
    table = parse("\n".join([
        'name = "joined"', *text, '[nodes.sw]\nkind = "switch"', '[nodes.web1]\nkind = "edge"', "[links.web1]",
        'ends = { sw = "127.0.0.1:7010", web1 = "127.0.0.1:7011" }', '[servers.web1]\nnode = "web1"',
        f'[services.web]\nvip = ["{VIP4}"]\nports = [80]\nservers = ["web1"]', "[depots.main]",
        'nodes = ["depot1", "depot2"]\nownership = "manual"',
        'sync = { depot1 = "127.0.0.1:1", depot2 = "127.0.0.1:2" }']))
    net = InMemoryNetwork(table)
    opened(net, "depot2")
    assert net.from_server("web1", tcp(VIP4, 80, CLIENT4, 5000, SYN_ACK)).keys() == {"depot2"}
    announce(net, "depot1", 4)
    assert net.from_server("web1", tcp(VIP4, 80, CLIENT4, 9, ACK)) == {}
    assert net.depots["depot1"].drops[DropReason.NO_SESSION] == 1
    assert len(net.edges["web1"].ways) == 2
    assert len(net.edges["web1"].links) == 1


@pytest.mark.parametrize("sdu", [
    b"what", Announcement("main", "depot2", 1, 100).pack(), Announcement("other", "depot1", 1, 100).pack(),
    Announcement("main", "depot1", 1, 100).pack() + b"x", Recall(1).pack()[:-1]])
def test_message_that_is_none_of_this_depot_is_counted(net: InMemoryNetwork, sdu: bytes) -> None:
    net.depots["depot1"].bearer.vps["depot1-web1"].management.send(sdu, 0)
    net.settle()
    edge = net.edges["web1"]
    told = edge.ways[0].link.drops
    assert told == {DropReason.BAD_ANNOUNCEMENT: 1}
    assert edge.heard_depots(net.now)[0].heard_at is None


# What is shown.


def test_show_tells_of_each_set_the_depot_that_is_followed(net: InMemoryNetwork) -> None:
    agent = agent_of(net.edges["web1"])
    view = agent.views["depots"]
    assert (list(view(agent, 9, lambda: net.now)), list(agent.counters())) == ([], [])
    announce(net, "depot1", 4)
    announce(net, "depot2", 4)
    announce(net, "depot2", 3)
    net.now += 100 * MS
    (row,) = view(agent, 9, lambda: net.now)
    assert (row.node, row.set, row.role, row.term, row.since, row.follows) == (
        "web1", "main", "edge", 4, 0.1, "depot1")
    assert {(row.place, row.counter): row.value for row in agent.counters()} == {
        ("main", "moves"): 0, ("depot1-web1", "old-terms"): 0, ("depot1-web1", "same-terms"): 0,
        ("depot2-web1", "old-terms"): 1, ("depot2-web1", "same-terms"): 1}
    net.now += SECOND
    (row,) = view(agent, 9, lambda: net.now)
    assert (row.since, row.follows) == (1.1, "")
