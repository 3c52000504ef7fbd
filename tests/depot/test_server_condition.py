"""The depot as a whole: statistics on the management VC, probes, silence, reselection, orphans, a changed table."""

from __future__ import annotations

from itertools import product
from struct import pack
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet import TCP as SCAPY_TCP
from scapy.layers.inet6 import IPv6

from atmdepot.atm.sar import segment
from atmdepot.depot.servers import Outcome
from atmdepot.drops import DropReason
from atmdepot.wire.cell import CellHeader
from atmdepot.wire.flows import flow_key
from atmdepot.wire.statistics import ServerState, Statistics
from tests.depot.playbook import Playbook
from tests.depot.servers import kill
from tests.depot.test_forwarding import PAIRS, vc_of
from tests.ip_packets import ACK, FIN, PSH, RST, SYN, URG, checksum, ip, packed, ping, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, VIP6, InMemoryNetwork, make_network

if TYPE_CHECKING:
    from atmdepot.wire.flows import FlowKey

VPS = ['session_vcis = "64-99"', 'session_vcis = "64-99"\nencapsulation = "llc"', 'crc = "dynamips"',
       'shared_vcs = { "UBR.1" = 33 }\nencapsulation = "llc"\ncrc = "ignore"', 'management_vci = 50\nmtu = 1280']


def key_of(port: int) -> FlowKey:
    return flow_key(6, packed(CLIENT4), port, packed(VIP4), 80)


# Statistics.


@pytest.mark.parametrize("vp", VPS)
def test_statistics_arrive_on_the_management_vc_whatever_the_encapsulation(vp: str) -> None:
    net = InMemoryNetwork(make_network(vp=vp))
    net.to_service(ping(CLIENT4, VIP4, bytes(72)))
    edge = next(edge for edge in net.edges.values() if edge.tx_packets)
    edge.send_statistics(ServerState.ACCEPTS, 1.5, 2, 25_000_000, net.now)
    assert net.settle() == {}
    vci = 50 if "50" in vp else 34 if "33" in vp else 33
    assert vc_of(net.seen[-1][2])[1] == vci
    server = net.depot.management.servers[edge.name]
    assert server.condition.last_report == Statistics(
        ServerState.ACCEPTS, 2, 1, len(edge.flows), 1, 0, 100, 0, 1500, 25_000, net.now)
    assert server.condition.reported_at == net.now
    assert server.load == pytest.approx(0.75 + 0.25)
    assert net.dropped() == {}


def test_report_is_about_the_server_behind_the_edge_node_that_sent_it() -> None:
    net = InMemoryNetwork()
    net.edges["web2"].send_statistics(ServerState.REFUSES, 0, 1, 0, net.now)
    net.settle()
    assert [(name, server.alive) for name, server in net.depot.management.servers.items()] == [
        ("web1", True), ("web2", False)]


def test_reports_that_stop_take_the_server_away_and_bring_it_back() -> None:
    play = Playbook(make_network(tables='[probing]\nstatistics_timeout = "3s"'))
    net, server = play.net, play.net.depot.management.servers["web1"]
    net.edges["web1"].send_statistics(ServerState.ACCEPTS, 0, 1, 0, net.now)
    net.settle()
    play.wait("2999ms")
    assert server.alive
    play.wait("1ms")
    assert not server.alive
    for play.port in range(4000, 4004):
        assert play.client >> "S seq=1" == "web2"
    net.edges["web1"].send_statistics(ServerState.ACCEPTS, 0, 1, 0, net.now)
    net.settle()
    assert server.alive


@pytest.mark.parametrize("sdu", [b"x", bytes(68), ping(CLIENT4, VIP4), Statistics(
    ServerState.SILENT, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1).pack()[:-1]])
def test_a_bad_report_is_counted_at_both_ends(sdu: bytes) -> None:
    net = InMemoryNetwork()
    edge = net.edges["web1"]
    cells = segment(sdu, edge.table.management)
    net.depot.octets_from_port("to-web1", cells, net.now)
    edge.octets_from_port("to-web1", cells, net.now)
    assert net.settle() == {}
    assert net.depot.links["to-web1"].drops == {DropReason.BAD_STATISTICS: 1}
    assert edge.link.drops == {DropReason.BAD_ANNOUNCEMENT: 1}
    assert net.depot.management.servers["web1"].condition.reported_at is None


# Probes.


def test_probe_goes_to_the_server_asked_after_on_the_default_vc_and_counts_for_nothing() -> None:
    play = Playbook()
    depot = play.net.depot
    web2 = depot.management.servers["web2"]
    for play.port in range(4000, 4004):
        depot.probes[key_of(play.port)] = web2
        play.at = "web2"
        assert play.client >> "S seq=100" == "web2"
        assert play.vc == (2, 32)
        del depot.probes[key_of(play.port)]  # the connection goes on without
        assert play.server >> "SA seq=300 ack=101" == "client"
        assert play.client >> "A seq=101 ack=301" == "web2"
        assert (web2.primary_sessions, web2.total_sessions, depot.sessions.opened) == (0, 0, 0)
        assert play.client >> "RA seq=101 ack=301" == "web2"
        assert play.table == "secondary"
        play.wait("4s")
        assert play.table == "none"
    assert web2.primary_sessions == 0
    play.port = 5000
    assert play.client >> "S seq=1" == "web1", "probes took no turns"


@pytest.mark.parametrize("list_", ["alive", "dead"])
def test_probe_reaches_a_server_on_either_list(list_: str) -> None:
    play = Playbook()
    web1 = play.net.depot.management.servers["web1"]
    if list_ == "dead":
        kill(web1)
    web1.draining = True
    play.net.depot.probes[key_of(4000)] = web1
    assert play.client >> "S seq=100" == "web1"
    play.wait("10min")
    assert web1.primary_sessions == 0


def test_probes_alone_are_no_silent_sessions() -> None:
    play = Playbook(make_network(tables="[probing]\nno_ack_sessions = 1"))
    web1 = play.net.depot.management.servers["web1"]
    for play.port in range(4000, 4010):
        play.net.depot.probes[key_of(play.port)] = web1
        play.client >> "S seq=100"
    play.wait("30s")
    assert web1.alive
    assert not web1.condition.suspect


def test_refused_session_asks_for_a_probe_and_a_refused_probe_does_not() -> None:
    play = Playbook()
    servers = play.net.depot.management.servers
    play.net.depot.probes[key_of(4000)] = servers["web1"]
    play.at = play.client >> "S seq=100"
    assert play.server >> "RA seq=0 ack=101" == "client"
    assert not servers["web1"].condition.suspect
    play.port = 4001
    play.at = play.client >> "S seq=100"
    assert play.server >> "RA seq=0 ack=101" == "client"
    assert servers[play.at].condition.suspect
    play.port = 4002
    play.open()
    assert play.server >> "R seq=301" == "client"
    assert not servers[play.at].condition.suspect


# Silence.


def open_from(net: InMemoryNetwork, client: str, port: int) -> None:
    """A session of a client, with a request that waits for its answer."""
    vip = VIP6 if ":" in client else VIP4
    (at, _), = net.to_service(tcp(client, port, vip, 80, SYN, seq=100)).items()
    net.from_server(at, tcp(vip, 80, client, port, SYN | ACK, seq=300, ack=101))
    net.to_service(tcp(client, port, vip, 80, PSH | ACK, seq=101, ack=301, data=bytes(10)))


def test_silent_server_is_noticed_on_several_clients_and_its_next_packet_brings_it_back() -> None:
    net = InMemoryNetwork(make_network(servers=1))
    clients = ("10.9.0.2", "10.9.0.3", "2001:db8::1")
    for client in clients:
        open_from(net, client, 4000)
    for client in clients:
        vip = VIP6 if ":" in client else VIP4
        net.to_service(tcp(client, 4000, vip, 80, PSH | ACK, seq=111, ack=301, data=bytes(10)))
    web1 = net.depot.management.servers["web1"]
    net.advance(3 * SECOND - 1)
    assert not web1.condition.suspect
    net.advance(1)
    assert web1.condition.suspect
    assert web1.alive
    web1.condition.probed(Outcome.SILENT, net.depot.probing.settings, net.now)
    assert not web1.alive
    assert net.to_service(tcp("10.9.0.2", 5000, VIP4, 80, SYN, seq=1)) == {}
    ack = tcp("10.9.0.3", 4000, VIP4, 80, ACK, seq=121, ack=301)
    assert net.to_service(ack) == {"web1": [ack]}, "its sessions stay with it"
    net.from_server("web1", tcp(VIP4, 80, "10.9.0.3", 4000, ACK, seq=301, ack=121))
    assert web1.alive


@pytest.mark.parametrize("tables", ['probe = "none"', 'interval = "10s"', "no_ack_sessions = 1"])
@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8::%x"])
def test_client_whose_packets_a_server_drops_takes_no_server_down(tables: str, client: str) -> None:
    net = InMemoryNetwork(make_network(tables=f"[probing]\n{tables}"))
    servers = net.depot.management.servers.values()
    for second in range(60):
        for n in range(20):
            address = client % n if "%" in client else client
            net.to_service(tcp(address, 6000 + 20 * second + n, VIP6 if ":" in address else VIP4, 80, SYN, seq=5))
        net.advance(SECOND)
        for server in servers:
            if server.condition.suspect:
                server.condition.probed(Outcome.ANSWERED, net.depot.probing.settings, net.now)
    assert all(server.alive and not server.condition.recovered for server in servers)
    assert net.to_service(tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=1)).keys() < {"web1", "web2"}


ERRORS = [(1, 3, 10), (1, 3, 13), (1, 3, 3), (1, 3, 1), (1, 11, 0), (58, 1, 1), (58, 1, 4), (58, 1, 0), (58, 1, 3)]


def error_about(sent: bytes, source: str, client: str, protocol: int, kind: int, code: int) -> bytes:
    body = pack(">BBHI", kind, code, 0, 0) + sent[:48]
    if protocol == 58:
        pseudo = packed(source) + packed(client) + pack(">II", len(body), protocol)
        body = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    else:
        body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    return ip(source, client, protocol, body)


@pytest.mark.parametrize(("protocol", "kind", "code"), ERRORS)
@pytest.mark.parametrize("from_vip", [True, False])
def test_icmp_error_about_a_session_is_an_answer(protocol: int, kind: int, code: int, from_vip: bool) -> None:
    """A router that cannot reach the server's host answers in nobody's stead."""
    vip, router = (VIP6, "fd00:255::2") if protocol == 58 else (VIP4, "10.255.0.2")
    net = InMemoryNetwork(make_network(servers=1))
    condition = net.depot.management.servers["web1"].condition
    for n in range(1, 5):
        client = f"2001:db8:{n}::1" if protocol == 58 else f"203.0.113.{n}"
        syn = tcp(client, 6000, vip, 80, SYN, seq=5)
        net.to_service(syn)
        error = error_about(syn, vip if from_vip else router, client, protocol, kind, code)
        net.from_server("web1", error)
    net.advance(4 * SECOND)
    is_unreachable = (protocol, kind, code) in ((1, 3, 1), (58, 1, 0), (58, 1, 3))
    assert condition.suspect == (is_unreachable and not from_vip)


def test_icmp_error_about_no_session_or_from_another_servers_side_is_no_answer() -> None:
    net = InMemoryNetwork()
    for n in range(1, 9):
        syn = tcp(f"203.0.113.{n}", 6000, VIP4, 80, SYN, seq=5)
        (at, _), = net.to_service(syn).items()
        other = {"web1": "web2", "web2": "web1"}[at]
        net.from_server(other, error_about(syn, VIP4, f"203.0.113.{n}", 1, 3, 10))
        unknown = tcp(f"203.0.113.{n}", 6001, VIP4, 80, SYN, seq=5)
        net.from_server(at, error_about(unknown, VIP4, f"203.0.113.{n}", 1, 3, 10))
    net.advance(4 * SECOND)
    assert all(server.condition.suspect for server in net.depot.management.servers.values())


def test_acks_without_data_wait_for_nothing() -> None:
    play = Playbook(make_network(servers=1, tables="[probing]\nno_ack_sessions = 1"))
    condition = play.net.depot.management.servers["web1"].condition
    play.open()
    play.client >> "A seq=101 ack=301"
    play.wait("60s")
    assert not condition.suspect
    play.client >> "PA seq=101 ack=301 len=1"
    play.wait("3s")
    assert condition.suspect


# Reselection.


@pytest.mark.parametrize("option", [True, False])
def test_syn_that_a_dead_server_never_answered_is_given_another_where_the_table_says_so(option: bool) -> None:
    play = Playbook(make_network(tables=f"[sessions]\nreselect = {str(option).lower()}"))
    servers = play.net.depot.management.servers
    assert play.client >> "S seq=100" == "web1"
    assert play.client >> "S seq=100" == "web1", "it is alive"
    kill(servers["web1"])
    assert play.client >> "S seq=100" == ("web2" if option else "web1")
    assert [server.primary_sessions for server in servers.values()] == ([0, 1] if option else [1, 0])
    assert len(play.net.depot.sessions.primary) == 1


def test_session_that_was_answered_is_never_given_another_server() -> None:
    play = Playbook(make_network(tables="[sessions]\nreselect = true"))
    assert play.client >> "S seq=100" == "web1"
    assert play.server >> "SA seq=300 ack=101" == "client"
    kill(play.net.depot.management.servers["web1"])
    assert play.client >> "S seq=100" == "web1"
    assert play.client >> "A seq=101 ack=301" == "web1"
    assert play.client >> "S seq=100" == "web1"


# Orphans.

NO_RESET = [RST, RST | ACK, SYN, SYN | ACK, SYN | FIN, RST | SYN]


@pytest.mark.parametrize(("client", "vip"), PAIRS)
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, FIN | ACK, FIN, 0, URG])
@pytest.mark.parametrize("size", [0, 1, 700])
def test_orphan_is_told_so_by_an_rst_that_its_tcp_believes(client: str, vip: str, flags: int, size: int) -> None:
    """RFC 9293 section 3.10.7.1; scapy reads it, and computes the checksums once more."""
    net = InMemoryNetwork(make_network(tables='[sessions]\norphan = "reset"'))
    packet = tcp(client, 4000, vip, 80, flags, seq=2**32 - 3, ack=777, data=bytes(size))
    ((where, (octets,)),) = net.to_service(packet).items()
    assert where == "depot"
    reset = (IP if client == CLIENT4 else IPv6)(octets)
    assert (reset.src, reset.dst) == (vip, client)
    segment_ = reset[SCAPY_TCP]
    assert (segment_.sport, segment_.dport, len(segment_.payload), segment_.dataofs) == (80, 4000, 0, 5)
    if flags & ACK:
        assert (segment_.flags, segment_.seq) == ("R", 777)
    else:
        end = (2**32 - 3 + size + bool(flags & FIN)) % 2**32
        assert (segment_.flags, segment_.seq, segment_.ack) == ("RA", 0, end)
    again = reset.copy()
    del again[SCAPY_TCP].chksum
    if client == CLIENT4:
        del again.chksum
    assert bytes(again) == octets
    assert net.dropped() == {DropReason.NO_SESSION: 1}


@pytest.mark.parametrize(("client", "vip"), PAIRS)
def test_nothing_resets_a_reset_or_a_syn(client: str, vip: str) -> None:
    net = InMemoryNetwork(make_network(tables='[sessions]\norphan = "reset"\nmax_sessions = 1'))
    ((server, _),) = net.to_service(tcp(client, 1, vip, 80, SYN)).items()
    net.from_server(server, tcp(vip, 80, client, 1, SYN | ACK, ack=1))
    net.to_service(tcp(client, 1, vip, 80, ACK, seq=1, ack=1))
    for flags, port in product(NO_RESET, (80, 81)):
        assert net.to_service(tcp(client, 4000, vip, port, flags)) == {}


def test_nobody_elses_address_resets_and_the_patents_way_is_to_drop() -> None:
    net = InMemoryNetwork(make_network(tables='[sessions]\norphan = "reset"'))
    assert net.to_service(tcp(CLIENT4, 4000, "10.80.0.99", 80, ACK)) == {}
    assert net.to_service(tcp(CLIENT4, 4000, VIP4, 81, ACK)).keys() == {"depot"}, "a VIP has no such port"
    net = InMemoryNetwork()
    assert net.to_service(tcp(CLIENT4, 4000, VIP4, 80, ACK)) == {}


# A changed table.


def test_sessions_survive_the_loss_of_their_server_from_its_pool() -> None:
    play = Playbook(make_network(servers=3))
    assert play.open() == "web1"
    vc = play.vc
    network = make_network(servers=3)
    network.services["web"].servers = ["web2", "web3"]
    play.net.depot.reconfigure(network, play.net.now)
    for _ in range(3):
        assert play.client >> "PA seq=101 ack=301 len=10" == "web1"
        assert play.vc == vc
        assert play.server >> "A seq=301 ack=111" == "client"
    play.close()
    for play.port in range(5000, 5004):
        assert play.client >> "S seq=1" == ("web2", "web3")[play.port % 2]
    play.wait("1h")
    assert play.net.depot.management.servers["web1"].primary_sessions == 0


def test_sessions_stay_where_they_are_when_servers_change_places() -> None:
    """The VP that a session has counts, not the place where its server would be found now."""
    play = Playbook()
    assert play.open() == "web1"
    network = make_network()
    network.servers["web1"].node, network.servers["web2"].node = "web2", "web1"
    play.net.depot.reconfigure(network, play.net.now)
    assert play.client >> "A seq=101 ack=301" == "web1"
    assert play.server >> "A seq=301 ack=101" == "client"
    servers = play.net.depot.management.servers
    assert (servers["web1"].link, servers["web2"].link) == ("to-web2", "to-web1")


def test_a_reload_keeps_the_condition_of_a_server_and_changes_its_settings() -> None:
    play = Playbook()
    depot = play.net.depot
    web1, web2 = depot.management.servers.values()
    kill(web1, 5)
    web2.draining = True
    network = make_network(tables='[sessions]\nidle = "7s"\n[probing]\nfall = 9')
    network.servers["web2"].weight = 5
    network.services["web"].balancing = "maglev"
    depot.reconfigure(network, SECOND)
    assert list(depot.management.servers.values()) == [web1, web2]
    assert (web1.alive, web1.condition.since, web2.draining, web2.settings.weight) == (False, 5, True, 5)
    assert (depot.sessions.timers.idle, depot.probing.settings.fall) == (7 * SECOND, 9)
    assert depot.management.pools["web"].balancer.keyed


def test_turns_go_on_over_a_change_that_does_not_touch_the_criterion() -> None:
    play = Playbook()
    got = []
    for play.port in range(4000, 4010):
        play.net.depot.reconfigure(make_network(), play.net.now)
        got.append(play.client >> "S seq=1")
    assert got == ["web1", "web2"] * 5, "the one that was chosen ahead keeps its turn"


@pytest.mark.parametrize("change", [{"weight": 0}, {"backup": True}])
def test_server_that_may_no_more_be_chosen_loses_the_turn_that_it_had_ahead(change: dict[str, object]) -> None:
    play = Playbook()
    assert play.client >> "S seq=1" == "web1"
    network = make_network()
    for name, value in change.items():
        setattr(network.servers["web2"], name, value)
    play.net.depot.reconfigure(network, play.net.now)
    for play.port in range(5000, 5003):
        assert play.client >> "S seq=1" == "web1"


def test_load_counts_the_condition_of_the_way() -> None:
    """Of the PDUs since the report before, the share that came damaged or with EFCI is added to the load."""
    net = InMemoryNetwork()
    depot, edge = net.depot, net.edges["web1"]
    link, server = depot.links["to-web1"], depot.management.servers["web1"]

    def report() -> float | None:
        edge.send_statistics(ServerState.ACCEPTS, 0.0, 1, 0, net.now)
        depot.octets_from_port("to-web1", edge.link.transmit(0), net.now)
        return server.load

    assert report() == 0
    # One of the next four PDUs is damaged, and the report itself is the fourth.
    train = segment(b"E" + bytes(99), edge.table.default)
    depot.octets_from_port("to-web1", train + train, net.now)
    depot.octets_from_port("to-web1", train[:-1] + b"?", net.now)
    assert report() == 1 / 4
    assert report() == 0
    # One of the next two met congestion in its last cell.
    header = CellHeader.unpack(train[-53:-48])
    depot.octets_from_port("to-web1", train[:-53] + header._replace(pti=0b011).pack() + train[-48:], net.now)
    assert report() == 1 / 2
    assert link.rx_congested == 1
