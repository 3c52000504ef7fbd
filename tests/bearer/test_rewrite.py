"""Servers with rewritten headers: each packet against one made from scratch with the other ends."""

from __future__ import annotations

from ipaddress import ip_address
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from atmdepot.bearer.rewritten_queries import LIFE, MOST, Remembered
from atmdepot.bearer.source_pool import FIRST, LAST, SourcePool
from atmdepot.build import is_compiled
from atmdepot.depot.explain import explain
from atmdepot.drops import DropReason
from atmdepot.wire.flows import flow_key
from atmdepot.wire.offload import Frame, VirtioNetHeader, frame_of, packets_of
from atmdepot.wire.rewriting import End
from tests.bearer.rewritten import CLIENT, FROM_POOL, HOST, POOL, ROUTER, SERVER, VIP, Host
from tests.effort import examples
from tests.ip_packets import (
    ACK,
    ICMP,
    ICMPV6,
    PSH,
    RST,
    SYN,
    TCP,
    checksum,
    icmp_error,
    ip,
    packed,
    tcp,
    udp,
)
from tests.routed_servers import has_right_checksums

both_versions = pytest.mark.parametrize("version", [4, 6])
both_sources = pytest.mark.parametrize("keys", ["", FROM_POOL], ids=["client", "depot"])
OTHER_VIP = '[services.other]\nvip = ["10.80.0.2"]\nports = [80]\nservers = ["web1"]\n'


def opened(host: Host, version: int = 4, port: int = 4000) -> tuple[str, int]:
    """Open a session; return the end that stands for its client at the server."""
    made = host.one(tcp(CLIENT[version], port, VIP[version], 80, SYN, seq=100))
    head, size, first = (20, 4, 12) if version == 4 else (40, 16, 8)
    source, at = made[first:first + size], int.from_bytes(made[head:head + 2], "big")
    answer = host.one(tcp(SERVER[version], 80, source, at, SYN | ACK, seq=300, ack=101))
    assert answer == tcp(VIP[version], 80, CLIENT[version], port, SYN | ACK, seq=300, ack=101)
    assert host(tcp(CLIENT[version], port, VIP[version], 80, ACK, seq=101, ack=301))
    return source, at  # type: ignore[return-value]  # packets take octets, too


@both_versions
def test_packets_have_the_server_end_and_answers_the_service_end(version: int) -> None:
    host = Host("listen_port = 8080")
    client, vip, server = (CLIENT[version], 4000), (VIP[version], 80), (SERVER[version], 8080)
    assert host.one(tcp(*client, *vip, SYN, seq=1)) == tcp(*client, *server, SYN, seq=1)
    assert host.one(tcp(*server, *client, SYN | ACK, seq=7, ack=2)) == tcp(*vip, *client, SYN | ACK, seq=7, ack=2)
    data = tcp(*client, *server, ACK | PSH, seq=2, ack=8, data=b"GET / HTTP/1.1\r\n")
    assert host.one(tcp(*client, *vip, ACK | PSH, seq=2, ack=8, data=b"GET / HTTP/1.1\r\n")) == data
    assert host.drops == {}


@both_versions
def test_pool_stands_for_clients_and_each_gets_its_own_answers(version: int) -> None:
    host = Host(FROM_POOL)
    ends = {port: opened(host, version, port) for port in (4000, 4001, 4002)}
    assert list(ends.values()) == [(packed(POOL[version]), FIRST + number) for number in range(3)]
    for port, (address, at) in ends.items():
        answer = host.one(tcp(SERVER[version], 80, address, at, ACK, seq=301, ack=101, data=b"%d" % port))
        assert answer == tcp(VIP[version], 80, CLIENT[version], port, ACK, seq=301, ack=101, data=b"%d" % port)


def test_source_end_is_taken_again_last() -> None:
    pool = SourcePool([b"\0\0\0\1", b"\0\0\0\2"])
    count = 2 * (LAST - FIRST + 1)
    taken = [pool.take() for _ in range(count)]
    assert len(set(taken)) == count
    assert (len(pool), pool.take()) == (0, None)
    for end in (taken[7], taken[3]):
        assert end is not None
        pool.give_back(end)
    assert (len(pool), pool.take(), pool.take(), pool.take()) == (2, taken[7], taken[3], None)


@pytest.mark.parametrize("count", [2, 3])
def test_depots_of_a_set_take_ends_of_parts_that_have_none_in_common(count: int) -> None:
    pools = [SourcePool([b"\0\0\0\1"], number, count) for number in range(count)]
    taken = [[end for _ in range(LAST - FIRST + 1) if (end := pool.take()) is not None] for pool in pools]
    every = [end for part in taken for end in part]
    assert len(set(every)) == len(every) == LAST - FIRST + 1
    pools[0].claim(taken[1][0])  # of another part, so nothing to this one
    pools[0].give_back(taken[1][0])
    assert pools[0].take() is None


class PoolMachine(RuleBasedStateMachine):
    """A depot's pool of a few ends: it never gives one that a session has, be that its own or one that it claimed."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = SourcePool([b"\0\0\0\1", b"\0\0\0\2"], 1, 10_000)  # 12 ends
        self.all = {End(address, port) for address in (b"\0\0\0\1", b"\0\0\0\2")
                    for port in range(self.pool._first, self.pool._last + 1)}
        self.held: set[End] = set()

    @rule()
    def a_session_opens(self) -> None:
        end = self.pool.take()
        if end is None:
            assert self.held == self.all
        else:
            assert end in self.all - self.held
            self.held.add(end)

    @rule(data=st.data())
    def a_session_is_told(self, data: st.DataObject) -> None:
        if free := sorted(self.all - self.held):
            end = data.draw(st.sampled_from(free))
            self.pool.claim(end)
            self.held.add(end)

    @rule(data=st.data())
    def a_session_ends(self, data: st.DataObject) -> None:
        if self.held:
            end = data.draw(st.sampled_from(sorted(self.held)))
            self.held.remove(end)
            self.pool.give_back(end)

    @invariant()
    def free_ends_are_counted(self) -> None:
        assert len(self.all) == 12
        assert len(self.pool) == len(self.all) - len(self.held)


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = examples(100, stateful_step_count=60)


def test_source_end_is_free_again_when_its_session_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atmdepot.bearer.source_pool.LAST", FIRST + 1)
    host = Host(FROM_POOL)
    assert [opened(host, 4, port)[1] for port in (4000, 4001)] == [FIRST, FIRST + 1]
    assert host(tcp(CLIENT[4], 4002, VIP[4], 80, SYN)) == []
    assert host.drops == {DropReason.NO_SOURCE_PORT: 1}
    assert host(tcp(CLIENT[4], 4001, VIP[4], 80, RST, seq=101))
    host.advance(130)
    assert opened(host, 4, 4003)[1] == FIRST + 1


@pytest.mark.parametrize(("before", "after"), [
    ('"10.71.0.1", "fd00:71::1"', '"10.71.0.1", "fd00:71::2"'),
    ('"10.71.0.1", "10.71.0.2", "fd00:71::1"', '"10.71.0.1", "fd00:71::1"')])
def test_sessions_open_after_a_change_of_the_pool_beside_those_that_have_its_ends(before: str, after: str) -> None:
    host, changed = (Host(f'source = "depot"\npool = [{pool}]\n') for pool in (before, after))
    ends = [opened(host, port=port) for port in range(4000, 4040)]
    host.depot.reconfigure(changed.network, host.now)
    ends += [opened(host, port=port) for port in range(5000, 5040)]
    assert len(set(ends)) == 80
    assert host.drops == {}


def test_client_port_in_use_towards_the_same_end_is_replaced_and_both_sessions_go_on() -> None:
    host = Host(services=OTHER_VIP)
    assert opened(host) == (packed(CLIENT[4]), 4000)
    made = host.one(tcp(CLIENT[4], 4000, "10.80.0.2", 80, SYN, seq=5))
    port = int.from_bytes(made[20:22], "big")
    assert port != 4000
    assert made == tcp(CLIENT[4], port, SERVER[4], 80, SYN, seq=5)
    for vip, at in ((VIP[4], 4000), ("10.80.0.2", port)):
        answer = host.one(tcp(SERVER[4], 80, CLIENT[4], at, SYN | ACK, seq=300, ack=6))
        assert answer == tcp(vip, 80, CLIENT[4], 4000, SYN | ACK, seq=300, ack=6)
    assert next(c.value for c in host.bearer.counters() if c.name == "port-taken") == 1


@both_sources
@both_versions
def test_probe_has_an_address_that_leads_to_the_depot(version: int, keys: str) -> None:
    host = Host(keys)
    server = host.depot.management.servers["web1"]
    host.depot.probes[flow_key(TCP, packed(HOST[version]), 5000, packed(VIP[version]), 80)] = server
    source = (POOL[version], FIRST) if keys else (VIP[version], 5000)
    made = host.one(tcp(HOST[version], 5000, VIP[version], 80, SYN, seq=1))
    assert made == tcp(*source, SERVER[version], 80, SYN, seq=1)
    answer = host.one(tcp(SERVER[version], 80, *source, SYN | ACK, seq=3, ack=2))
    assert answer == tcp(VIP[version], 80, HOST[version], 5000, SYN | ACK, seq=3, ack=2)


@both_sources
@both_versions
def test_flow_is_answered_from_its_first_datagram_on(version: int, keys: str) -> None:
    host = Host(keys)
    source = (POOL[version], FIRST) if keys else (CLIENT[version], 5353)
    for number in range(3):
        made = host.one(udp(CLIENT[version], 5353, VIP[version], 80, b"query"))
        assert made == udp(*source, SERVER[version], 80, b"query")
        answer = host.one(udp(SERVER[version], 80, *source, b"answer %d" % number))
        assert answer == udp(VIP[version], 80, CLIENT[version], 5353, b"answer %d" % number)


# What has no session.


def echo(source: str, destination: str, identifier: int, *, reply: bool = False) -> bytes:
    """An echo request or reply with an identifier."""
    kind = (129 if reply else 128) if ":" in source else (0 if reply else 8)
    body = pack(">BBHHH", kind, 0, 0, identifier, 1) + b"some data"
    pseudo = packed(source) + packed(destination) + pack(">IxxxB", len(body), ICMPV6) if ":" in source else b""
    body = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    return ip(source, destination, ICMPV6 if pseudo else ICMP, body)


@both_versions
def test_echo_is_answered_to_the_client_that_asked(version: int) -> None:
    host = Host()
    assert host.one(echo(CLIENT[version], VIP[version], 77)) == echo(CLIENT[version], SERVER[version], 77)
    reply = host.one(echo(SERVER[version], CLIENT[version], 77, reply=True))
    assert reply == echo(VIP[version], CLIENT[version], 77, reply=True)


def test_echoes_of_several_clients_have_identifiers_of_the_pool() -> None:
    host = Host(FROM_POOL)
    clients = ["10.9.0.2", "10.9.0.3", "10.9.0.4"]
    for number, client in enumerate(clients):
        assert host.one(echo(client, VIP[4], 77)) == echo(POOL[4], SERVER[4], FIRST + number)
    assert host.one(echo(clients[0], VIP[4], 77)) == echo(POOL[4], SERVER[4], FIRST)
    for number, client in enumerate(clients):
        assert host.one(echo(SERVER[4], POOL[4], FIRST + number, reply=True)) == echo(VIP[4], client, 77, reply=True)
    host.advance(61)
    assert host(echo(SERVER[4], POOL[4], FIRST, reply=True)) == []
    assert host.drops == {DropReason.NOBODYS: 1}


def test_echoes_of_a_client_to_two_services_of_a_server_are_answered_by_each() -> None:
    host = Host(services=OTHER_VIP)
    asked = {vip: host.one(echo(CLIENT[4], vip, 77)) for vip in (VIP[4], "10.80.0.2")}
    for _ in range(2):  # the flows keep what they have
        for vip, made in asked.items():
            assert host.one(echo(CLIENT[4], vip, 77)) == made
            identifier = int.from_bytes(made[24:26], "big")
            assert made == echo(CLIENT[4], SERVER[4], identifier)
            assert host.one(echo(SERVER[4], CLIENT[4], identifier, reply=True)) == echo(
                vip, CLIENT[4], 77, reply=True)


def test_servers_at_one_address_with_one_pool_answer_the_client_that_asked() -> None:
    other = OTHER_VIP.replace("web1", "web2")
    server = f'[servers.web2]\nbearer = "rewrite"\naddress = ["10.70.0.11"]\nlisten_port = 8081\n{FROM_POOL}'
    host, clients = Host(FROM_POOL, other + server), {VIP[4]: "10.9.0.2", "10.80.0.2": "10.9.0.3"}
    for _ in range(2):
        asked = {vip: host.one(echo(client, vip, 77)) for vip, client in clients.items()}
        for vip, made in asked.items():
            reply = echo(SERVER[4], POOL[4], int.from_bytes(made[24:26], "big"), reply=True)
            assert host.one(reply) == echo(vip, clients[vip], 77, reply=True)


def test_flows_without_ports_to_two_services_of_a_server_leave_nothing_behind() -> None:
    host = Host(services=OTHER_VIP)
    for number in range(20):
        for vip in (VIP[4], "10.80.0.2"):
            for packet in (echo(f"10.9.1.{number}", vip, 77), ip(f"10.9.1.{number}", vip, 132, b"sctp")):
                assert host(packet)
    host.advance(100)
    assert host.bearer.traffic.next_timer() is None
    assert host.bearer.traffic._answers_of == {}


@pytest.mark.parametrize(("keys", "change", "source", "server"), [
    ("", {"address": ["10.70.0.99", SERVER[6]]}, CLIENT[4], "10.70.0.99"),
    (FROM_POOL, {"pool": ["10.71.0.9", POOL[6]]}, "10.71.0.9", SERVER[4]),
    (FROM_POOL, {"pool": None, "source": "client"}, CLIENT[4], SERVER[4])])
def test_echo_that_goes_on_follows_a_changed_table(
        keys: str, change: dict[str, object], source: str, server: str) -> None:
    host = Host(keys)
    host.one(echo(CLIENT[4], VIP[4], 77))
    addresses = {key: [ip_address(each) for each in value] for key, value in change.items() if isinstance(value, list)}
    changed = replace(host.network.servers["web1"], **change | addresses)
    host.depot.reconfigure(replace(host.network, servers={"web1": changed}), host.now)
    made = host.one(echo(CLIENT[4], VIP[4], 77))
    identifier = int.from_bytes(made[24:26], "big")
    assert made == echo(source, server, identifier)
    assert host.one(echo(server, source, identifier, reply=True)) == echo(VIP[4], CLIENT[4], 77, reply=True)


def test_other_protocol_passes_by_its_addresses_but_not_from_a_pool() -> None:
    host, pooled = Host(), Host(FROM_POOL)
    assert host.one(ip(CLIENT[4], VIP[4], 132, b"sctp")) == ip(CLIENT[4], SERVER[4], 132, b"sctp")
    assert host.one(ip(SERVER[4], CLIENT[4], 132, b"sctp")) == ip(VIP[4], CLIENT[4], 132, b"sctp")
    assert pooled(ip(CLIENT[4], VIP[4], 132, b"sctp")) == []
    assert pooled.drops == {DropReason.NOT_REWRITABLE: 1}


def test_queries_are_forgotten_when_they_are_too_many_or_too_old() -> None:
    gone: list[int] = []
    kept: Remembered[int] = Remembered(gone.append)
    for number in range(3 * MOST):
        kept.keep(number.to_bytes(4, "big"), number)
    assert len(kept) == 2 * MOST
    assert gone == list(range(MOST))
    assert kept.find((MOST).to_bytes(4, "big")) == MOST
    now = 0
    while (due := kept.next_timer()) is not None:
        now = max(now + 1, due)
        kept.handle_timer(now)
    assert now <= 3 * LIFE
    assert sorted(gone) == list(range(3 * MOST))


@both_sources
@both_versions
def test_error_of_a_router_is_rewritten_inside_and_keeps_its_source(version: int, keys: str) -> None:
    host = Host(keys)
    address, port = opened(host, version)
    quoted = tcp(address, port, SERVER[version], 80, ACK, seq=101, ack=301, data=b"x" * 20)
    told = tcp(CLIENT[version], 4000, VIP[version], 80, ACK, seq=101, ack=301, data=b"x" * 20)
    assert host.one(icmp_error(ROUTER[version], address, quoted)) == icmp_error(ROUTER[version], CLIENT[version], told)
    assert host.one(icmp_error(SERVER[version], address, quoted)) == icmp_error(VIP[version], CLIENT[version], told)


@both_versions
def test_error_of_a_client_is_rewritten_inside_and_outside(version: int) -> None:
    host = Host()
    opened(host, version)
    quoted = tcp(VIP[version], 80, CLIENT[version], 4000, ACK, seq=301, ack=101, data=b"x" * 20)
    told = tcp(SERVER[version], 80, CLIENT[version], 4000, ACK, seq=301, ack=101, data=b"x" * 20)
    assert host.one(icmp_error(CLIENT[version], VIP[version], quoted)) == icmp_error(
        CLIENT[version], SERVER[version], told)


def fragments(whole: bytes, size: int, identification: int = 9) -> list[bytes]:
    """An IPv4 packet in fragments of `size` octets of payload."""
    payload = whole[20:]
    parts = range(0, len(payload), size)
    return [ip(whole[12:16], whole[16:20], whole[9], payload[at:at + size], identification=identification,
               fragment=(0x2000 if at + size < len(payload) else 0) | at // 8) for at in parts]


@both_sources
@pytest.mark.parametrize("first_comes", ["first", "last"])
def test_fragments_are_rewritten_in_both_directions_whatever_their_order(keys: str, first_comes: str) -> None:
    host, step = Host(keys), 1 if first_comes == "first" else -1
    source = (POOL[4], FIRST) if keys else (CLIENT[4], 5353)
    there = fragments(udp(CLIENT[4], 5353, VIP[4], 80, bytes(range(200))), 64)
    made = host(*there[::step])
    assert sorted(made) == sorted(fragments(udp(*source, SERVER[4], 80, bytes(range(200))), 64))
    back = fragments(udp(SERVER[4], 80, *source, bytes(range(100, 250))), 64)
    made = host(*back[::step])
    assert sorted(made) == sorted(fragments(udp(VIP[4], 80, CLIENT[4], 5353, bytes(range(100, 250))), 64))
    assert host.drops == {}


# What is nobody's.


def test_answer_that_is_nobodys_goes_nowhere_and_is_counted() -> None:
    pooled, shared = Host(FROM_POOL), Host(services=OTHER_VIP)
    assert pooled(tcp(SERVER[4], 80, POOL[4], 5000, ACK), udp("192.0.2.1", 53, POOL[4], 5000, b"x")) == []
    assert pooled.drops == {DropReason.NOBODYS: 2}
    quoted = tcp(CLIENT[4], 4000, SERVER[4], 80, ACK)
    assert shared(tcp(SERVER[4], 80, CLIENT[4], 5000, ACK), icmp_error(ROUTER[4], CLIENT[4], quoted)) == []
    assert shared.drops == {DropReason.NOBODYS: 1, DropReason.NOT_A_SERVICE: 1}


def test_other_traffic_of_a_server_goes_on_as_it_is() -> None:
    host = Host()
    own = [tcp(SERVER[4], 33000, "192.0.2.1", 443, SYN), udp(SERVER[4], 33000, "192.0.2.1", 53, b"query"),
           echo(SERVER[4], "192.0.2.1", 3), *fragments(udp(SERVER[4], 33001, "192.0.2.1", 53, bytes(200)), 64)]
    assert host(*own) == own
    assert host(tcp("192.0.2.1", 443, CLIENT[4], 33000, SYN)) == []
    assert host.drops == {DropReason.NOT_A_SERVICE: 1}
    by_port = Host('port = "eth1"')
    assert by_port.one(tcp("192.0.2.1", 443, CLIENT[4], 33000, SYN)) == tcp("192.0.2.1", 443, CLIENT[4], 33000, SYN)


def test_restarted_depot_adopts_a_session_where_a_single_service_is() -> None:
    host = Host()
    opened(host)
    host.restart()
    answer = host.one(tcp(SERVER[4], 80, CLIENT[4], 4000, ACK, seq=301, ack=101, data=b"more"))
    assert answer == tcp(VIP[4], 80, CLIENT[4], 4000, ACK, seq=301, ack=101, data=b"more")
    assert host.depot.sessions.adopted == 1
    assert host.one(tcp(CLIENT[4], 4000, VIP[4], 80, ACK, seq=101, ack=305)) == tcp(
        CLIENT[4], 4000, SERVER[4], 80, ACK, seq=101, ack=305)
    host.restart()
    host.depot.next_timer()
    assert host.one(tcp(SERVER[4], 80, CLIENT[4], 4000, ACK, seq=301, ack=101))
    host.advance(30 * 60)
    assert host(tcp(SERVER[4], 80, CLIENT[4], 4999, ACK, seq=301, ack=101)) == []
    assert host.drops == {DropReason.NO_SESSION: 1}


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1), st.binary(min_size=1, max_size=60),
       st.sampled_from((4, 6)))
@examples(60)
def test_wrong_checksums_are_exactly_as_wrong_on_the_other_side(by: int, port: int, data: bytes, version: int) -> None:
    host = Host("listen_port = 8080")
    source = (CLIENT[version], port or 1)
    head = 20 if version == 4 else 40
    host(tcp(*source, VIP[version], 80, SYN))
    right = tcp(*source, VIP[version], 80, ACK, data=data)
    wrong = right[:head + 16] + (int.from_bytes(right[head + 16:head + 18], "big") ^ by).to_bytes(2, "big") \
        + right[head + 18:]
    made = host.one(wrong)
    assert has_right_checksums(made) == has_right_checksums(wrong)
    right_there = tcp(*source, SERVER[version], 8080, ACK, data=data)
    # As a sum of ones' complement, the difference to the right checksum is the same.
    assert (int.from_bytes(made[head + 16:head + 18], "big") - int.from_bytes(right_there[head + 16:head + 18], "big")
            - int.from_bytes(wrong[head + 16:head + 18], "big")
            + int.from_bytes(right[head + 16:head + 18], "big")) % 0xFFFF == 0


@given(st.data())
@examples(150)
def test_hostile_octets_from_a_server_raise_nothing_and_reach_no_other_client(data: st.DataObject) -> None:
    host = Host(data.draw(st.sampled_from(["", FROM_POOL, 'port = "eth1"'])))
    version = data.draw(st.sampled_from((4, 6)))
    address, port = opened(host, version)
    seeds = [tcp(SERVER[version], 80, address, port, ACK, seq=301, ack=101, data=b"abc"),
             udp(SERVER[version], 80, address, port, b"abc"), echo(SERVER[version], CLIENT[version], 3),
             icmp_error(ROUTER[version], address, tcp(address, port, SERVER[version], 80, ACK))]
    octets = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    hostile = bytes(octets[:data.draw(st.integers(0, len(octets)))])
    for made in host(hostile):
        # It goes on as it is, or comes from the service in answer to its client.
        assert made == hostile or packed(VIP[version]) in made or packed(ROUTER[version]) in made


# Frames.


def frame(version: int, source: tuple[str, int], destination: tuple[str, int], count: int, size: int = 1000) -> Frame:
    """A frame of segments as the kernel gives it."""
    whole = tcp(*source, *destination, ACK, seq=101, ack=301, data=bytes(n % 251 for n in range(count * size)))
    head = 20 if version == 4 else 40
    pseudo = packed(source[0]) + packed(destination[0]) + pack(">I", TCP << 16 | len(whole) - head)
    whole = whole[:head + 16] + (checksum(pseudo) ^ 0xFFFF).to_bytes(2, "big") + whole[head + 18:]
    made = frame_of(VirtioNetHeader(1, 1 if version == 4 else 4, head + 20, size, head, 16).pack() + whole)
    assert made is not None
    return made


@both_sources
@both_versions
def test_frame_crosses_whole_in_both_directions(version: int, keys: str) -> None:
    host = Host(keys)
    address, port = opened(host, version)
    client, vip, server, at = (CLIENT[version], 4000), (VIP[version], 80), (SERVER[version], 80), (address, port)
    for source, destination, told in ((client, vip, (at, server)), (server, at, (vip, client))):
        host.depot.packets_from_host([frame(version, source, destination, 20)], host.now)
        made = host.depot.take_packets()
        if version == 4 or is_compiled():  # in plain Python a frame of IPv6 is taken packet by packet
            assert [type(item) for item in made] == [Frame]
        assert packets_of(made) == frame(version, *told, 20).packets()
        assert all(map(has_right_checksums, packets_of(made)))
    assert host.depot.sessions.find(flow_key(TCP, packed(CLIENT[version]), 4000, packed(VIP[version]), 80)).packets_in \
        == 22


def test_frame_of_a_server_without_a_session_is_looked_at_packet_by_packet() -> None:
    host = Host(FROM_POOL)
    host.depot.packets_from_host([frame(4, (SERVER[4], 80), (POOL[4], 5000), 3)], host.now)
    assert host.depot.take_packets() == []
    assert host.drops == {DropReason.NOBODYS: 3}


def test_explain_names_the_octets_that_are_rewritten() -> None:
    told = explain(Host("listen_port = 8080").depot, tcp(CLIENT[4], 4000, VIP[4], 80, SYN), 0)
    assert (told.outcome, told.path["server_end"]) == ("forwarded", "10.70.0.11:8080")
    assert [text.partition(" (")[0] for text in told.path["rewritten"]] == [
        "destination address", "header checksum", "destination port", "TCP checksum"]


def test_way_to_a_server_is_what_the_host_tells() -> None:
    host = Host()
    opened(host)
    host.bearer.set_way("web1", 1280, "", host.now)
    too_big = host.one(tcp(CLIENT[4], 4000, VIP[4], 80, ACK, seq=101, ack=301, data=bytes(1300)))
    assert too_big[9] == ICMP
    assert int.from_bytes(too_big[26:28], "big") == 1280
    host.bearer.set_way("web1", 1280, "this host has no route to 10.70.0.11", host.now)
    assert not host.depot.management.servers["web1"].alive
    host.bearer.set_way("web1", 1500, "", host.now)
    assert host.depot.management.servers["web1"].alive
    assert host.bearer.default("web1").mtu == 1500


