"""Recall: a depot that has lost its sessions gets them back from the edge nodes, and loses nothing meanwhile."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.depot.recall import BOUND, PATIENCE
from atmdepot.drops import DropReason
from atmdepot.net.kinds import agent_of
from atmdepot.wire.announcement import Flows, ToldFlow, read
from atmdepot.wire.flows import flow_key
from tests.effort import examples
from tests.ip_packets import ACK, FIN, PSH, RST, SYN, packed, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork, make_network, make_sets

MS = 1_000_000
SYN_ACK = SYN | ACK
SYN_5000 = tcp(CLIENT4, 5000, VIP4, 80, SYN, seq=100)


def handshake(net: InMemoryNetwork, port: int, client: str = CLIENT4, vip: str = VIP4, depot: str = "") -> str:
    """Establish a session; the edge node that serves it."""
    (edge,) = net.to_service(tcp(client, port, vip, 80, SYN, seq=100), depot)
    net.from_server(edge, tcp(vip, 80, client, port, SYN_ACK, seq=500, ack=101))
    net.to_service(tcp(client, port, vip, 80, ACK, seq=101, ack=501), depot)
    return edge


def data(port: int, client: str = CLIENT4, vip: str = VIP4) -> bytes:
    """A client's data in such a session."""
    return tcp(client, port, vip, 80, ACK | PSH, seq=101, ack=501, data=b"GET")


def turned_to_another_server(net: InMemoryNetwork) -> tuple[str, bytes]:
    """Restart the depot after a SYN; the edge node that has got it, and its cells. The SYN's next server is another."""
    (earlier,) = net.to_service(SYN_5000)
    cells = next(octets for _, to, octets in net.seen if to == earlier)
    net.restart_depot()
    net.advance(100 * MS)
    net.to_service(tcp(CLIENT4, 6000, VIP4, 80, SYN))  # so that the client's turn is the other server's
    return earlier, cells


def recalled(net: InMemoryNetwork) -> None:
    """Restart the depot, and let it ask the edge nodes."""
    net.restart_depot()
    net.depot.start(net.now)
    net.settle()
    net.advance(20 * MS)


def test_restarted_depot_gets_its_sessions_back() -> None:
    net = InMemoryNetwork()
    edges = {port: handshake(net, port) for port in range(5000, 5010)}
    edges6 = {port: handshake(net, port, CLIENT6, VIP6) for port in range(5000, 5010)}
    channels = {key: session.path.channel for key, session in net.depot.sessions.primary.items()}
    recalled(net)
    recall, tables = net.depot.recall, net.depot.sessions
    assert (recall.adopted, recall.known, recall.refused, recall.asked_again) == (20, 0, {}, 0)
    assert not recall.is_under_way
    assert {key: session.path.channel for key, session in tables.primary.items()} == channels
    assert {str(session.client.state) for session in tables.primary.values()} == {"ESTABLISHED"}
    for port, edge in edges.items():
        assert net.to_service(data(port)) == {edge: [data(port)]}
    for port, edge in edges6.items():
        assert net.to_service(data(port, CLIENT6, VIP6)) == {edge: [data(port, CLIENT6, VIP6)]}
    assert net.dropped() == {}


def test_sessions_beyond_the_range_of_channels_come_back_too() -> None:
    net = InMemoryNetwork(make_network(vp='session_vcis = "64-65"', servers=1))
    for port in range(5000, 5006):
        handshake(net, port)
    recalled(net)
    assert net.depot.recall.adopted == 6
    assert sorted(session.path.channel[1] for session in net.depot.sessions.primary.values()) == [32] * 4 + [64, 65]
    for port in range(5000, 5006):
        assert net.to_service(data(port)) == {"web1": [data(port)]}


@pytest.mark.parametrize("vp", ["", 'shared_vcs = { "UBR.1" = 64 }'])
def test_sessions_on_shared_channels_come_back(vp: str) -> None:
    net = InMemoryNetwork(make_network(vp=vp))
    edges = {port: handshake(net, port) for port in range(5000, 5004)}
    flow = udp(CLIENT4, 7, VIP4, 80)
    (edge,) = net.to_service(flow)
    recalled(net)
    assert net.depot.recall.adopted == 5
    assert net.to_service(flow) == {edge: [flow]}
    for port, at in edges.items():
        assert net.to_service(data(port)) == {at: [data(port)]}


def test_sessions_that_have_ended_are_not_told() -> None:
    net = InMemoryNetwork()
    for port, flags in ((5000, FIN | ACK), (5001, RST), (5002, ACK)):
        handshake(net, port)
        net.to_service(tcp(CLIENT4, port, VIP4, 80, flags, seq=101, ack=501))
        net.to_service(tcp(CLIENT4, port, VIP4, 80, ACK, seq=102, ack=502))
    recalled(net)
    assert [key[-8:-6] for key in net.depot.sessions.primary] == [(5002).to_bytes(2, "big")]
    net.advance(125 * SECOND)
    assert sum(len(edge.flows) for edge in net.edges.values()) == 1, "those that have ended go after 2 MSL"


@pytest.mark.parametrize("flags", [FIN | ACK, RST])
def test_a_flow_that_its_first_packet_ends_is_not_told(flags: int) -> None:
    """As a depot sends it after a takeover on a channel that the edge node has not seen."""
    net = InMemoryNetwork()
    edge = handshake(net, 5000)
    flows = net.edges[edge].flows
    net.edges[edge]._forget(next(iter(flows.values())), net.now)
    net.to_service(tcp(CLIENT4, 5000, VIP4, 80, flags, seq=101, ack=501))
    assert [flow.has_ended for flow in flows.values()] == [True]
    recalled(net)
    assert net.depot.recall.adopted == 0


def test_session_is_adopted_with_the_age_of_its_last_packet() -> None:
    net = InMemoryNetwork()
    edge = handshake(net, 5000)
    net.advance(19 * 60 * SECOND)
    recalled(net)
    assert net.depot.recall.adopted == 1
    net.advance(62 * SECOND)
    assert len(net.depot.sessions.primary) == 0
    assert net.to_service(data(5000)) == {edge: [data(5000)]}, "it was only idle"


def test_flow_that_the_depot_would_have_given_up_is_not_adopted() -> None:
    net = InMemoryNetwork(make_network(vp=""))
    net.to_service(udp(CLIENT4, 7, VIP4, 80))
    handshake(net, 5000)
    net.advance(21 * 60 * SECOND)
    recalled(net)
    assert net.depot.recall.refused == {"idle": 2}


def test_what_is_known_is_left_alone() -> None:
    net = InMemoryNetwork()
    handshake(net, 5000)
    (session,) = net.depot.sessions.primary.values()
    net.depot.recall.begin(0, net.now)
    net.settle()
    net.advance(20 * MS)
    assert list(net.depot.sessions.primary.values()) == [session]
    assert (net.depot.recall.known, net.depot.recall.adopted, session.client.isn) == (1, 0, 100)


def test_only_flows_of_the_time_that_is_missing_are_told() -> None:
    net = InMemoryNetwork()
    handshake(net, 5000)
    net.advance(10 * SECOND)
    handshake(net, 5001)
    net.restart_depot()
    net.depot.recall.begin(5 * SECOND, net.now)
    net.settle()
    net.advance(20 * MS)
    assert net.depot.recall.adopted == 1


def test_many_flows_are_told_and_adopted_some_at_a_time() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    for port in range(1, 6001):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
    net.restart_depot()
    net.depot.start(net.now)
    net.settle()
    assert 0 < net.depot.recall.adopted < 3000
    net.advance(100 * MS)
    assert net.depot.recall.adopted == 6000
    assert not net.depot.recall.is_under_way
    assert net.depot.next_timer() is not None


# Packets while answers are under way.


def held_up(orphan: str = "reset") -> tuple[InMemoryNetwork, str]:
    """A restarted depot whose question is lost, and the edge node of a session on the default channel."""
    net = InMemoryNetwork(make_network(vp='session_vcis = "64-64"', servers=1,
                                       tables=f'[sessions]\norphan = "{orphan}"'))
    for port in (5000, 5001):
        edge = handshake(net, port)
    net.faults["depot"] = lambda _cells: b""
    net.restart_depot()
    net.depot.start(net.now)
    net.settle()
    return net, edge


def test_packets_of_unknown_sessions_are_dropped_without_a_reset_meanwhile() -> None:
    net, edge = held_up()
    answer = tcp(VIP4, 80, CLIENT4, 5001, ACK | PSH, seq=501, ack=101, data=b"x")
    assert net.to_service(data(5001)) == {}
    assert net.from_server(edge, answer) == {}
    assert net.depot.drops == {DropReason.RECALLING: 2}
    net.advance(BOUND - 1)
    assert net.to_service(data(5001)) == {}
    net.advance(1)
    assert list(net.to_service(data(5001))) == ["depot"], "an RST, as ever"
    assert net.depot.drops == {DropReason.RECALLING: 3, DropReason.NO_SESSION: 1}


def test_packets_wait_for_the_last_part_of_the_slowest_answer() -> None:
    net = InMemoryNetwork(make_network(tables='[sessions]\norphan = "reset"'))
    edges = {port: handshake(net, port) for port in (5000, 5001)}
    slow = edges[5001]
    net.stopped.add(slow)
    recalled(net)
    net.advance(SECOND)
    assert list(net.to_service(data(5000))) == [edges[5000]]
    assert net.to_service(data(5001)) == {}
    net.stopped.remove(slow)
    net.advance(4 * PATIENCE + 20 * MS)
    assert net.to_service(data(5001)) == {slow: [data(5001)]}
    assert net.depot.drops == {DropReason.RECALLING: 1}


def test_answer_of_many_flows_goes_on_part_by_part_and_is_not_asked_for_again() -> None:
    net = InMemoryNetwork(make_network(servers=1, vp='session_vcis = "64-65535"'))
    for port in range(1, 9000):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
        if port % 300 == 0:
            net.advance(SECOND)
        if port > 10:  # all but the first have ended: they are looked at, and not told
            net.to_service(tcp(CLIENT4, port, VIP4, 80, RST))
    net.restart_depot()
    net.depot.start(net.now)
    for _ in range(40):
        net.settle()
        assert net.edges["web1"].urgent == bool(net.edges["web1"]._answers)
        net.advance(5 * MS)
    recall = net.depot.recall
    assert (recall.is_under_way, recall.asked_again, recall.adopted) == (False, 0, 10)


@pytest.mark.parametrize("flags", [ACK, SYN_ACK, FIN | ACK])
def test_session_with_a_channel_of_its_own_is_adopted_at_once(flags: int) -> None:
    net, edge = held_up()
    answer = tcp(VIP4, 80, CLIENT4, 5000, flags, seq=501, ack=101)
    assert net.from_server(edge, answer) == {"depot": [answer]}
    assert net.dropped() == {}


def test_reset_adopts_nothing() -> None:
    net, edge = held_up()
    assert net.from_server(edge, tcp(VIP4, 80, CLIENT4, 5000, RST | ACK, seq=501, ack=101)) == {}


def test_new_sessions_open_meanwhile() -> None:
    net, edge = held_up()
    net.faults.clear()
    syn = tcp(CLIENT4, 6000, VIP4, 80, SYN)
    assert net.to_service(syn) == {edge: [syn]}


def test_new_session_takes_no_channel_of_a_session_that_is_not_adopted_yet() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    handshake(net, 5000)
    net.restart_depot()
    net.depot.start(net.now)
    edge = handshake(net, 6000)
    net.advance(20 * MS)
    assert net.depot.recall.adopted == 1
    for port in (5000, 6000):
        assert net.to_service(data(port)) == {edge: [data(port)]}
    handshake(net, 6001)
    channels = {key[5:7]: session.path.channel[1] for key, session in net.depot.sessions.primary.items()}
    assert channels == {(5000).to_bytes(2, "big"): 64, (6000).to_bytes(2, "big"): 32, (6001).to_bytes(2, "big"): 65}


def test_new_sessions_share_at_those_nodes_alone_that_have_not_answered() -> None:
    net = InMemoryNetwork()
    net.stopped.add("web2")
    recalled(net)
    for port in range(6000, 6004):
        net.depot.packet_from_tun(tcp(CLIENT4, port, VIP4, 80, SYN), net.now)
    shared = {(session.server.name, session.path.owner is None) for session in net.depot.sessions.primary.values()}
    assert shared == {("web1", False), ("web2", True)}


# What is lost.


def test_lost_question_is_asked_again() -> None:
    net, _ = held_up()
    net.faults.clear()
    net.advance(PATIENCE + 20 * MS)
    assert (net.depot.recall.adopted, net.depot.recall.asked_again) == (2, 1)
    assert not net.depot.recall.is_under_way


def test_lost_part_of_an_answer_is_asked_for_again() -> None:
    net = InMemoryNetwork(make_network(vp='session_vcis = "64-65535"\nmtu = 1280', servers=1))
    for port in range(1, 200):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
    net.restart_depot()
    lost = []

    def lose_one(cells: bytes) -> bytes:
        if len(cells) > 53 * 10 and not lost:
            lost.append(cells[53:106])
            return cells[:53] + cells[106:]
        return cells

    net.faults["web1"] = lose_one
    net.depot.start(net.now)
    net.settle()
    net.advance(SECOND)
    recall = net.depot.recall
    assert lost
    assert (len(net.depot.sessions.primary), recall.asked_again, recall.is_under_way) == (199, 1, False)


def test_edge_node_that_does_not_answer_is_given_up() -> None:
    net = InMemoryNetwork()
    handshake(net, 5000)
    handshake(net, 5001)
    net.stopped.add("web2")
    recalled(net)
    assert net.depot.recall.unheard == ["web2"]
    net.advance(BOUND)
    recall = net.depot.recall
    assert (recall.adopted, recall.unanswered, recall.is_under_way, recall.next_timer()) == (1, 1, False, None)


def test_answer_that_comes_too_late_is_counted() -> None:
    net = InMemoryNetwork()
    handshake(net, 5000)
    edge = net.edges["web1"]
    edge.link.send(Flows(77, 0, True, []).pack(), edge.table.management, 0)
    net.settle()
    assert (net.depot.recall.late, net.dropped()) == (1, {})


def test_an_answer_in_the_format_of_another_build_is_dropped_and_no_longer_waited_for() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    handshake(net, 5000)
    net.restart_depot()
    net.faults["depot"] = lambda _cells: b""
    net.depot.start(net.now)
    edge, recall = net.edges["web1"], net.depot.recall
    number = recall._asked["web1"].number
    # As builds told flows whose ages were seconds, in two octets.
    old = b"ADAN" + struct.pack(">BBHIIHH13sHH", 1, 3, 1, number, 0, 1, 0, bytes(13), 64, 1)
    edge.link.send(old, edge.table.management, 0)
    net.settle()
    assert net.dropped() == {"other-build": 1}
    assert (recall.adopted, recall.unanswered, recall.is_under_way, net.depot.holds(net.now)) == (0, 1, False, False)


def test_depot_that_shall_not_recall_asks_nobody() -> None:
    net = InMemoryNetwork(make_network(tables='[depots.main]\nnodes = ["depot"]\nrecall = false'))
    handshake(net, 5000)
    net.seen.clear()
    recalled(net)
    assert not [cells for by, _, cells in net.seen if by == "web1"]
    assert (net.depot.recall.recalls, net.depot.holds(net.now)) == (0, False)


# Hostile answers.


@pytest.mark.parametrize(("key", "reason"), [
    (flow_key(6, packed(CLIENT4), 1, packed("10.80.0.9"), 80), "not-a-service"),
    (flow_key(6, packed(CLIENT4), 1, packed(VIP4), 81), "not-a-service"),
    (flow_key(6, packed("10.255.0.1"), 1, packed(VIP4), 80), "own-probe"),
    (bytes(13), "not-a-service")])
def test_flow_that_is_none_of_the_server_is_refused(key: bytes, reason: str) -> None:
    net = InMemoryNetwork(make_network(servers=1))
    net.faults["depot"] = lambda _cells: b""
    net.depot.start(net.now)
    net.settle()
    edge = net.edges["web1"]
    number = net.depot.recall._asked["web1"].number
    edge.link.send(Flows(number, 0, True, [ToldFlow(key, 70, 0)]).pack(), edge.table.management, 0)
    net.settle()
    assert (net.depot.recall.refused, net.depot.recall.adopted) == ({reason: 1}, 0)


def test_full_table_refuses_flows() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    for port in range(5000, 5010):
        handshake(net, port)
    net.network = make_network(servers=1, tables="[sessions]\nmax_sessions = 4")
    recalled(net)
    recall = net.depot.recall
    assert (recall.adopted, recall.refused) == (4, {"table-full": 6})


def test_channel_that_is_taken_is_not_taken_away() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    handshake(net, 5000)
    old = net.edges["web1"].flows
    net.restart_depot()
    handshake(net, 6000)  # on the channel that the first session had
    assert len(old) == 1
    keys = [flow_key(6, packed(CLIENT4), port, packed(VIP4), 80) for port in (7000, 7001)]
    net.faults["depot"] = lambda _cells: b""
    net.depot.start(net.now)
    number = net.depot.recall._asked["web1"].number
    edge = net.edges["web1"]
    edge.link.send(Flows(number, 0, True, [ToldFlow(key, 64, 0) for key in keys]).pack(), edge.table.management, 0)
    net.settle()
    channels = [session.path.channel for session in net.depot.sessions.primary.values()]
    assert channels == [(1, 64), (1, 65), (1, 66)] or channels == [(1, 64), (1, 66), (1, 65)]


@examples(200)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, 3), st.booleans(),
                          st.lists(st.tuples(st.sampled_from([VIP4, "10.80.0.9"]), st.integers(1, 5),
                                             st.integers(0, 70), st.sampled_from([0, 5, 65535])), max_size=4)),
                max_size=6))
def test_any_answers_leave_the_tables_whole(
        answers: list[tuple[int, int, bool, list[tuple[str, int, int, int]]]]) -> None:
    net = InMemoryNetwork(make_network(servers=1, vp='session_vcis = "64-67"'))
    handshake(net, 3)
    net.faults["depot"] = lambda _cells: b""
    net.depot.start(net.now)
    net.settle()
    edge, (number,) = net.edges["web1"], [asked.number for asked in net.depot.recall._asked.values()]
    for more, part, is_last, flows in answers:
        told = [ToldFlow(flow_key(6, packed(CLIENT4), port, packed(vip), 80), channel, age)
                for vip, port, channel, age in flows]
        edge.link.send(Flows(number + more, part, is_last, told).pack(), edge.table.management, 0)
        net.settle()
    net.advance(BOUND)
    recall, tables = net.depot.recall, net.depot.sessions
    assert not recall.is_under_way
    assert len(tables.primary) == 1 + recall.adopted - recall.replaced
    own = [session.path.channel for session in tables.primary.values() if session.path.owner is not None]
    assert len(own) == len(set(own))
    net.faults.clear()
    for port in {key[5] * 256 + key[6] for key in tables.primary}:
        packet = tcp(CLIENT4, port, VIP4, 80, ACK)
        assert net.to_service(packet) == {"web1": [packet]}


def test_answer_is_divided_by_the_size_that_the_way_takes() -> None:
    net = InMemoryNetwork(make_network(vp='session_vcis = "64-65535"\nmtu = 1280', servers=1))
    for port in range(1, 100):
        net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
        net.to_service(tcp(CLIENT6, port, VIP6, 80, SYN))
    net.restart_depot()
    told: list[bytes] = []
    take = net.depot.recall.take
    net.depot.recall.take = lambda path, octets, now: told.append(octets) or take(path, octets, now)
    net.depot.start(net.now)
    net.settle()
    net.advance(100 * MS)
    parts = [read(octets) for octets in told]
    assert max(map(len, told)) <= 1280
    assert [part.part for part in parts if isinstance(part, Flows)] == list(range(len(parts)))
    assert net.depot.recall.adopted == 198


# Sets of depots.


def test_depot_that_becomes_active_asks_for_what_it_has_not() -> None:
    net = InMemoryNetwork(make_sets({"main": ["depot1", "depot2"]}))
    net.depots["depot1"].roles.granted(net.now)
    edge = handshake(net, 5000, depot="depot1")
    net.stopped.add("depot1")
    depot2 = net.depots["depot2"]
    assert depot2.recall.recalls == 0
    depot2.roles.granted(net.now)
    net.settle()
    net.advance(20 * MS)
    assert (depot2.recall.adopted, depot2.recall.since_ms) == (1, 0)
    assert net.to_service(data(5000), "depot2") == {edge: [data(5000)]}
    answer = tcp(VIP4, 80, CLIENT4, 5000, ACK, seq=501, ack=104)
    net.advance(20 * MS)
    assert net.from_server(edge, answer) == {"depot2": [answer]}


def test_depot_whose_replica_is_in_sync_asks_for_the_last_moments_alone() -> None:
    net = InMemoryNetwork(make_sets({"main": ["depot1", "depot2"]}, of_set='interval = "2s"'))
    handshake(net, 5000, depot="depot1")
    net.advance(10 * SECOND)
    handshake(net, 5001, depot="depot1")
    depot2 = net.depots["depot2"]
    assert depot2.replica is not None
    depot2.replica.in_sync, depot2.replica.applied_at = True, net.now - 500 * MS
    depot2.roles.granted(net.now)
    net.settle()
    net.advance(20 * MS)
    assert (depot2.recall.since_ms, depot2.recall.adopted) == (3500, 1)


@pytest.mark.parametrize("first", ["web1", "web2"])
def test_of_two_edge_nodes_that_know_a_session_the_later_has_it(first: str) -> None:
    net = InMemoryNetwork()
    earlier, _ = turned_to_another_server(net)
    (later,) = net.to_service(SYN_5000)
    assert later != earlier
    net.restart_depot()
    net.stopped |= {"web1", "web2"} - {first}
    recalled(net)
    net.stopped.clear()
    net.advance(SECOND)
    assert net.to_service(data(5000)) == {later: [data(5000)]}
    assert not net.depot.recall.is_under_way


@pytest.mark.parametrize("first", ["web1", "web2"])
@pytest.mark.parametrize("is_known", [False, True])
def test_established_session_does_not_give_way_to_a_late_copy_of_its_syn(first: str, is_known: bool) -> None:
    net = InMemoryNetwork()
    earlier, held = turned_to_another_server(net)
    later = handshake(net, 5000)
    assert later != earlier
    net.advance(SECOND)
    net.edges[earlier].octets_from_port(f"to-{earlier}", held, net.now)  # a queue on the way had kept it
    net.advance(100 * MS)
    if is_known:
        net.depot.recall.begin(0, net.now)
        net.settle()
    else:
        net.restart_depot()
        net.stopped |= {"web1", "web2"} - {first}
        recalled(net)
        net.stopped.clear()
    net.advance(SECOND)
    assert net.to_service(data(5000)) == {later: [data(5000)]}
    assert not net.depot.recall.is_under_way


def test_flows_of_another_set_are_not_told() -> None:
    net = InMemoryNetwork(make_sets({"main": ["depot1", "depot2"], "other": ["depot3"]}))
    handshake(net, 5000, depot="depot3")
    handshake(net, 5001, depot="depot1")
    depot2 = net.depots["depot2"]
    depot2.roles.granted(net.now)
    net.settle()
    net.advance(20 * MS)
    assert depot2.recall.adopted == 1


@examples(60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["open", "ack", "fin", "rst", "wait", "idle", "known"]),
                          st.integers(5000, 5006)), max_size=30),
       st.sampled_from(['session_vcis = "64-65535"', 'session_vcis = "64-66"', ""]))
def test_what_is_adopted_are_the_live_flows_of_the_edge_nodes_but_for_those_known(
        steps: list[tuple[str, int]], vp: str) -> None:
    net = InMemoryNetwork(make_network(vp=vp))
    live: set[int] = set()
    for step, port in steps:
        if step == "open" and port not in live:
            net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN, seq=net.now // MS % 2**32))
            live.add(port)
        elif step in ("ack", "fin", "rst") and port in live:
            net.to_service(tcp(CLIENT4, port, VIP4, 80, {"ack": ACK, "fin": FIN | ACK, "rst": RST}[step]))
            if step != "ack":
                live.remove(port)
        elif step in ("wait", "idle"):
            net.advance(10 * SECOND if step == "wait" else 100 * SECOND)
    # Those that the depot gave up half-open are known to the edge nodes still.
    told = {int.from_bytes(key[5:7], "big") for edge in net.edges.values() for key, flow in edge.flows.items()
            if not flow.has_ended}
    assert live <= told
    net.restart_depot()
    net.depot.start(net.now)
    known = {port for step, port in steps if step == "known" and port in live}
    for port in known:  # their clients open them anew, before the edge nodes are heard
        net.depot.packet_from_tun(tcp(CLIENT4, port, VIP4, 80, SYN, seq=7), net.now)
    before = set(net.depot.sessions.primary)
    net.settle()
    net.advance(SECOND)
    adopted = {int.from_bytes(key[5:7], "big") for key in set(net.depot.sessions.primary) - before}
    assert adopted == told - known
    assert net.depot.recall.adopted == len(adopted)
    assert not net.depot.recall.is_under_way


def test_counters_tell_what_has_become_of_the_flows() -> None:
    net = InMemoryNetwork(make_network(vp=""))
    handshake(net, 5000)
    net.to_service(udp(CLIENT4, 7, VIP4, 80))
    net.advance(10 * 60 * SECOND)
    agent = agent_of(net.depot)
    assert not [row for row in agent.counters() if row.place == "recall"]
    recalled(net)
    agent = agent_of(net.depot)
    assert {row.counter: row.value for row in agent.counters() if row.place == "recall"} == {
        "recalls": 1, "asked-again": 0, "unanswered": 0, "recalled": 1, "replaced": 0, "known": 0, "late": 0,
        "refused:idle": 1}
