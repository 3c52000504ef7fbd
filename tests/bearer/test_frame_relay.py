"""The bearer of Frame Relay in a whole network in memory: DLCIs, LMI and the dead-list, restarts, Dynamips between."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.depot.explain import explain
from atmdepot.depot.question import Question
from atmdepot.drops import DropReason
from atmdepot.wire.frame_relay import Address, dlci_of, header_of, train_of
from atmdepot.wire.lmi import STATUS, parse_lmi
from atmdepot.wire.statistics import ServerState
from tests.depot.playbook import Playbook
from tests.dynamips_relay import DynamipsSwitch
from tests.effort import examples
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork
from tests.relay_network import relay_network

if TYPE_CHECKING:
    from typing import Any


def play_on(**values: Any) -> Playbook:
    return Playbook(net=InMemoryNetwork(relay_network(**values)))


def dlcis_seen(net: InMemoryNetwork) -> list[int]:
    """The DLCIs of the frames to the servers, the LMI's left out."""
    return [dlci for sender, _, frame in net.seen if sender == "depot" and (dlci := dlci_of(frame))]


def server(net: InMemoryNetwork, name: str = "web1") -> Any:
    return net.depot.management.servers[name]


def test_each_session_has_a_dlci_of_its_own_and_packets_stay_as_they_are() -> None:
    play = play_on()
    for play.port in range(4000, 4020):
        assert play.open() in ("web1", "web2")
        play.close()
    # Three packets of a client's open a session and three close it.
    assert sorted(set(dlcis_seen(play.net))) == list(range(200, 210))
    assert play.net.dropped() == {}


def test_sessions_beyond_the_range_share_the_default_dlci_and_are_counted() -> None:
    play = play_on(servers=1, dlcis='session_dlcis = "200-201"')
    for play.port in range(4000, 4004):
        assert play.open() == "web1"
    assert {session.path.dlci for session in play.net.depot.sessions.primary.values()} == {200, 201, 100}
    assert play.net.depot.bearer.maps["web1"].exhausted == 2
    play.wait("30min")
    assert sorted(play.net.depot.links["depot-web1"].paths) == [16, 100]
    assert sorted(play.net.edges["web1"].ways[0].relay.paths) == [16, 100]


def test_a_dlci_comes_back_only_after_its_session_has_left_the_secondary_table() -> None:
    play = play_on(servers=1, dlcis='session_dlcis = "200-201"')
    play.open()
    play.close()
    for play.port in (4001, 4002):
        play.client >> "S seq=1"
    assert [session.path.dlci for session in play.net.depot.sessions.primary.values()] == [201, 100]
    play.wait("121s")
    play.port = 4003
    play.client >> "S seq=1"
    assert dlcis_seen(play.net)[-1] == 200


def test_without_a_range_all_sessions_share_a_dlci() -> None:
    play = play_on(servers=1, dlcis="")
    for play.port in (4000, 4001):
        assert play.open() == "web1"
        assert play.close() is None
    assert set(dlcis_seen(play.net)) == {100}


def test_de_follows_the_drop_precedence() -> None:
    play = play_on(servers=1)
    for play.client.dscp, de in ((0, 0), (12, 2), (10, 0)):  # best effort, AF12, AF11
        play.client >> "S seq=1"
        assert play.net.seen[-1][2][1] & 2 == de


def test_a_restarted_depot_adopts_a_session_by_its_dlci() -> None:
    play = play_on(servers=1)
    play.open()
    play.net.restart_depot()
    data = tcp(VIP4, 80, CLIENT4, play.port, ACK, seq=301, ack=101, data=b"more")
    assert play.net.from_server("web1", data) == {"depot": [data]}
    [session] = play.net.depot.sessions.primary.values()
    assert session.path.dlci == 200
    play.port = 4001
    play.client >> "S seq=1"
    assert dlcis_seen(play.net)[-1] == 201


def test_a_frame_that_may_begin_no_session_opens_no_dlci() -> None:
    net = play_on(servers=1).net
    frame = header_of(Address(300), 4)
    net.depot.octets_from_port("depot-web1", frame + tcp("10.1.1.1", 80, CLIENT4, 9, ACK), net.now)
    assert net.dropped() == {DropReason.UNKNOWN_DLCI: 1}
    for dlci in range(300, 500):  # a service's packets, but of no session that the depot would adopt
        net.depot.octets_from_port("depot-web1", header_of(Address(dlci), 4) + tcp(VIP4, 80, CLIENT4, 9, SYN), net.now)
    assert len(net.depot.links["depot-web1"].paths) == 2


def test_an_edge_node_that_was_restarted_answers_on_the_default_dlci_and_the_depot_finds_the_session() -> None:
    play = play_on(servers=1)
    play.open()
    play.net.restart_edge("web1")
    assert play.server >> "A seq=301 ack=101 len=9" == "client"
    assert play.client >> "A seq=101 ack=310 len=9" == "web1"
    assert play.server >> "A seq=310 ack=110" == "client"
    assert play.net.seen[-1][2][:2] == Address(200).pack()


# LMI and the dead-list.


def cut(net: InMemoryNetwork, *ends: str) -> None:
    for end in ends:
        net.faults[end] = lambda _: b""


def test_a_link_without_answers_puts_its_server_on_the_dead_list() -> None:
    net = play_on().net
    net.advance(5 * SECOND)
    assert net.depot.bearer.troubles == {}
    cut(net, "web1")
    net.advance(60 * SECOND)
    assert not server(net).alive
    assert server(net).condition.why == "path down: LMI: 3 of the last 4 enquiries have no right answer"
    assert "LMI" not in server(net, "web2").condition.why
    del net.faults["web1"]
    net.advance(60 * SECOND)
    assert net.depot.bearer.troubles == {}


def test_an_inactive_pvc_puts_its_server_on_the_dead_list_at_once() -> None:
    net = play_on().net
    net.advance(SECOND)
    for is_active, why in ((False, "LMI: DLCI 100 is not active"), (True, "")):
        net.edges["web1"].ways[0].relay.lmi.set_active(100, is_active, net.now)
        net.settle()
        assert net.depot.bearer.troubles.get("web1", "") == why
        assert server(net).condition.why == ("path down: " + why if why else "its path is whole again")
    assert "web2" not in net.depot.bearer.troubles


def test_a_dlci_that_is_not_active_is_passed_over() -> None:
    play = play_on(servers=1)
    play.net.advance(SECOND)
    lmi = play.net.edges["web1"].ways[0].relay.lmi
    lmi.set_active(200, False, play.net.now)
    play.net.settle()
    seen = []
    for play.port in range(4000, 4003):
        play.client >> "S seq=1"
        seen.append(dlcis_seen(play.net)[-1])
    assert seen == [100, 201, 202]
    assert play.net.depot.bearer.maps["web1"].inactive == 1


def test_nothing_is_sent_on_a_pvc_that_is_not_active() -> None:
    play = play_on(servers=1)
    play.net.advance(SECOND)
    assert play.open() == "web1"
    lmi = play.net.edges["web1"].ways[0].relay.lmi
    for dlci in (100, 200):
        lmi.set_active(dlci, False, play.net.now)
    play.net.settle()
    before = len(dlcis_seen(play.net))
    assert play.client >> "A seq=101 ack=301 len=9" == "inactive-pvc"
    assert len(dlcis_seen(play.net)) == before
    assert play.net.depot.links["depot-web1"].drops == {DropReason.INACTIVE_PVC: 1}
    for dlci in (100, 200):
        lmi.set_active(dlci, True, play.net.now)
    play.net.settle()
    assert play.client >> "A seq=101 ack=301 len=9" == "web1"
    assert dlcis_seen(play.net)[-1] == 200


def test_a_pvc_that_the_full_status_lacks_is_not_used_until_it_is_listed() -> None:
    play = play_on(servers=1)
    play.open()
    lmi = play.net.edges["web1"].ways[0].relay.lmi
    del lmi.pvcs[200]
    play.net.advance(60 * SECOND)
    assert play.client >> "A seq=101 ack=301 len=9" == "inactive-pvc"
    lmi.pvcs[200] = True
    play.net.advance(60 * SECOND)
    assert play.client >> "A seq=101 ack=301 len=9" == "web1"


def test_reports_travel_on_their_own_dlci() -> None:
    net = play_on(servers=1).net
    net.edges["web1"].send_statistics(ServerState.ACCEPTS, 0.5, 2, 1000, net.now)
    net.settle()
    assert net.seen[-1][2][:7] == Address(16).pack() + b"\x03ADST"
    assert server(net).load == pytest.approx(0.25, rel=1e-3)


# Dynamips' switch between them.


class Field:
    """A depot and edge nodes on the ports of Dynamips' switch."""

    def __init__(self) -> None:
        self.net = InMemoryNetwork(relay_network(via=True, dlcis='session_dlcis = "200-219"', servers=1))
        self.switch = DynamipsSwitch()
        for dlci in self.net.network.dlcis["web1"].all():
            self.switch.connect("depot", dlci, "web1", dlci)

    def carry(self) -> None:
        nodes = {"depot": self.net.depot, "web1": self.net.edges["web1"]}
        links = {"depot": "depot-frsw", "web1": "frsw-web1"}
        while sum(self._from(name, nodes, links) for name in nodes):
            pass

    def _from(self, name: str, nodes: dict[str, Any], links: dict[str, str]) -> bool:
        frame = nodes[name].links[links[name]].transmit(self.net.now)
        left = self.switch.receive(name, frame) if frame else None
        if left is not None:
            nodes[left[0]].octets_from_port(links[left[0]], left[1], self.net.now)
        return bool(frame)

    def advance(self, seconds: int) -> None:
        for _ in range(seconds):
            self.net.now += SECOND
            for node in (self.net.depot, *self.net.edges.values()):
                node.handle_timer(self.net.now)
            self.carry()


def test_both_ends_are_user_sides_of_dynamips_switch() -> None:
    field = Field()
    field.advance(120)
    for port in (field.net.depot.links["depot-frsw"], field.net.edges["web1"].ways[0].relay):
        assert not port.lmi.is_network
        assert port.lmi.errors == 0
        assert len(port.lmi.pvcs) == 22
    assert field.net.dropped() == {}


def test_a_session_passes_dynamips_switch_untouched() -> None:
    field = Field()
    syn, answer = tcp(CLIENT4, 4000, VIP4, 80, SYN), tcp(VIP4, 80, CLIENT4, 4000, SYN | ACK, seq=1, ack=1)
    field.net.depot.packet_from_tun(syn, field.net.now)
    field.carry()
    assert field.net.edges["web1"].take_packets() == [syn]
    field.net.edges["web1"].packet_from_tun(answer, field.net.now)
    field.carry()
    assert field.net.depot.take_packets() == [answer]
    assert field.switch.drops == 0


def test_a_dlci_that_the_switch_lacks_is_known_by_its_full_status() -> None:
    field = Field()
    for dlci in (100, 205):
        del field.switch._connects["depot", dlci]
    field.advance(1)
    assert field.net.depot.bearer.troubles == {"web1": "LMI: DLCI 100 is not in the full status"}
    assert field.net.depot.bearer.maps["web1"].port.trouble_of(205)


# The rest.


def test_explain_tells_of_frames() -> None:
    net = play_on(servers=1).net
    question = Question(source=CLIENT4, source_port=4000, destination=VIP4, destination_port=80)
    text = str(explain(net.depot, question.packet(), net.now))
    assert "DLCI" in text
    assert "a frame of 44 octets" in text
    assert "DE 0" in text


def test_a_depot_can_be_pickled() -> None:
    play = play_on(servers=1)
    play.open()
    assert pickle.loads(pickle.dumps(play.net.depot)).bearer.maps["web1"].default.dlci == 100


@examples(60)
@example([("depot", b"\xff"), ("web1", b"\xff\0\0")])  # which a link puts into a train of one
@given(st.lists(st.tuples(st.sampled_from(["depot", "web1"]), st.one_of(
    st.binary(max_size=40),
    st.builds(lambda dlci, flags, rest: bytes((dlci >> 4 << 2, (dlci & 15) << 4 | flags | 1)) + rest,
              st.sampled_from([0, 16, 100, 200, 201, 991, 1023]), st.sampled_from([0, 2, 4, 8, 14]),
              st.sampled_from([b"\3\xcc" + tcp(CLIENT4, 4000, VIP4, 80, SYN),
                               b"\3\xcc" + tcp(VIP4, 80, CLIENT4, 4000, ACK), b"\3ADST",
                               b"\3\x08\0\x7d\x95\1\1\0\3\2\1\1", b"\3\x08\0\x75\x95\1\1\0\3\2\1\0",
                               b"\3\0\x80\0\0\0\x08\6", b"\3\xb1", b""]))))))
def test_whatever_frames_come_nothing_raises_and_nothing_is_misdelivered(steps: list[tuple[str, bytes]]) -> None:
    play = play_on(servers=1)
    play.open()
    net = play.net
    for name, frame in steps:
        node = net.nodes[name]
        node.octets_from_port("depot-web1", train_of([frame]), net.now)
        for out in net.settle().values():
            assert all(packet in frame for packet in out)
    net.advance(40 * SECOND)
    assert play.client >> "A seq=101 ack=301 len=5" == "web1"
    assert all(parse_lmi(frame).kind == STATUS for sender, _, frame in net.seen
               if sender == "web1" and frame[:2] == b"\0\1")
