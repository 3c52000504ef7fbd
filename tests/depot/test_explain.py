"""An explanation is what then happens, to the last cell; and nothing has moved when it was given."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from atmdepot.config.pools import Server as ServerSettings
from atmdepot.config.units import Duration
from atmdepot.depot.balancing.registry import BALANCERS
from atmdepot.depot.explain import Explanation, explain
from atmdepot.depot.reasons import flags_words
from atmdepot.drops import DropReason
from atmdepot.wire.cell import CELL_SIZE, CellHeader
from atmdepot.wire.flows import flow_of_key
from atmdepot.wire.packet import analyse
from tests.depot.playbook import Playbook
from tests.depot.servers import kill, revive
from tests.effort import examples
from tests.ip_packets import ACK, CWR, ECE, FIN, RST, SYN, TCP, UDP, icmp_error, ip, ping, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork, make_network
from tests.packets import no_packets

if TYPE_CHECKING:
    from atmdepot.depot.forwarding import Depot
    from atmdepot.depot.servers import Server
    from atmdepot.depot.session import Session

OTHER_VIP = "10.80.0.9"
OTHER_SERVICE = f'[services.other]\nvip = ["{OTHER_VIP}"]\nservers = ["web2"]\n'
VPS = ['session_vcis = "64-65535"', 'session_vcis = "64-65"\nencapsulation = "llc"\nmtu = 1500', 'session_vcis = 64',
       'shared_vcs = { "UBR.1" = 40, "CBR" = 41 }', ""]
SERVER_CHANGES: list[dict[str, Any]] = [
    {}, {}, {"weight": 3}, {"weight": 0}, {"backup": True}, {"max_sessions": 1},
    {"weight": 2, "slow_start": Duration.parse("1min")}]
CLIENTS = {VIP4: [CLIENT4, "10.9.0.3", "192.0.2.77"], VIP6: [CLIENT6], OTHER_VIP: [CLIENT4], "10.80.0.2": [CLIENT4]}


def change(server: Server, **settings: Any) -> None:
    """As a reload of another VC table does it."""
    server.configure(server.position, ServerSettings(node=server.name, **settings), server.link)


def feed(net: InMemoryNetwork, octets: bytes) -> dict[str, Any]:
    """Give the depot a packet; what it did with it, in the words of an explanation. The edge nodes get the cells."""
    depot = net.depot
    drops, there = depot.drops.copy(), sessions_of(depot)
    depot.packet_from_tun(octets, net.now)
    lost = set(depot.drops - drops)
    session = next((session for session in sessions_of(depot) if session not in there), None)
    happened: dict[str, Any] = {"reason": "", "answer": "", "opens": session is not None}
    if session is not None:
        happened |= {"server": session.server.name, "vc": f"{session.path.vc.vpi}/{session.path.vc.vci}",
                     "category": session.path.vc.category, "contract": str(session.path.vc.contract)}
    if depot.packets_out:
        (answer,) = depot.packets_out
        happened["answer"] = "RST" if analyse(answer).protocol == TCP else "ICMP"
    trains = [(name, link.cells_out[0]) for name, link in depot.links.items() if link.cells_out]
    if trains:
        happened |= {"outcome": "forwarded"} | seen_on_link(depot, *trains[0])
    elif is_held(depot, octets):
        happened["outcome"] = "held"
    else:
        # Beside the packet's own loss, fragments may have been given up in favour of it.
        happened |= {"outcome": "dropped", "reason": next(iter(lost - {DropReason.FRAGMENT}), DropReason.FRAGMENT)}
        assert lost
    net.settle()
    return happened


def seen_on_link(depot: Depot, link: str, train: bytes) -> dict[str, Any]:
    header = CellHeader.unpack(train[:5])
    return {"link": link, "vc": f"{header.vpi}/{header.vci}", "clp": header.clp, "cells": len(train) // CELL_SIZE}


def sessions_of(depot: Depot) -> list[Session]:
    return [*depot.sessions.primary.values(), *depot.sessions.secondary.values()]


def is_held(depot: Depot, octets: bytes) -> bool:
    return any(held.octets is octets for entry in depot.fragments._entries.values() for held in entry.held)


def explained(net: InMemoryNetwork, octets: bytes) -> Explanation:
    """The explanation of a packet, which moves nothing: random numbers, turns, caches and counters included."""
    before = pickle.dumps(net.depot)
    told = explain(net.depot, octets, net.now)
    assert pickle.dumps(net.depot) == before
    return told


def check(net: InMemoryNetwork, octets: bytes) -> Explanation:
    """Explain a packet, then send it: it must go as was said."""
    told = explained(net, octets)
    known = net.depot.sessions.find(analyse(octets).key) if told.session is not None else None
    if known is not None:
        assert told.session == known.number
        assert told.server == known.server.name
    happened = feed(net, octets)
    told_of = told.path | {key: getattr(told, key) for key in told.__struct_fields__}
    assert {key: told_of[key] for key in happened} == happened
    if told.path["link"]:
        assert told.path["link"] == f"to-{told.server}"
        assert told.path["vp"] == told.server
    assert told.octets == len(octets)
    assert told.verdict.split(" ")[0].rstrip(":") == told.outcome
    return told


def stages(told: Explanation, stage: str) -> list[str]:
    return [step.text for step in told.steps if step.stage == stage]


# Whatever comes, in any order.


ports = st.integers(4000, 4003)
numbers = st.sampled_from([100, 101, 102, 500])
dscps = st.sampled_from([0, 0, 46, 10, 12, 18, 8, 63])
payloads = st.sampled_from([0, 0, 1, 300, 1460, 9200]).map(bytes)
vips = st.sampled_from([VIP4] * 4 + [VIP6, OTHER_VIP, "10.80.0.2"])


@st.composite
def ends(draw: st.DrawFn) -> tuple[str, int, str, int]:
    vip = draw(vips)
    return draw(st.sampled_from(CLIENTS[vip])), draw(ports), vip, draw(st.sampled_from([80] * 5 + [81]))


@st.composite
def tcp_packets(draw: st.DrawFn) -> bytes:
    flags = draw(st.sampled_from([SYN] * 5 + [SYN | ECE | CWR, ACK, ACK, FIN | ACK, RST, SYN | ACK, SYN | FIN, 0]))
    return tcp(*draw(ends()), flags, seq=draw(numbers), ack=draw(st.sampled_from([0, 301, 302])), data=draw(payloads),
               dscp=draw(dscps))


@st.composite
def fragments(draw: st.DrawFn) -> bytes:
    """A first fragment (with ports) or a later one of a few packets."""
    client, port, vip, service_port = draw(ends().filter(lambda ends: ":" not in ends[0]))
    segment, datagram = tcp(client, port, vip, service_port, SYN, seq=100), udp(client, port, vip, service_port)
    body, protocol = draw(st.sampled_from([(segment[20:], TCP), (datagram[20:], UDP)]))
    first = draw(st.booleans())
    return ip(client, vip, protocol, body if first else bytes(draw(st.sampled_from([8, 2000]))),
              identification=draw(st.integers(1, 2)), fragment=0x2000 if first else 0x2003, dscp=draw(dscps))


@st.composite
def errors(draw: st.DrawFn) -> bytes:
    """An ICMP error about a server's packet."""
    client, port, vip, service_port = draw(ends())
    make = draw(st.sampled_from([lambda *ends: tcp(*ends, ACK), udp]))
    return icmp_error(client, vip, make(vip, service_port, client, port)[:68])


others = st.builds(lambda pair, data: ping(pair[0], pair[2], data), ends(), payloads)
multicast = st.just(tcp(CLIENT4, 1, "224.0.0.1", 80, SYN))
client_packets = st.one_of(
    tcp_packets(), tcp_packets(), st.builds(lambda pair, data: udp(*pair, data), ends(), payloads), others, errors(),
    fragments(), st.builds(lambda pair: ip(pair[0], pair[2], 132, b"x"), ends()), multicast, no_packets)
timers = st.builds(
    "[sessions]\n{}\nreselect = {}\norphan = \"{}\"\n".format,
    st.sampled_from(["max_sessions = 2\nmax_half_open = 1", "max_sessions = 3\nmax_half_open = 2", "max_sessions = 5",
                     "max_sessions = 1000\nmax_half_open = 2", "max_half_open = 1", "max_sessions = 1"]),
    st.sampled_from(["false", "true"]),
    st.sampled_from(["drop", "reset"]))


class Explaining(RuleBasedStateMachine):
    """A depot whose every packet is explained first."""

    @initialize(balancing=st.sampled_from(sorted(BALANCERS)), vp=st.sampled_from(VPS), timers=timers)
    def start(self, balancing: str, vp: str, timers: str) -> None:
        self.net = InMemoryNetwork(make_network(
            servers=3, vp=vp, tables=f'balancing = "{balancing}"\n{OTHER_SERVICE}{timers}'))
        self.servers = list(self.net.depot.management.servers.values())

    @rule(octets=client_packets)
    def a_packet_comes(self, octets: bytes) -> None:
        check(self.net, octets)

    @rule(octets=tcp_packets(), count=st.integers(2, 5))
    def sessions_are_opened(self, octets: bytes, count: int) -> None:
        for _ in range(count):
            check(self.net, octets)

    def _tcp_sessions(self) -> list[Session]:
        return [session for session in sessions_of(self.net.depot)
                if session.is_tcp and len(flow_of_key(session.key)[1]) == 4]

    @precondition(lambda self: self._tcp_sessions())
    @rule(data=st.data(), flags=st.sampled_from([SYN | ACK, SYN | ACK, ACK, FIN | ACK, RST | ACK]))
    def a_server_answers(self, data: st.DataObject, flags: int) -> None:
        session = data.draw(st.sampled_from(self._tcp_sessions()))
        _, client, port, vip, service_port = flow_of_key(session.key)
        octets = tcp(vip, service_port, client, port, flags, seq=300 + (not flags & SYN), ack=session.client.end)
        self.net.from_server(session.server.name, octets)

    @rule(data=st.data(), what=st.sampled_from(["kill", "kill", "revive", "drain", "undrain", "load", "settings"]))
    def a_server_changes(self, data: st.DataObject, what: str) -> None:
        server: Server = data.draw(st.sampled_from(self.servers))
        if what == "kill":
            kill(server, self.net.now)
        elif what == "revive":
            revive(server, self.net.now)
        elif what == "load":
            server.load = data.draw(st.sampled_from([None, 0.1, 0.9]))
        elif what == "settings":
            change(server, **data.draw(st.sampled_from(SERVER_CHANGES)))
        else:
            server.draining = what == "drain"

    @rule(seconds=st.sampled_from([1, 7, 40, 80, 130, 1300]), noticed=st.booleans())
    def time_passes(self, seconds: int, noticed: bool) -> None:
        """With timers that fire when they should, or late."""
        if noticed:
            self.net.advance(seconds * SECOND)
        else:
            self.net.now += seconds * SECOND


TestExplaining = Explaining.TestCase


# Each reason, each step.


def fill_fragments(net: InMemoryNetwork) -> None:
    """A packet may have 128 KB that wait for its first fragment."""
    for _ in range(2):
        net.to_service(ip(CLIENT4, VIP4, UDP, bytes(65_400), identification=7, fragment=3))


def without_servers(net: InMemoryNetwork) -> None:
    for server in net.depot.management.servers.values():
        kill(server, net.now)


def with_a_session(net: InMemoryNetwork) -> None:
    """Established, so that nothing pushes it out."""
    play = Playbook(net=net)
    play.port = 9
    play.open()


def asking(net: InMemoryNetwork) -> None:
    """The edge nodes are asked for their sessions, and have not answered."""
    net.depot.start(net.now)
    for port in net.depot.links.values():
        port.transmit(net.now)


def nothing(net: InMemoryNetwork) -> None:
    pass


SYN_PACKET = tcp(CLIENT4, 4000, VIP4, 80, SYN)
DROPPED: list[tuple[DropReason, Any, bytes]] = [
    (DropReason.NOT_IP, nothing, b"\x10" * 40),
    (DropReason.MALFORMED, nothing, SYN_PACKET[:30]),
    (DropReason.MULTICAST, nothing, tcp(CLIENT4, 4000, "224.0.0.1", 80, SYN)),
    (DropReason.NOT_A_SERVICE, nothing, tcp(CLIENT4, 4000, VIP4, 81, SYN)),
    (DropReason.NOT_A_SERVICE, nothing, udp(CLIENT4, 4000, VIP4, 81)),
    (DropReason.NOT_A_SERVICE, nothing, ping(CLIENT4, "10.80.0.2")),
    (DropReason.NO_SESSION, nothing, tcp(CLIENT4, 4000, VIP4, 80, ACK)),
    (DropReason.RECALLING, asking, tcp(CLIENT4, 4000, VIP4, 80, ACK)),
    (DropReason.TABLE_FULL, with_a_session, SYN_PACKET),
    (DropReason.TABLE_FULL, with_a_session, udp(CLIENT4, 4000, VIP4, 80)),
    (DropReason.NO_SERVER, without_servers, SYN_PACKET),
    (DropReason.NO_SERVER, without_servers, udp(CLIENT4, 4000, VIP4, 80)),
    (DropReason.NO_SERVER, without_servers, ping(CLIENT4, VIP4)),
    (DropReason.FRAGMENT, fill_fragments, ip(CLIENT4, VIP4, UDP, bytes(800), identification=7, fragment=3)),
    (DropReason.NOT_A_SERVICE, nothing, ip(CLIENT4, "10.80.0.2", UDP, bytes(8), identification=7, fragment=3)),
    (DropReason.NO_SESSION, nothing, icmp_error("192.0.2.1", VIP4, tcp(VIP4, 80, CLIENT4, 4000, ACK))),
    (DropReason.NO_SESSION, nothing, icmp_error("192.0.2.1", VIP4, bytes(20))),
    (DropReason.NO_SERVER, without_servers, icmp_error("192.0.2.1", VIP4, ping(VIP4, CLIENT4, reply=True))),
    (DropReason.TOO_BIG, nothing, tcp(CLIENT4, 4000, VIP4, 80, SYN, data=bytes(9141))),
]
OF_OTHER_PLACES = {DropReason.WRONG_PATH, DropReason.TUN_QUEUE_FULL, DropReason.TUN_ERROR, DropReason.UNRESOLVED,
                   DropReason.NO_ROUTE, DropReason.WRONG_NETWORK,
                   DropReason.NOBODYS, DropReason.NO_SOURCE_PORT, DropReason.NOT_REWRITABLE}
"""The reasons of packets from servers and on circuits, at the TUN device, at a port, and of rewritten headers."""


@pytest.mark.parametrize(("reason", "prepare", "octets"), DROPPED, ids=lambda value: getattr(value, "__name__", None))
def test_a_packet_that_would_be_dropped(reason: DropReason, prepare: Any, octets: bytes) -> None:
    net = InMemoryNetwork(make_network(tables="[sessions]\nmax_sessions = 1"))
    prepare(net)
    told = check(net, octets)
    assert (told.outcome, told.reason) == ("dropped", reason)
    assert told.verdict == f"dropped: {reason} ({reason.text})"
    assert reason in (DropReason.NOT_IP, DropReason.MALFORMED, DropReason.MULTICAST) or told.steps


def test_every_reason_on_a_clients_side_is_among_them() -> None:
    assert {reason for reason, _, _ in DROPPED} == {
        reason for reason in DropReason if reason.unit == "packets"} - OF_OTHER_PLACES


def test_a_syn_step_by_step() -> None:
    net = InMemoryNetwork(make_network(servers=3))
    told = check(net, tcp(CLIENT4, 4000, VIP4, 80, SYN, dscp=12))
    among = ", ".join(f"web{n} (weight 1, sessions 0)" for n in (1, 2, 3))
    assert [(step.stage, step.text) for step in told.steps] == [
        ("packet", "10.9.0.2:4000 > 10.80.0.1:80 TCP SYN, 40 octets, DSCP AF12"),
        ("service", "web: round-robin over web1, web2, web3"),
        ("session", "it has none"),
        ("server", f"web1: round-robin chooses it among {among}"),
        ("VC", "1/64: the next free VCI, for this session alone"),
        ("class", "DSCP AF12 asks for GFR"),
        ("VC", "1/64 in VP web1 on link to-web1, contract gfr, vc-mux"),
        ("class", "CLP 1 in all its cells, by DSCP AF12"),
        ("size", "40 octets fit the MTU of 9180 and make 1 cell"),
    ]
    assert told.verdict == "forwarded to web1 on VC 1/64, 1 cell, GFR, CLP 1"
    assert (told.service, told.session, told.path["contract"]) == ("web", None, "gfr")
    assert (told.path["encapsulation"], told.path["mtu"]) == ("vc-mux", 9180)


def test_a_known_sessions_packet_tells_the_session() -> None:
    play = Playbook()
    play.open()
    play.wait("3s")
    told = check(play.net, tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=301, data=bytes(1400)))
    assert stages(told, "session") == [
        "session 1 in the primary table, client ESTABLISHED, server ESTABLISHED; opened 3.0 s ago, idle for 3.0 s"]
    assert stages(told, "server") == ["web1, which has it"]
    assert told.verdict == "forwarded to web1 on VC 1/64, 31 cells, UBR.1"
    assert (told.session, told.service, told.opens) == (1, "web", False)


def test_a_closed_session_tells_why_it_was_closed_and_who_may_use_its_port() -> None:
    play = Playbook()
    play.open()
    play.close()
    late = explained(play.net, tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=102, ack=302))
    (entry,) = stages(late, "session")
    assert entry.startswith("session 1 in the secondary table (closed by FIN), client TIME-WAIT, server CLOSED; ")
    again = check(play.net, tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=100))
    assert stages(again, "session")[1] == (
        "the SYN that opened it once more, by its initial number: it goes where that went")
    assert (again.server, again.opens) == ("web1", False)
    reused = check(play.net, tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=9))
    assert stages(reused, "session")[0].endswith(
        ": this SYN has another initial number, so it opens a new one on the same port")
    assert (reused.server, reused.opens, reused.session) == ("web2", True, None)


def test_a_syn_within_an_open_session() -> None:
    play = Playbook()
    play.open()
    told = check(play.net, tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=9))
    assert stages(told, "session")[1] == (
        "a SYN with another initial number; but the session is not over, and its server is alive: it goes there")
    assert (told.server, told.opens) == ("web1", False)


def test_a_session_of_a_dead_server_goes_on_and_a_new_one_does_not() -> None:
    play = Playbook()
    play.open()
    kill(play.net.depot.management.servers["web1"], play.net.now)
    play.wait("2s")
    dead = "dead for 2.0 s: server process down: connection refused to 1 probe"
    told = check(play.net, tcp(CLIENT4, 4000, VIP4, 80, ACK, seq=101, ack=301))
    assert stages(told, "server") == [f"web1, which has it ({dead})"]
    assert told.outcome == "forwarded"
    told = check(play.net, tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=9))
    assert stages(told, "session")[0].endswith(f": lost with web1 ({dead}), so this SYN opens a new one")
    assert stages(told, "server") == ["web2: round-robin chose it ahead, as the next server", f"not web1: {dead}"]


@pytest.mark.parametrize(("reselect", "server"), [("true", "web2"), ("false", "web1")])
def test_reselect(reselect: str, server: str) -> None:
    play = Playbook(make_network(tables=f"[sessions]\nreselect = {reselect}"))
    assert play.client >> "S seq=1" == "web1"
    kill(play.net.depot.management.servers["web1"], play.net.now)
    assert check(play.net, tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=1)).server == server


def test_why_servers_are_passed_over() -> None:
    net = InMemoryNetwork(make_network(servers=6, tables='balancing = "least-connections"'))
    servers = net.depot.management.servers
    kill(servers["web1"], net.now)
    servers["web2"].draining = True
    for name, said in (("web3", {"max_sessions": 2}), ("web4", {"weight": 0, "max_sessions": 9}),
                       ("web5", {"backup": True})):
        change(servers[name], **said)
    servers["web3"].primary_sessions = 2
    servers["web6"].load = 0.25
    net.now += SECOND // 2
    assert stages(check(net, SYN_PACKET), "server") == [
        "web6: least-connections chooses it among web6 (weight 1, sessions 0, load 0.25)",
        "not web1: dead for 0.5 s: server process down: connection refused to 1 probe",
        "not web2: draining",
        "not web3: it has 2 sessions, and its max_sessions is 2",
        "not web4: its weight is 0",
        "not web5: a backup, for when no other is there",
    ]
    kill(servers["web6"], net.now)
    told = check(net, tcp(CLIENT4, 4001, VIP4, 80, SYN))
    assert stages(told, "server")[0] == (
        "web5: least-connections chooses it among web5 (weight 1, sessions 0), the backup servers, since no other can")
    kill(servers["web5"], net.now)
    told = check(net, tcp(CLIENT4, 4002, VIP4, 80, SYN))
    assert stages(told, "server")[-2:] == [f"not web{n}: dead for 0.0 s: server process down: connection refused to "
                                           "1 probe" for n in (5, 6)]
    assert told.reason == DropReason.NO_SERVER


@pytest.mark.parametrize("balancing", ["source-hash", "maglev"])
def test_affinity_by_client(balancing: str) -> None:
    net = InMemoryNetwork(make_network(tables=f'balancing = "{balancing}"'))
    told = [check(net, tcp(CLIENT4, port, VIP4, 80, SYN)) for port in range(4000, 4004)]
    assert len({one.server for one in told}) == 1
    assert stages(told[0], "server")[0].startswith(
        f"{told[0].server}: {balancing} chooses it by the client's address 10.9.0.2 among ")


@pytest.mark.parametrize(("vp", "dscp", "vc", "why"), [
    ('session_vcis = "64-65"', 46, "1/64", "the next free VCI, for this session alone"),
    ('shared_vcs = { "CBR" = 41 }', 46, "1/41", "the VC of CBR, which sessions share"),
    ('shared_vcs = { "CBR" = 41 }', 0, "1/32", "the default VC, since none is shared for UBR.1"),
    ("", 0, "1/32", "the default VC, since none is shared for UBR.1"),
])
def test_which_vc_and_why(vp: str, dscp: int, vc: str, why: str) -> None:
    net = InMemoryNetwork(make_network(servers=1, vp=vp))
    told = check(net, tcp(CLIENT4, 4000, VIP4, 80, SYN, dscp=dscp))
    assert stages(told, "VC")[0] == f"{vc}: {why}"


def test_the_default_vc_when_no_vci_is_left_and_the_vci_of_a_session_that_makes_way() -> None:
    net = InMemoryNetwork(make_network(servers=1, vp="session_vcis = 64", tables="[sessions]\nmax_half_open = 2"))
    assert check(net, SYN_PACKET).path["vc"] == "1/64"
    told = check(net, tcp(CLIENT4, 4001, VIP4, 80, SYN))
    assert stages(told, "VC")[0] == "1/32: the default VC, since all VCIs for sessions are in use"
    told = check(net, tcp(CLIENT4, 4002, VIP4, 80, SYN))
    assert stages(told, "session") == [
        "it has none", ("it replaces session 1, the oldest half-open one: there may be 2 (max_half_open), and "
                        "1000000 entries in all (max_sessions)")]
    assert told.path["vc"] == "1/64"


def test_the_old_entry_of_a_flow_gives_its_vci_back_before_the_one_that_is_pushed_out() -> None:
    play = Playbook(make_network(servers=1, vp='session_vcis = "64-65"', tables="[sessions]\nmax_half_open = 1"))
    play.open()
    play.close()
    assert check(play.net, tcp(CLIENT4, 4001, VIP4, 80, SYN)).path["vc"] == "1/65"
    assert check(play.net, tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=9)).path["vc"] == "1/64"


def test_a_half_open_session_that_makes_way_for_its_own_port_pushes_no_other_out() -> None:
    net = InMemoryNetwork(make_network(tables="[sessions]\nmax_half_open = 2"))
    for port in (4000, 4001):
        check(net, tcp(CLIENT4, port, VIP4, 80, SYN))
    kill(net.depot.management.servers["web1"])
    told = check(net, tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=9))
    assert (told.opens, told.server, len(stages(told, "session"))) == (True, "web2", 1)
    assert len(net.depot.sessions.primary) == 2


def test_an_entry_that_makes_way_gives_back_only_a_vci_of_its_own_in_the_same_vp() -> None:
    play = Playbook(make_network(vp="session_vcis = 64"))
    play.open()
    play.close()
    for port, vc in ((4001, "2/64"), (4002, "1/32")):
        assert check(play.net, tcp(CLIENT4, port, VIP4, 80, SYN)).path["vc"] == vc
    told = check(play.net, tcp(CLIENT4, 4000, VIP4, 80, SYN, seq=9, dscp=46))
    assert (told.path["vc"], told.path["category"]) == ("2/32", "UBR.1"), "1/64 is of another VP"
    play = Playbook(make_network(servers=1, vp="session_vcis = 64"))
    for play.port in (4000, 4001):
        play.open()
    play.close()
    told = check(play.net, tcp(CLIENT4, 4001, VIP4, 80, SYN, seq=9, dscp=46))
    assert (told.path["vc"], told.path["category"]) == ("1/32", "UBR.1"), "the default VC is nobody's own"


def test_packets_other_than_tcp_are_explained() -> None:
    net = InMemoryNetwork()
    told = check(net, ping(CLIENT4, VIP4, bytes(56)))
    assert stages(told, "service") == ["10.80.0.1 is a VIP of web"]
    assert stages(told, "session") == ["none: ICMP has no sessions here"]
    assert stages(told, "server")[0].endswith(": by the client's address, among the alive servers of web")
    assert stages(told, "VC")[0].endswith("/32: the default VC, for what belongs to no session")
    for opens in (True, False):
        told = check(net, udp(CLIENT4, 5, VIP4, 80))
        assert (told.opens, stages(told, "service")) == (opens, ["web: round-robin over web1, web2"])
    assert stages(told, "session") == ["UDP flow 1 in the primary table; opened 0.0 s ago, idle for 0.0 s"]
    told = check(net, icmp_error(CLIENT4, VIP4, udp(VIP4, 80, CLIENT4, 5)))
    assert stages(told, "session")[0] == "an ICMP error follows the session that the packet inside it names"
    assert (told.session, told.server, told.path["vc"]) == (1, "web1", "1/32")


def test_fragments_wait_for_their_first_and_follow_it() -> None:
    net = InMemoryNetwork()
    whole = udp(CLIENT4, 5, VIP4, 80, bytes(2000))[20:]
    first = ip(CLIENT4, VIP4, UDP, whole[:800], identification=7, fragment=0x2000)
    later = ip(CLIENT4, VIP4, UDP, whole[800:], identification=7, fragment=100)
    told = check(net, later)
    assert (told.outcome, told.verdict) == (
        "held", "held: the first fragment of its packet, which has the ports, has not come")
    assert stages(check(net, first), "size")[1] == "fragments that came before it, and follow it now: 1"
    told = check(net, bytes(later))
    assert stages(told, "session") == ["it has no ports; it follows the first fragment of its packet"]
    assert told.verdict == "forwarded to web1 on VC 1/32, 26 cells, UBR.1"


@examples(40)
@given(st.data())
def test_fragments_beyond_the_bounds(data: st.DataObject) -> None:
    """Of one packet, of all together, of too many packets: held or dropped as was said, also when others make way."""
    net = InMemoryNetwork()
    for _ in range(data.draw(st.integers(0, 5))):
        size, count = data.draw(st.sampled_from([(8, 40), (60_000, 17), (1200, 3)]))
        names = data.draw(st.sampled_from([[1], [2], range(10, 1030), range(10, 30)]))
        for identification in names:
            for _ in range(count if len(names) == 1 else 1):
                net.depot.packet_from_tun(
                    ip(CLIENT4, VIP4, UDP, bytes(size), identification=identification, fragment=9), net.now)
        check(net, ip(CLIENT4, VIP4, UDP, bytes(data.draw(st.sampled_from([8, 30_000, 60_000]))), fragment=9,
                      identification=data.draw(st.sampled_from([1, 2, 10, 5000]))))
        net.now += data.draw(st.sampled_from([0, 6 * SECOND]))


@pytest.mark.parametrize(("octets", "answer", "why"), [
    (ping(CLIENT4, VIP4, bytes(9200)), "ICMP", "an ICMP error tells the sender so"),
    (ping(CLIENT6, VIP6, bytes(9200)), "ICMP", "an ICMP error tells the sender so"),
    (icmp_error(CLIENT4, VIP4, ping(VIP4, CLIENT4, bytes(9200), reply=True)), "", "no ICMP error may answer this one"),
])
def test_too_big(octets: bytes, answer: str, why: str) -> None:
    told = check(InMemoryNetwork(), octets)
    assert stages(told, "size") == [f"{len(octets)} octets do not fit the MTU of 9180: {why}"]
    assert (told.answer, told.path["cells"]) == (answer, 0)


@pytest.mark.parametrize(("orphan", "answer"), [("reset", "RST"), ("drop", "")])
def test_an_orphan(orphan: str, answer: str) -> None:
    net = InMemoryNetwork(make_network(tables=f'[sessions]\norphan = "{orphan}"'))
    told = check(net, tcp(CLIENT4, 4000, VIP4, 80, FIN | ACK))
    assert told.answer == answer
    assert stages(told, "session")[:2] == ["it has none", "only a SYN opens one, not FIN+ACK"]
    assert ("an RST goes back to the client" in stages(told, "session")[-1]) == bool(answer)


def test_the_depots_own_probe() -> None:
    net = InMemoryNetwork()
    net.depot.probes[analyse(SYN_PACKET).key] = net.depot.management.servers["web2"]
    told = check(net, SYN_PACKET)
    assert stages(told, "server") == ["web2: this is the depot's own probe of it"]
    assert told.path["vc"] == "2/32"


def test_a_service_without_ports_and_one_that_is_none() -> None:
    net = InMemoryNetwork(make_network(tables=OTHER_SERVICE))
    assert check(net, tcp(CLIENT4, 1, OTHER_VIP, 12345, SYN)).service == "other"
    services = "there are web: 10.80.0.1, fd00:80::1 port 80 (TCP and UDP); other: 10.80.0.9 port any (TCP and UDP)"
    told = check(net, tcp(CLIENT4, 1, VIP4, 81, SYN))
    assert stages(told, "service") == [f"10.80.0.1 is a VIP, but no service has its port 81 for TCP; {services}"]
    told = check(net, tcp(CLIENT4, 1, "10.80.0.2", 80, SYN))
    assert stages(told, "service") == [f"10.80.0.2 is no VIP; {services}"]


def test_a_server_that_has_left_the_table_still_has_its_fragments() -> None:
    net = InMemoryNetwork(make_network(vp=""))
    net.to_service(ip(CLIENT4, VIP4, UDP, udp(CLIENT4, 5, VIP4, 80)[20:], identification=7, fragment=0x2000))
    net.depot.management.server_at.clear()
    told = check(net, ip(CLIENT4, VIP4, UDP, bytes(8), identification=7, fragment=1))
    assert (told.outcome, told.server) == ("forwarded", "web1")


@pytest.mark.parametrize(("flags", "words"), [
    (SYN, "SYN"), (SYN | ACK, "SYN+ACK"), (FIN | RST | CWR, "FIN+RST+CWR"), (0, "no flags")])
def test_flags_in_words(flags: int, words: str) -> None:
    assert flags_words(flags) == words
