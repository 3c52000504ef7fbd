"""Sets of depots with their servers behind Frame Relay: what is followed, what moves, what is recalled and adopted."""

from __future__ import annotations

import pickle

import pytest

from atmdepot.depot.role import Role
from atmdepot.drops import DropReason
from atmdepot.wire.announcement import Announcement, Claim, Recall
from atmdepot.wire.frame_relay import dlci_of
from atmdepot.wire.statistics import ServerState
from tests.ip_packets import ACK, FIN, PSH, SYN, ip, tcp, udp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_sets

MS = 1_000_000
SYN_ACK = SYN | ACK
PAIR = {"main": ["depot1", "depot2"]}
SHORT = '[sessions]\nidle = "5s"\ntwo_msl = "1s"'
HOT = 'standby = "hot"\nwatch = { depot1 = "copy0", depot2 = "copy0" }'


def network(of_set: str = "", vp: str = 'session_vcis = "64-65535"', sets: dict[str, list[str]] = PAIR,
            servers: int = 1, tables: str = "") -> InMemoryNetwork:
    return InMemoryNetwork(make_sets(sets, servers=servers, of_set=of_set, vp=vp, tables=tables, bearer="frame-relay"))


@pytest.fixture
def net() -> InMemoryNetwork:
    return network()


def tell(net: InMemoryNetwork, depot: str, octets: bytes) -> None:
    """Send octets on a depot's management PVCs."""
    for of in net.depots[depot].bearer.maps.values():
        of.management.send(octets, 0)
    net.settle()


def announce(net: InMemoryNetwork, depot: str, term: int, claim: Claim = Claim.ACTIVE) -> None:
    tell(net, depot, Announcement(net.network.name_of_set_of(depot), depot, term, 100, claim).pack())


def answered(net: InMemoryNetwork, port: int = 5000) -> list[tuple[str, int]]:
    """The depots that get the server's answer to a client's port, each with the DLCI."""
    net.seen.clear()
    net.from_server("web1", tcp(VIP4, 80, CLIENT4, port, SYN_ACK))
    return [(to, dlci) for by, to, frame in net.seen if by == "web1" and (dlci := dlci_of(frame))]


def opened(net: InMemoryNetwork, depot: str, port: int = 5000) -> None:
    assert net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN), depot).keys() == {"web1"}


def established(net: InMemoryNetwork, depot: str, port: int = 5000) -> str:
    """Open a session by its whole handshake; the edge node that serves it."""
    (edge,) = net.to_service(tcp(CLIENT4, port, VIP4, 80, SYN, seq=100), depot)
    net.from_server(edge, tcp(VIP4, 80, CLIENT4, port, SYN_ACK, seq=500, ack=101))
    net.to_service(tcp(CLIENT4, port, VIP4, 80, ACK, seq=101, ack=501), depot)
    return edge


def activate(net: InMemoryNetwork, depot: str) -> None:
    """Have a depot become active, and let its recall end."""
    net.depots[depot].roles.granted(net.now)
    net.settle()
    net.advance(20 * MS)
    assert net.depots[depot].roles.role is Role.ACTIVE
    assert not net.depots[depot].recall.is_under_way


def data(port: int = 5000) -> bytes:
    return tcp(CLIENT4, port, VIP4, 80, ACK | PSH, seq=101, ack=501, data=b"GET")


def test_each_depot_gives_dlcis_of_its_own_part(net: InMemoryNetwork) -> None:
    for number, depot in enumerate(PAIR["main"]):
        opened(net, depot, 5000 + number)
    assert [answered(net, port) for port in (5000, 5001)] == [[("depot1", 200)], [("depot2", 596)]]


def test_flow_stays_with_its_depot_as_long_as_that_announces_itself(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 1)
    opened(net, "depot1")
    announce(net, "depot2", 2)
    assert answered(net) == [("depot1", 200)]
    assert answered(net, port=9) == [("depot2", 100)], "others go to the highest term"


def test_answers_move_with_their_dlci_when_their_depot_falls_silent(net: InMemoryNetwork) -> None:
    announce(net, "depot1", 1)
    opened(net, "depot1")
    net.advance(200 * MS)
    announce(net, "depot2", 2)
    assert answered(net) == [("depot1", 200)]
    net.advance(150 * MS)
    assert answered(net) == [("depot2", 200)]
    announce(net, "depot1", 1)  # it was only held up
    assert answered(net) == [("depot1", 200)]


def test_flow_of_the_shared_dlci_is_answered_to_its_depot() -> None:
    net = network(vp="")
    opened(net, "depot2")
    assert answered(net) == [("depot2", 100)]
    announce(net, "depot1", 1)
    assert answered(net) == [("depot1", 100)]
    assert net.to_service(udp(CLIENT4, 7, VIP4, 80), "depot2")


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


def test_sets_are_chosen_apart_from_each_other() -> None:
    net = network(sets={"main": ["depot1", "depot2"], "other": ["depot3"]})
    for port, depot in enumerate(("depot1", "depot3"), 5000):
        opened(net, depot, port)
    announce(net, "depot2", 1)
    assert [[to for to, _ in answered(net, port)] for port in (5000, 5001)] == [["depot2"], ["depot3"]]
    assert answered(net, port=9) == [("depot2", 100)]
    net.advance(SECOND)  # depot3, alone in its set, is active and says so
    assert answered(net, port=9) == [("depot3", 100)]


def test_in_a_hot_set_answers_go_to_all_of_its_depots_but_for_those_to_a_probe() -> None:
    net = network(of_set=HOT)
    announce(net, "depot1", 1)
    opened(net, "depot1")
    assert answered(net) == [("depot1", 200), ("depot2", 200)]
    assert answered(net, port=9) == [("depot1", 100), ("depot2", 100)]
    opened(net, "depot2", 5001)
    assert [to for to, _ in answered(net, 5001)] == ["depot2"]
    whole = tcp(VIP4, 80, CLIENT4, 5000, ACK)[20:] + bytes(1000)
    net.seen.clear()
    for at, more in ((200, 0), (0, 0x2000)):
        part = whole[at:] if at else whole[:200]
        net.from_server("web1", ip(VIP4, CLIENT4, 6, part, identification=7, fragment=more | at // 8))
    assert sorted((to, dlci_of(frame)) for by, to, frame in net.seen if by == "web1") == [
        ("depot1", 200)] * 2 + [("depot2", 200)] * 2


def test_dlcis_at_the_other_depot_close_when_nothing_comes_there() -> None:
    net = network(tables=SHORT)
    announce(net, "depot1", 1)
    opened(net, "depot1")
    net.advance(SECOND)
    announce(net, "depot2", 2)
    answered(net)
    edge = net.edges["web1"]
    assert [sorted(way.relay.paths) for way in edge.ways] == [[16, 100, 200]] * 2
    net.advance(20 * SECOND)
    assert [sorted(way.relay.paths) for way in edge.ways] == [[16, 100]] * 2
    assert edge.flows == {}


@pytest.mark.parametrize("octets", [
    b"what", Announcement("main", "depot2", 1, 100).pack(), Announcement("main", "depot1", 1, 100).pack() + b"x",
    Recall(1).pack()[:-1]])
def test_message_that_is_none_of_this_depot_is_counted(net: InMemoryNetwork, octets: bytes) -> None:
    tell(net, "depot1", octets)
    edge = net.edges["web1"]
    assert edge.links["depot1-web1"].drops == {DropReason.BAD_ANNOUNCEMENT: 1}
    assert edge.heard_depots(net.now)[0].heard_at is None


def test_depots_hear_at_once_that_another_one_is_followed(net: InMemoryNetwork) -> None:
    net.edges["web1"].send_statistics(ServerState.ACCEPTS, 0.5, 2, 1000, net.now)
    announce(net, "depot1", 3)
    assert net.depots["depot2"].announcing.follows["web1"][:2] == ("depot1", 3)
    assert [heard.way for heard in net.edges["web1"].heard_depots(net.now)] == ["depot1-web1", "depot2-web1"]


# Takeover.


def test_depot_that_becomes_active_recalls_all_flows_on_their_dlcis() -> None:
    net = network(servers=2)
    activate(net, "depot1")
    edges = {port: established(net, "depot1", port) for port in range(5000, 5010)}
    numbers = {key: entry.path.number() for key, entry in net.depots["depot1"].sessions.primary.items()}
    assert sorted(numbers.values()) == sorted([200, 201, 202, 203, 204] * 2)
    net.stopped.add("depot1")
    net.advance(SECOND)
    activate(net, "depot2")
    new = net.depots["depot2"]
    assert (new.recall.adopted, new.recall.refused) == (10, {})
    assert {key: entry.path.number() for key, entry in new.sessions.primary.items()} == numbers
    for port, edge in edges.items():
        assert net.to_service(data(port), "depot2") == {edge: [data(port)]}
        answer = tcp(VIP4, 80, CLIENT4, port, ACK, seq=501, ack=104)
        assert net.from_server(edge, answer) == {"depot2": [answer]}
    assert net.dropped() == {}


def test_dlci_of_the_other_depot_is_free_again_once_its_session_has_ended() -> None:
    net = network(tables=SHORT)
    activate(net, "depot1")
    established(net, "depot1")
    net.stopped.add("depot1")
    net.advance(SECOND)
    activate(net, "depot2")
    port = net.depots["depot2"].links["depot2-web1"]
    assert sorted(port.paths) == [16, 100, 200]
    net.to_service(tcp(CLIENT4, 5000, VIP4, 80, FIN | ACK, seq=101, ack=501), "depot2")
    assert [flow.has_ended for flow in net.edges["web1"].flows.values()] == [True], "by its first packet there"
    net.advance(20 * SECOND)
    assert sorted(port.paths) == [16, 100]
    established(net, "depot2", 5001)
    assert sorted(port.paths) == [16, 100, 596], "of its own part"


def test_servers_packet_on_a_dlci_of_the_other_depots_part_is_adopted_without_recall() -> None:
    net = network(of_set="recall = false")
    activate(net, "depot1")
    established(net, "depot1")
    net.stopped.add("depot1")
    net.advance(SECOND)
    activate(net, "depot2")
    answer = tcp(VIP4, 80, CLIENT4, 5000, ACK, seq=501, ack=104)
    assert net.from_server("web1", answer) == {"depot2": [answer]}
    (entry,) = net.depots["depot2"].sessions.primary.values()
    assert entry.path.number() == 200
    assert net.to_service(data(), "depot2") == {"web1": [data()]}


def test_an_edge_node_and_a_depot_of_a_set_can_be_pickled(net: InMemoryNetwork) -> None:
    opened(net, "depot1")
    again = pickle.loads(pickle.dumps(net.depots["depot1"]))
    assert again.bearer.maps["web1"].management.is_management
    assert [way.depot for way in pickle.loads(pickle.dumps(net.edges["web1"])).ways] == PAIR["main"]
