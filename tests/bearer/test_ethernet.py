"""Servers on Ethernet: frames out and in, who is believed, what is dropped, and what the depot makes of it."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bearer.ethernet_port import CHECKED, LOOK, EthernetPort
from atmdepot.bearer.neighbours import PAUSE, TRIES
from atmdepot.config.reading import NetworkError, parse
from atmdepot.drops import OF_FRAMES
from atmdepot.errors import AtmdepotError
from atmdepot.wire.arp import REPLY, REQUEST, Arp
from atmdepot.wire.discovery import ADVERTISEMENT, Discovery
from atmdepot.wire.ethernet import BROADCAST, Frame, mac_of, parse_frame
from atmdepot.wire.frame_records import LENGTH_SIZE, TAGGED, moved, record_of, records
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from atmdepot.wire.offload import HEADER_LENGTH, NEEDS_CSUM, VirtioNetHeader, cut, frame_of, packets_of
from tests.effort import examples
from tests.ip_packets import ACK, SYN, packed, tcp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork, make_network
from tests.stations import DEPOT_ADDRESSES, DEPOT_MAC, Station
from tests.wire.frames import Stream

if TYPE_CHECKING:
    from atmdepot.bearer.ethernet import EthernetBearer
    from atmdepot.config.model import Network

WEB1, WEB2, STRANGER = mac_of("web1"), mac_of("web2"), mac_of("stranger")
WEB1_IP, WEB2_IP = bytes((10, 60, 0, 11)), bytes.fromhex("fd000060") + bytes(11) + b"\x12"
SYN4 = tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=100)
ANSWER4 = tcp(VIP4, 80, CLIENT4, 4000, SYN | ACK, seq=300, ack=101)


def ethernet(**options: str) -> Network:
    return make_network(bearers=["ethernet"], **options)  # type: ignore[arg-type]


def network() -> InMemoryNetwork:
    return InMemoryNetwork(ethernet())


def port(net: InMemoryNetwork, name: str = "eth1") -> EthernetPort:
    found = net.depot.links[name]
    assert isinstance(found, EthernetPort)
    return found


def take(net: InMemoryNetwork, octets: bytes, name: str = "eth1") -> dict[str, list[bytes]]:
    """Give the depot a frame."""
    net.depot.octets_from_port(name, record_of(octets), net.now)
    return net.settle()


def counted(net: InMemoryNetwork) -> dict[str, int]:
    return {str(reason): count for reason, count in net.dropped().items() if count}


def states(net: InMemoryNetwork) -> dict[str, str]:
    bearer: EthernetBearer = net.depot.bearer.part("ethernet")
    return {state.node: state.mac for state in bearer.stations()}


def test_packets_go_out_and_come_back_as_they_are_in_frames_with_the_right_addresses() -> None:
    net = network()
    assert net.to_service(SYN4) == {"web1": [SYN4]}
    (_, _, octets), = [seen for seen in net.seen if seen[0] == "depot"]
    (record,) = records(octets)
    assert parse_frame(record[HEADER_LENGTH:]) == Frame(WEB1, DEPOT_MAC, ETHERTYPE_IPV4, SYN4)
    assert net.from_server("web1", ANSWER4) == {"depot": [ANSWER4]}
    six = tcp(CLIENT6, 4000, VIP6, 80, SYN)
    assert net.to_service(six) == {"web2": [six]}, "its own address is of IPv6, and both kinds go there"
    assert counted(net) == {}


def test_a_server_answers_for_no_other() -> None:
    net = network()
    net.to_service(SYN4)
    assert net.from_server("web2", ANSWER4) == {}
    assert counted(net) == {"wrong-vp": 1}


def test_padding_of_the_lan_is_taken_off() -> None:
    net = network()
    net.to_service(SYN4)
    assert take(net, Frame(DEPOT_MAC, WEB1, ETHERTYPE_IPV4, ANSWER4).pack().ljust(60, b"\0")) == {"depot": [ANSWER4]}


FRAMES = {
    "stranger": Frame(DEPOT_MAC, STRANGER, ETHERTYPE_IPV4, ANSWER4).pack(),
    "not-for-us": Frame(STRANGER, WEB1, ETHERTYPE_IPV4, ANSWER4).pack(),
    "other-frame": Frame(DEPOT_MAC, WEB1, 0x86DD + 1, ANSWER4).pack(),
    "cut-frame": DEPOT_MAC + WEB1[:2],
    "tagged-frame": Frame(DEPOT_MAC, WEB1, ETHERTYPE_IPV4, ANSWER4).pack()[:TAGGED],
    "bad-answer": Frame(DEPOT_MAC, WEB1, ETHERTYPE_ARP, Arp(REPLY, WEB1, WEB1_IP, DEPOT_MAC, bytes(4)).pack()[:20]
                        ).pack(),
    "claimed": Frame(BROADCAST, STRANGER, ETHERTYPE_ARP, Arp(REQUEST, STRANGER, WEB1_IP, bytes(6), WEB1_IP).pack()
                     ).pack(),
}


@pytest.mark.parametrize("reason", FRAMES)
def test_what_is_dropped_is_counted_by_its_reason_and_reaches_nobody(reason: str) -> None:
    net = network()
    net.to_service(SYN4)
    assert take(net, FRAMES[reason]) == {}
    assert counted(net) == {reason: 1}
    assert net.from_server("web1", ANSWER4) == {"depot": [ANSWER4]}, "nothing was learnt from it"


def test_frames_to_a_group_are_not_for_us() -> None:
    net = network()
    net.to_service(SYN4)
    assert take(net, Frame(BROADCAST, WEB1, ETHERTYPE_IPV4, ANSWER4).pack()) == {}
    assert counted(net) == {"not-for-us": 1}


def test_the_reasons_of_frames_are_those_of_its_port() -> None:
    assert {str(reason) for reason in OF_FRAMES} == {
        *FRAMES, "bad-offload", "frame-overflow", "frame-refused", "unresolved"}


def answer(mac: bytes) -> bytes:
    return Frame(DEPOT_MAC, mac, ETHERTYPE_ARP, Arp(REPLY, mac, WEB1_IP, DEPOT_MAC, DEPOT_ADDRESSES[0]).pack()).pack()


def test_an_answer_that_nobody_asked_for_moves_nothing_and_has_the_server_asked() -> None:
    net = network()
    before = net.edges["web1"].asked
    take(net, answer(STRANGER))
    assert (states(net)["web1"], counted(net)) == (WEB1.hex(":"), {"claimed": 1})
    net.advance(LOOK)
    assert net.edges["web1"].asked > before, "it was asked at its known address"
    take(net, answer(STRANGER))
    assert states(net)["web1"] == WEB1.hex(":"), "nor after its own answer"


def test_a_server_that_moves_to_another_card_is_found_again() -> None:
    net = network()
    net.edges["web1"].mac = STRANGER
    net.advance(CHECKED + (TRIES + 1) * PAUSE + LOOK)
    assert states(net)["web1"] == STRANGER.hex(":")
    assert net.to_service(SYN4) == {"web1": [SYN4]}
    bearer: EthernetBearer = net.depot.bearer.part("ethernet")
    assert bearer.stations()[0].changes == 2


def test_a_pinned_address_is_never_given_up() -> None:
    table = ethernet().servers["web1"]
    assert table.mac is None
    net = InMemoryNetwork(parse("\n".join([
        'name = "m"', '[nodes.depot]', 'kind = "depot"', '[servers.web1]', 'bearer = "ethernet"', 'port = "eth1"',
        'address = ["10.60.0.11"]', f'mac = "{WEB1.hex(":")}"', '[services.web]', f'vip = ["{VIP4}"]',
        'servers = ["web1"]'])))
    take(net, answer(STRANGER))
    net.advance(100 * SECOND)
    assert (states(net)["web1"], net.edges["web1"].asked, counted(net)) == (WEB1.hex(":"), 0, {"claimed": 1})
    assert net.to_service(SYN4) == {"web1": [SYN4]}


def test_a_server_that_does_not_answer_is_dead_and_what_waits_for_it_is_dropped() -> None:
    net = network()
    net.edges["web1"].answers = False
    net.restart_depot()
    assert net.to_service(SYN4) == {}
    server = net.depot.management.servers["web1"]
    assert server.alive, "it has not been asked often enough"
    net.advance((TRIES + 1) * PAUSE)
    assert (server.alive, counted(net)) == (False, {"unresolved": 1})
    assert "10.60.0.11 does not answer for its MAC address on eth1" in server.condition.why
    net.edges["web1"].answers = True
    net.advance(2 * PAUSE)
    assert server.alive
    assert "web1" in net.to_service(SYN4)


def test_packets_that_wait_are_bounded_and_leave_when_the_answer_comes() -> None:
    net = network()
    net.edges["web1"].answers = False
    net.restart_depot()
    for seq in range(20):
        net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=100, data=bytes(seq)))
    assert counted(net) == {"unresolved": 4}
    net.edges["web1"].answers = True
    net.depot.octets_from_port("eth1", record_of(answer(WEB1)), net.now)
    assert len(net.settle()["web1"]) == 16


def test_an_interface_that_goes_down_takes_its_servers_out() -> None:
    net = network()
    port(net).trouble = "port eth1: it is down"
    net.advance(LOOK)
    servers = net.depot.management.servers
    assert (servers["web1"].alive, servers["web2"].alive) == (False, True)
    port(net).trouble = ""
    net.advance(LOOK)
    assert servers["web1"].alive


def test_a_claim_by_neighbour_discovery_is_counted() -> None:
    net = network()
    told = Discovery(ADVERTISEMENT, WEB2_IP, DEPOT_ADDRESSES[1], WEB2_IP, STRANGER, True, True)
    take(net, Frame(DEPOT_MAC, STRANGER, ETHERTYPE_IPV6, told.pack()).pack(), "eth2")
    assert (states(net)["web2"], counted(net)) == (WEB2.hex(":"), {"claimed": 1})


@pytest.mark.both_twins
def test_a_frame_of_many_segments_comes_whole_and_is_its_packets() -> None:
    net = network()
    net.to_service(SYN4)
    net.from_server("web1", ANSWER4)
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=301))
    stream = Stream(source=packed(VIP4), destination=packed(CLIENT4), ports=(80, 4000), sequence=301,
                    acknowledgment=101)
    head = Frame(DEPOT_MAC, WEB1, ETHERTYPE_IPV4, b"").pack()
    record = moved(stream.frame[:HEADER_LENGTH], len(head)) + head + stream.frame[HEADER_LENGTH:]
    for whole in (False, True):
        net.depot.keep_frames(whole)
        net.depot.octets_from_port("eth1", len(record).to_bytes(LENGTH_SIZE, "big") + record, net.now)
        assert packets_of(net.depot.take_packets()) == cut(stream.frame)


def test_a_frame_goes_out_as_the_kernel_cuts_it() -> None:
    net = network()
    net.to_service(SYN4)
    net.from_server("web1", ANSWER4)
    net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=301))
    stream = Stream(source=packed(CLIENT4), destination=packed(VIP4), ports=(4000, 80), sequence=101,
                    acknowledgment=301)
    frame = frame_of(stream.frame)
    assert frame is not None
    net.depot.packets_from_host([frame], net.now)
    assert len(list(records(net.depot.links["eth1"].transmit(net.now)))) == 1
    net.depot.packets_from_host([frame_of(stream.frame)], net.now)
    assert net.settle() == {"web1": cut(stream.frame)}


def test_a_frame_whose_offload_contradicts_it_is_counted() -> None:
    net = network()
    frame = Frame(DEPOT_MAC, WEB1, ETHERTYPE_IPV4, ANSWER4).pack()
    record = VirtioNetHeader(NEEDS_CSUM, csum_start=9000, csum_offset=16).pack() + frame
    net.depot.octets_from_port("eth1", len(record).to_bytes(LENGTH_SIZE, "big") + record, net.now)
    assert counted(net) == {"bad-offload": 1}


@examples(300)
@given(st.lists(st.binary(max_size=200) | st.sampled_from(list(FRAMES.values())), max_size=6), st.binary(
    min_size=HEADER_LENGTH, max_size=HEADER_LENGTH))
def test_hostile_frames_raise_nothing_and_reach_no_client(frames: list[bytes], header: bytes) -> None:
    net = network()
    for frame in frames:
        for octets in (frame, DEPOT_MAC + WEB1 + frame):
            record = header + octets
            net.depot.octets_from_port("eth1", len(record).to_bytes(LENGTH_SIZE, "big") + record, net.now)
    assert "depot" not in net.settle()


def test_a_depot_with_stations_can_be_pickled() -> None:
    net = network()
    again = pickle.loads(pickle.dumps(net.depot))
    assert again.bearer.part("ethernet").stations()[0].mac == WEB1.hex(":")


def test_mixed_bearers_serve_one_service() -> None:
    net = InMemoryNetwork(make_network(servers=4, bearers=["atm", "ethernet"]))
    served = [next(iter(net.to_service(tcp(CLIENT4, 4000 + n, VIP4, 80, SYN)))) for n in range(4)]
    assert sorted(served) == ["web1", "web2", "web3", "web4"]
    assert isinstance(net.edges["web2"], Station)
    assert net.depot.bearer.part("atm").kind == "atm"
    assert {"vcis-exhausted", "mac-changes"} == {counter.name for counter in net.depot.bearer.counters()}


def test_a_reload_adds_a_server_at_an_open_port_and_refuses_another_port() -> None:
    net = network()
    more = make_network(bearers=["ethernet"], servers=3)
    net.depot.reconfigure(more, net.now)
    assert net.depot.bearer.default("web3").port == "eth1"
    port(net).handle_timer(net.now + LOOK)
    assert states(net)["web3"] == "", "it is asked for now"
    elsewhere = parse("\n".join([
        'name = "memory"', '[nodes.depot]', 'kind = "depot"', '[servers.web9]', 'bearer = "ethernet"', 'port = "eth9"',
        'address = ["10.60.9.9"]', '[services.web]', f'vip = ["{VIP4}"]', 'servers = ["web9"]']))
    with pytest.raises(AtmdepotError, match="eth9 is opened by a restart only"):
        net.depot.reconfigure(elsewhere, net.now)
    assert set(net.depot.management.servers) == {"web1", "web2", "web3"}, "nothing was taken over"


MISTAKES = {
    'port = "eth1"':
        "servers.web1.port: a server with bearer = \"ethernet\" is at an interface of the depot's: write port",
    'address = ["10.60.0.11"]': (
        "servers.web1.address: the depot finds the server by its own address on the Ethernet: write address = "
        "[\"192.0.2.10\"], or its mac"),
    'bearer = "ethernet"': (
        "servers.web1.port: only a server with bearer = \"ethernet\" or \"rewrite\" has it, and this one's is \"atm\": "
        "leave it out"),
}


@pytest.mark.parametrize("old", MISTAKES)
def test_mistakes_in_a_table(old: str) -> None:
    text = "\n".join(['name = "m"', '[nodes.depot]', 'kind = "depot"', '[servers.web1]', 'bearer = "ethernet"',
                      'port = "eth1"', 'address = ["10.60.0.11"]', '[services.web]', f'vip = ["{VIP4}"]',
                      'servers = ["web1"]'])
    parse(text)
    with pytest.raises(NetworkError) as caught:
        parse(text.replace(old, ""))
    assert MISTAKES[old] in str(caught.value)
