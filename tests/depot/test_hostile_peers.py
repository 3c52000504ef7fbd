"""A depot whose peers are out of order: other depots of its set, and edge nodes. None of their words may end it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment_sdu
from atmdepot.depot.forwarding import Depot
from atmdepot.depot.role import Role
from atmdepot.depot.sync_peer import SyncPeer
from atmdepot.wire.announcement import Flows, ToldFlow
from atmdepot.wire.replication import OUTSIDE, Frame, FrameReader, Kind
from atmdepot.wire.replication_control import ROLES, Hello, Turnover
from atmdepot.wire.replication_servers import servers_frame
from atmdepot.wire.statistics import ServerState, Statistics
from atmdepot.wire.sync_link import CONTROL, STREAM, BadRecord
from tests.depot.pairs import Pair, handshake, replication_of, set_of_depots
from tests.effort import examples
from tests.ip_packets import packed
from tests.network_in_memory import CLIENT4, SECOND, VIP4, VIP6
from tests.wire.test_replication import VALUES, ServerTold, octet, short, term, word

MS = 1_000_000
NETWORK = set_of_depots(3)
values = st.sampled_from(sorted(set(VALUES) - {Kind.HELLO})).flatmap(lambda kind: VALUES[kind][1])
frames = st.one_of(
    values.map(lambda value: value.pack()),
    st.builds(Frame, st.integers(0, 20), st.integers(0, 15), st.binary(max_size=90)).map(Frame.pack),
    st.builds(lambda kind, one, two: Turnover(one, two).pack(kind),
              st.sampled_from([Kind.HANDOVER, Kind.HANDED_OVER, Kind.BYE]), term, term),
    st.lists(st.builds(ServerTold, short, octet, octet, word), max_size=3).map(servers_frame),
    st.sampled_from([Frame(kind, OUTSIDE, b"").pack() for kind in (Kind.RESYNC, Kind.STREAM_OVER)]))


def known(pair: Pair) -> list[bytes]:
    """What an active depot says to a standby, frame by frame."""
    for port in range(40_000, 40_004):
        handshake(pair.active, port, pair.now)
    pair.stream.keep(pair.now)
    pair.connect()
    assert pair.reader is not None
    pair.reader.slice(pair.now)
    return [frame.pack() for frame in FrameReader().feed(pair.reader.take(1 << 20))]


REAL = known(Pair(NETWORK))
records = st.tuples(st.sampled_from([CONTROL, STREAM]), st.lists(frames | st.sampled_from(REAL), max_size=4).map(
    b"".join)) | st.tuples(st.integers(0, 5), st.binary(max_size=50))


def in_role(role: Role, now: int) -> Depot:
    """A depot in a role, with sessions of its own."""
    depot = Depot(NETWORK, now, "depot1")
    if role in (Role.ACTIVE, Role.HANDING_OVER):
        depot.roles.granted(now)
    if role is Role.HANDING_OVER:
        depot.roles.handover_asked(now, "depot2")
    if role is Role.STANDBY:
        depot.roles.synced(now)
    for port in range(40_002, 40_006):
        handshake(depot, port, now)
    return depot


def peer_of(depot: Depot, name: str, role: str, term: int, now: int) -> SyncPeer:
    assert depot.replica is not None
    peer = SyncPeer(depot, Hello(network="set", set="main", node=name, run=5, term=term, role=role), now)
    depot.peers.open[name] = peer
    return peer


def work(depot: Depot, peers: list[SyncPeer], now: int) -> bytes:
    """Have a depot do what is due, forward a packet of each side, and say all that it has to say; its stream to one."""
    depot.handle_timer(now)
    handshake(depot, 41_000, now)
    told = b""
    for peer in peers:
        peer.next_due(now, True)
        peer.handle_timer(now)
        while (record := peer.take(now)) is not None:
            told += record[1] if record[0] == STREAM and peer is peers[-1] else b""
    return told


@given(st.sampled_from([role for role in Role if role is not Role.ALONE]), st.sampled_from(ROLES), term,
       st.lists(st.tuples(records, st.sampled_from([0, MS, SECOND, 100 * SECOND])), max_size=8))
@examples(150)
def test_whatever_another_depot_says_it_ends_its_link_at_most(
        role: Role, claims: str, term: int, said: list[tuple[tuple[int, bytes], int]]) -> None:
    now = SECOND
    depot = in_role(role, now)
    hostile = peer_of(depot, "depot2", claims, term, now)
    third = peer_of(depot, "depot3", "joining", 0, now)
    peers = [hostile, third]
    for record, span in said:
        try:
            if hostile in peers:
                hostile.receive(*record, now)
        except BadRecord:
            peers.remove(hostile)
            hostile.ended(now)
        now += span
        third.came(now)
        work(depot, peers, now)
    depot.roles.granted(now)
    work(depot, peers, now)
    # What it tells of all that can be read by a depot in order.
    third.start_over()
    now += SECOND
    told = b""
    for _ in range(20):
        now += 10 * MS
        told += work(depot, peers, now)
    other = Pair(NETWORK)
    other.replica.begin("depot1")
    other.replica.feed(told, other.now)
    assert other.replica.in_sync


# Edge nodes.

keys = st.builds(
    lambda protocol, client, port, vip, service: bytes((protocol,)) + client + port.to_bytes(2, "big") + vip + service,
    st.sampled_from([6, 17, 1, 0, 255]), st.binary(min_size=4, max_size=4), st.integers(0, 65_535),
    st.sampled_from([packed(VIP4), bytes(4)]), st.sampled_from([b"\0\x50", b"\0\0", b"\xff\xff"])) | st.builds(
    lambda protocol, client, vip: bytes((protocol,)) + client + vip + b"\0\x50",
    st.sampled_from([6, 17, 58]), st.binary(min_size=18, max_size=18), st.just(packed(VIP6)))
told_flows = st.lists(st.builds(ToldFlow, keys, st.sampled_from([0, 1, 32, 33, 64, 65, 600, 65_535]) | short,
                                st.sampled_from([0, 1, 2**32 - 1]) | word), max_size=6).map(
    lambda flows: sorted(flows, key=lambda flow: len(flow.key)))
reports = st.builds(
    lambda state, term, follows, numbers: Statistics(state, *numbers, term=term, follows=follows),
    st.sampled_from(ServerState), st.integers(0, 2**64 - 1),
    st.sampled_from(["", "depot1", "depot2", "nobody", "\x01"]),
    st.tuples(short, word, word, *[st.integers(0, 2**64 - 1)] * 4, word, word, st.integers(0, 2**64 - 1)))


@given(st.lists(st.tuples(st.sampled_from(["web1", "web2"]), st.one_of(
    told_flows, reports, st.binary(max_size=60).map(lambda octets: b"ADAN" + octets),
    st.binary(max_size=90).map(lambda octets: b"ADST" + octets)), st.booleans(),
    st.sampled_from([0, MS, 200 * MS, SECOND])), max_size=8))
@examples(150)
def test_whatever_an_edge_node_says_the_stream_goes_on(said: list[tuple[str, Any, bool, int]]) -> None:
    pair = Pair(RECALLS)
    depot, now = pair.active, pair.now
    depot.recall.begin(0, now)
    parts = dict.fromkeys(("web1", "web2"), 0)
    for node, what, is_last, span in said:
        sdu = what
        if isinstance(what, Statistics):
            sdu = what.pack()
        elif isinstance(what, list):
            asked = depot.recall._asked.get(node)
            sdu = Flows(0 if asked is None else asked.number, parts[node], is_last, what).pack()
            parts[node] += 1
        path: Any = depot.bearer.management(node)
        depot.octets_from_port(path.port, segment_sdu(sdu, path.vc, 0), now)
        now += span
        depot.handle_timer(now)
    pair.now = now + 6 * SECOND
    depot.handle_timer(pair.now)
    depot.roles.granted(pair.now)
    pair.stream.keep(pair.now)
    pair.connect()
    pair.carry()
    assert pair.replica.in_sync
    assert pair.replica.digest == pair.stream.digest
    pair.now += 10_000 * SECOND
    depot.handle_timer(pair.now)


RECALLS = set_of_depots(2)
RECALLS.own_sets["main"].recall = True


@pytest.mark.parametrize("protocol", [0, 1, 58, 255])
def test_a_flow_of_a_protocol_without_sessions_is_not_adopted(protocol: int) -> None:
    """It would be told to the other depots, whose links it would break."""
    pair = Pair(RECALLS)
    pair.active.recall.begin(0, pair.now)
    key = bytes((protocol,)) + packed(CLIENT4) + b"\0\x07" + packed(VIP4) + b"\0\x50"
    path: Any = pair.active.bearer.management("web1")
    sdu = Flows(pair.active.recall._asked["web1"].number, 0, True, [ToldFlow(key, 64, 0)]).pack()
    pair.active.octets_from_port(path.port, segment_sdu(sdu, path.vc, 0), pair.now)
    assert len(pair.active.sessions.primary) == 0
    pair.carry()
    assert pair.replica.in_sync


def test_an_edge_node_that_follows_a_stranger_moves_no_role() -> None:
    pair = Pair(RECALLS)
    path: Any = pair.active.bearer.management("web1")
    report = Statistics(ServerState.ACCEPTS, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, term=9, follows="depot9")
    pair.active.octets_from_port(path.port, segment_sdu(report.pack(), path.vc, 0), pair.now)
    assert pair.active.roles.role is Role.ACTIVE
    assert replication_of(pair.active).is_kept
