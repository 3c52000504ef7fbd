"""Two depots of a set before servers with rewritten headers: the new one rewrites the other's sessions alike."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.bearer.source_pool import FIRST, part_of_ports
from atmdepot.config.reading import find, parse
from atmdepot.depot.forwarding import Depot
from atmdepot.drops import DropReason
from atmdepot.wire.offload import packets_of
from atmdepot.wire.replication import FrameReader, Kind
from atmdepot.wire.replication_entries import REWRITTEN, Told
from tests.depot.pairs import Pair
from tests.ip_packets import ACK, SYN, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6

if TYPE_CHECKING:
    from atmdepot.config.model import Network

SERVERS = {4: "10.70.0.11", 6: "fd00:70::11"}
POOL = {4: "10.71.0.1", 6: "fd00:71::1"}
CLIENT, VIP = {4: CLIENT4, 6: CLIENT6}, {4: VIP4, 6: VIP6}
FROM_POOL = 'source = "depot"\npool = ["10.71.0.1", "fd00:71::1"]\n'
OTHER_VIP = '[services.other]\nvip = ["10.80.0.2"]\nports = [80]\nservers = ["web1"]\n'
both_versions = pytest.mark.parametrize("version", [4, 6])
both_sources = pytest.mark.parametrize("keys", ["", FROM_POOL], ids=["client", "pool"])


def network(keys: str = "", more: str = "") -> Network:
    """The shipped VC table with one server, which has these keys beside its own."""
    text = find("rewrite-standby").read_text(encoding="utf-8").replace('"keepalived"', '"manual"')
    head, services = text[:text.index("# It sees the clients' own")], text[text.index("[services.web]"):]
    server = ('[servers.web1]\nbearer = "rewrite"\nport = "eth1"\naddress = ["10.70.0.11", "fd00:70::11"]\n'
              f"listen_port = 8080\n{keys}")
    services = services.replace('"web1", "web2", "web3"', '"web1"').replace("ports = [80]", 'ports = [80]\nprotocols = '
                                                                             '["tcp", "udp"]')
    return parse(f"{head}{server}{services}{more}")


class Hosts:
    """The hosts of two depots: packets go into the TUN device of one, and what the depot makes of them comes out."""

    def __init__(self, keys: str = "", more: str = "") -> None:
        self.pair = Pair(network(keys, more))
        self.depots = {"depot1": self.pair.active, "depot2": self.pair.standby}

    def __call__(self, depot: str, *packets: bytes) -> list[bytes]:
        self.depots[depot].packets_from_host(list(packets), self.pair.now)
        return packets_of(self.depots[depot].take_packets())

    def bearer(self, depot: str) -> Any:
        return self.depots[depot].bearer

    def open(self, port: int, version: int = 4, depot: str = "depot1", vip: str = "") -> tuple[str, int]:
        """Open a session; return the end that the server sees in its client's place."""
        vip = vip or VIP[version]
        made, = self(depot, tcp(CLIENT[version], port, vip, 80, SYN, seq=100))
        source, at = end_of(made)
        assert made == tcp(source, at, SERVERS[version], 8080, SYN, seq=100)
        answer = tcp(SERVERS[version], 8080, source, at, SYN | ACK, seq=500, ack=101)
        assert self(depot, answer) == [tcp(vip, 80, CLIENT[version], port, SYN | ACK, seq=500, ack=101)]
        assert self(depot, request(port, version, vip)) == [asked(source, at, version)]
        return source, at

    def take_over(self) -> None:
        """Have depot2 become active, a second after the last word of depot1."""
        self.pair.now += SECOND
        self.pair.standby.roles.granted(self.pair.now)

    def drops(self, depot: str) -> dict[DropReason, int]:
        return {reason: count for reason, count in (
            dict(self.depots[depot].drops) | dict(self.bearer(depot).links["rewrite"].drops)).items() if count}


def end_of(packet: bytes) -> tuple[str, int]:
    """The source of a packet."""
    at, size, head = (12, 4, 20) if packet[0] >> 4 == 4 else (8, 16, 40)
    return str(ip_address(packet[at:at + size])), int.from_bytes(packet[head:head + 2], "big")


def request(port: int, version: int = 4, vip: str = "") -> bytes:
    return tcp(CLIENT[version], port, vip or VIP[version], 80, ACK, seq=101, ack=501, data=b"GET")


def asked(source: str, at: int, version: int = 4) -> bytes:
    return tcp(source, at, SERVERS[version], 8080, ACK, seq=101, ack=501, data=b"GET")


def answer(source: str, at: int, version: int = 4) -> bytes:
    return tcp(SERVERS[version], 8080, source, at, ACK, seq=501, ack=104, data=b"page")


def page(port: int, version: int = 4, vip: str = "") -> bytes:
    return tcp(vip or VIP[version], 80, CLIENT[version], port, ACK, seq=501, ack=104, data=b"page")


@both_versions
@both_sources
def test_packets_of_old_sessions_are_rewritten_alike_after_a_takeover(keys: str, version: int) -> None:
    hosts = Hosts(keys)
    ends = {port: hosts.open(port, version) for port in range(5000, 5010)}
    hosts.pair.carry()
    hosts.take_over()
    for port, (source, at) in ends.items():
        assert hosts("depot2", request(port, version)) == [asked(source, at, version)]
        assert hosts("depot2", answer(source, at, version)) == [page(port, version)]
    assert hosts.pair.replica.inherited == 10
    assert hosts.pair.replica.without_channel == 0
    assert hosts.drops("depot2") == {}
    assert hosts.pair.standby.sessions.told.digest == hosts.pair.stream.digest


@both_versions
def test_new_sessions_get_ends_of_the_pool_that_no_old_one_may_have(version: int) -> None:
    """Not even one of which the stream has not told: each depot has its own part of the ports."""
    hosts = Hosts(FROM_POOL)
    told = [hosts.open(port, version) for port in range(5000, 5005)]
    hosts.pair.carry()
    untold = [hosts.open(port, version) for port in range(5005, 5010)]
    hosts.take_over()
    new = [hosts.open(port, version, "depot2") for port in range(5010, 5020)]
    assert len({*told, *untold, *new}) == 20
    (first, last), (other, end) = part_of_ports(0, 2), part_of_ports(1, 2)
    assert (first, last + 1, end) == (FIRST, other, 65_535)
    assert {at for _, at in told + untold} == set(range(first, first + 10))
    assert {at for _, at in new} == set(range(other, other + 10))


def test_a_depot_that_comes_back_takes_no_end_that_a_told_session_has() -> None:
    hosts = Hosts(FROM_POOL)
    ends = {port: hosts.open(port) for port in range(5000, 5004)}
    hosts.pair.carry()
    hosts.take_over()
    pair = hosts.pair
    pair.active, pair.standby = pair.standby, Depot(pair.network, pair.now, "depot1")
    hosts.depots["depot1"] = pair.standby
    pair.connect()
    pair.carry()
    pair.standby.roles.granted(pair.now)
    for port, (source, at) in ends.items():
        assert hosts("depot1", request(port)) == [asked(source, at)]
    new = [hosts.open(port, depot="depot1") for port in range(6000, 6004)]
    assert not set(new) & set(ends.values())
    assert [at for _, at in new] == list(range(FIRST + 4, FIRST + 8))


def test_a_session_with_another_port_in_place_of_its_clients_keeps_it() -> None:
    """A client may have one port open towards two services that are one end of a server."""
    hosts = Hosts(more=OTHER_VIP)
    plain, other = hosts.open(5000), hosts.open(5000, vip="10.80.0.2")
    assert plain == (CLIENT4, 5000) != other
    hosts.pair.carry()
    hosts.take_over()
    for (source, at), vip in ((plain, VIP4), (other, "10.80.0.2")):
        assert hosts("depot2", request(5000, vip=vip)) == [asked(source, at)]
        assert hosts("depot2", answer(source, at)) == [page(5000, vip=vip)]


def test_a_session_keeps_the_server_end_and_the_pool_that_the_table_had_when_it_opened() -> None:
    hosts = Hosts(FROM_POOL)
    source, at = hosts.open(5000)
    changed = network(FROM_POOL.replace("10.71.0.1", "10.71.0.2").replace("fd00:71::1", "fd00:71::2"))
    changed.servers["web1"].listen_port = 8081
    for depot in hosts.depots.values():
        depot.reconfigure(changed, hosts.pair.now)
    hosts.pair.carry()
    hosts.take_over()
    assert hosts("depot2", request(5000)) == [asked(source, at)]
    assert hosts("depot2", answer(source, at)) == [page(5000)]
    made, = hosts("depot2", tcp(CLIENT4, 5001, VIP4, 80, SYN, seq=100))
    assert end_of(made)[0] == "10.71.0.2"


@both_sources
def test_flows_of_udp_go_on_as_well(keys: str) -> None:
    hosts = Hosts(keys)
    asks, answers = udp(CLIENT4, 5353, VIP4, 80, b"query"), udp(VIP4, 80, CLIENT4, 5353, b"answer")
    made, = hosts("depot1", asks)
    source, at = end_of(made)
    from_server = udp(SERVERS[4], 8080, source, at, b"answer")
    assert hosts("depot1", from_server) == [answers]
    hosts.pair.carry()
    hosts.take_over()
    assert hosts("depot2", asks) == [made]
    assert hosts("depot2", from_server) == [answers]


def test_answers_that_reach_the_depot_that_is_not_active_are_handed_on() -> None:
    """As long as the router has the old MAC address of its gateway, and before the address moves."""
    hosts = Hosts(FROM_POOL)
    source, at = hosts.open(5000)
    hosts.pair.carry()
    assert hosts("depot2", answer(source, at)) == [page(5000)], "it stands by"
    hosts.take_over()
    hosts.pair.active.roles.revoked(hosts.pair.now)
    assert hosts("depot1", answer(source, at)) == [page(5000)]


def test_a_session_that_was_not_told_is_adopted_from_its_servers_packet_by_the_active_depot_alone() -> None:
    hosts = Hosts()
    hosts.open(5000)
    assert hosts("depot2", answer(CLIENT4, 5000)) == [], "it stands by"
    hosts.pair.now += 3600 * SECOND  # the depot has run for longer than a session is idle
    hosts.take_over()
    assert hosts("depot2", answer(CLIENT4, 5000)) == [page(5000)]
    assert hosts("depot2", request(5000)) == [asked(CLIENT4, 5000)]
    assert hosts.pair.standby.sessions.adopted == 1
    hosts.pair.standby.roles.revoked(hosts.pair.now)
    assert hosts("depot2", answer(CLIENT4, 5001)) == []
    assert hosts.pair.standby.sessions.adopted == 1


def test_a_session_behind_a_pool_that_was_not_told_cannot_be_adopted() -> None:
    """The packet has an end of the pool, and nobody knows for which client it stood."""
    hosts = Hosts(FROM_POOL)
    source, at = hosts.open(5000)
    hosts.take_over()
    assert hosts("depot2", answer(source, at)) == []
    assert hosts.drops("depot2") == {DropReason.NOBODYS: 1}


def test_answer_to_a_probe_of_an_earlier_life_opens_no_session() -> None:
    hosts = Hosts()
    hosts.take_over()
    hosts("depot2", tcp(SERVERS[4], 8080, VIP4, 50_000, SYN | ACK, seq=1, ack=2))
    assert len(hosts.pair.standby.sessions.primary) == 0


def test_a_told_session_takes_the_place_of_one_that_has_gone_at_the_active_depot() -> None:
    """The standby may forget a closed session a moment later, and another already has its answers."""
    hosts = Hosts(more=OTHER_VIP)
    hosts.open(5000)
    hosts.pair.carry()
    old, = hosts.pair.standby.sessions.primary.values()
    answers = old.path.answers()
    key = old.key[:-6] + bytes((10, 80, 0, 2)) + old.key[-2:]
    told = Told(key, 0, 0, 0, 0, False, 4, 4, 7, 7, 0, 0, 5, 6, answers)
    hosts.pair.now += 10 * SECOND
    hosts.pair.replica.feed(told.pack(), hosts.pair.now)
    new, = hosts.pair.standby.sessions.primary.values()
    assert (new.key, new.path.answers()) == (key, answers)
    assert hosts.pair.replica.without_channel == 0


def test_what_is_told_beside_other_bearers_is_appended_and_flagged() -> None:
    """A reader that does not know it ignores the tail of the frame."""
    hosts = Hosts(FROM_POOL)
    hosts.open(5000)
    hosts.pair.stream.flush(hosts.pair.now)
    assert hosts.pair.reader is not None
    while hosts.pair.reader.slice(hosts.pair.now):
        pass
    frames = list(FrameReader().feed(hosts.pair.reader.take(100_000)))
    session = next(frame for frame in frames if frame.kind == Kind.SESSION)
    assert (session.size, session.body[0]) == (43 + 13, REWRITTEN)
    plain = session._replace(body=bytes((session.body[0] & ~REWRITTEN,)) + session.body[1:])
    assert Told.unpack(plain) == Told.unpack(session)._replace(answers=b"")
