"""The active depot's stream and what a standby makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from atmdepot import build
from atmdepot.depot import log_reader
from atmdepot.depot.balancing.registry import BALANCERS
from atmdepot.depot.explain import explain
from atmdepot.depot.forwarding import Depot
from atmdepot.depot.replica import MOST_NAMES, Replica
from atmdepot.depot.replication import MOST_NOTED
from atmdepot.depot.session import SessionEvent, Table
from atmdepot.depot.tcp_tracking import TcpState
from atmdepot.wire.flows import flow_key
from atmdepot.wire.replication import Frame
from atmdepot.wire.replication_entries import Gone, State, Told
from atmdepot.wire.replication_servers import Name, ServerTold, servers_frame
from tests.depot.pairs import Pair, from_server, handshake, replication_of, set_of_depots
from tests.depot.servers import kill, revive
from tests.effort import examples
from tests.ip_packets import ACK, FIN, RST, SYN, packed, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork


def tables_of(pair: Pair) -> list[list[tuple[object, ...]]]:
    """The parts of each entry that a takeover needs, and both depots have."""
    return [sorted((session.key, session.server.name, session.path.number(), session.table, session.closed_by,
                    session.client.state, session.server_side.state, session.client.isn, session.server_side.isn)
                   for table in (depot.sessions.primary, depot.sessions.secondary) for session in table.values())
            for depot in (pair.active, pair.standby)]


def test_standby_has_what_the_active_opens_and_closes() -> None:
    pair = Pair()
    for port, (client, vip) in enumerate(((CLIENT4, VIP4), (CLIENT6, VIP6), (CLIENT4, VIP4)), 40_000):
        pair.open(port, client, vip)
    pair.carry()
    one, other = tables_of(pair)
    assert one == other
    assert len(one) == 3
    pair.active.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, FIN | ACK, seq=41_001, ack=45_001), pair.now)
    pair.carry()
    one, other = tables_of(pair)
    assert one == other
    pair.active.packet_from_tun(tcp(CLIENT4, 40_002, VIP4, 80, RST, seq=41_003), pair.now)
    from_server(pair.active, tcp(VIP4, 80, CLIENT4, 40_000, FIN | ACK, seq=45_001, ack=41_002), pair.now)
    pair.active.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=41_002, ack=45_002), pair.now)
    pair.carry()
    one, other = tables_of(pair)
    assert one == other
    assert [entry[3] for entry in one].count(Table.SECONDARY) == 2
    assert pair.replica.digest == pair.active.replication.digest != 0


def test_late_joiner_gets_all_sessions() -> None:
    pair = Pair()
    pair.reader.end()
    for port in range(40_000, 41_000):
        pair.open(port)
    pair.connect()
    assert not pair.replica.in_sync
    pair.carry()
    one, other = tables_of(pair)
    assert one == other
    assert len(one) == 1000
    assert pair.replica.in_sync
    assert pair.replica.digest == pair.active.replication.digest


def test_signs_of_life_do_not_shorten_the_period_of_a_warm_standby() -> None:
    pair = Pair(set_of_depots(of_set='interval = "1s"'))
    pair.carry()
    began, replication = pair.now, replication_of(pair.active)
    pair.open(40_000)
    assert pair.reader is not None
    for _ in range(9):
        pair.now += SECOND // 10
        replication.beat(pair.now)
        assert not pair.reader.take(65_536)
    assert replication.next_timer() == began + SECOND
    pair.now = began + SECOND
    replication.beat(pair.now)
    assert pair.reader.take(65_536)


def test_period_hides_what_opens_and_goes_within_it() -> None:
    pair = Pair(set_of_depots(of_set='interval = "1s"'))
    pair.carry()
    before = pair.stream.log.end
    pair.open(40_000)
    pair.active.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, RST, seq=41_001), pair.now)
    pair.open(40_001)
    assert pair.stream.next_timer() == pair.now + SECOND
    pair.now += SECOND
    pair.carry()
    assert pair.stream.log.end - before == 43 + turns_size(pair)
    assert [entry[0][3:7] for entry in tables_of(pair)[1]] == [b"\x00\x02\x9c\x41"]


def test_period_ends_early_when_much_has_changed() -> None:
    """What is noted is held, though its session may be gone: a flood may not fill the memory in a long period."""
    pair = Pair(set_of_depots(of_set='interval = "1h"\nhalf_open = true', tables="[sessions]\nmax_sessions = 100"))
    pair.carry()
    due = []
    for number in range(MOST_NOTED + 10):
        client = f"198.18.{number >> 8}.{number & 255}"
        pair.active.packet_from_tun(tcp(client, 1024, VIP4, 80, SYN, seq=number), pair.now)
        due.append(pair.stream.next_timer())
    assert due[MOST_NOTED - 2] == pair.now + 3600 * SECOND
    assert due[-1] == pair.now
    pair.stream.handle_timer(pair.now)
    assert pair.stream.next_timer() is None


def turns_size(pair: Pair) -> int:
    """Octets of the frame that tells the turns."""
    return len(pair.stream._turns)


def test_half_open_sessions_are_told_on_request_only() -> None:
    for asked in (False, True):
        pair = Pair(set_of_depots(of_set=f"half_open = {str(asked).lower()}"))
        pair.active.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=7), pair.now)
        pair.carry()
        assert len(pair.standby.sessions.primary) == asked


def test_flow_is_told_with_its_second_packet() -> None:
    pair = Pair()
    for count in range(3):
        pair.active.packet_from_tun(udp(CLIENT4, 5000, VIP4, 80, b"x"), pair.now)
        pair.carry()
        assert len(pair.standby.sessions.primary) == (count > 0)
    (flow,) = pair.standby.sessions.primary.values()
    assert flow.opening
    from_server(pair.active, udp(VIP4, 80, CLIENT4, 5000, b"x"), pair.now)
    pair.carry()
    (flow,) = pair.standby.sessions.primary.values()
    assert not flow.opening
    assert flow.path.number() == 64


def test_depot_without_standby_has_no_stream() -> None:
    net = InMemoryNetwork()
    assert net.depot.replication is net.depot.replica is net.depot.sessions.log is None
    network = set_of_depots()
    alone = replace(network.own_sets["main"], standby="none", sync={})
    depot = Depot(replace(network, own_sets={"main": alone}), SECOND, "depot2")
    assert depot.replication is None
    assert not depot.sessions.stands_by


def test_log_is_kept_while_there_is_a_reader_and_for_its_length() -> None:
    pair = Pair()
    assert pair.stream.is_kept
    pair.stream.log.most = 4096
    pair.reader.end()
    for port in range(40_000, 40_200):
        pair.open(port)
        pair.stream.flush(pair.now)
    assert not pair.stream.is_kept
    assert pair.active.sessions.log is None


def test_reader_that_is_too_far_behind_is_cut_off_and_starts_over() -> None:
    pair = Pair()
    pair.stream.room = 4096
    pair.stream.keep(pair.now)
    pair.connect()
    pair.carry()
    assert not pair.reader.cut_off
    for port in range(40_000, 40_200):
        pair.open(port)
        pair.stream.flush(pair.now)
    assert pair.reader.cut_off
    assert pair.reader.take(100) == b""
    assert pair.stream.cut_off == 1
    pair.connect()
    pair.carry()
    one, other = tables_of(pair)
    assert one == other
    assert len(one) == 200


def test_short_break_goes_on_from_the_acknowledged_offset() -> None:
    pair = Pair()
    for port in range(40_000, 40_010):
        pair.open(port)
    pair.carry()
    pair.open(40_010)
    pair.stream.flush(pair.now)
    pair.reader.take(7)  # these are lost
    pair.reader.end()
    pair.connect()
    assert not pair.reader.in_snapshot
    assert pair.stream.full_syncs == 1
    pair.carry()
    assert pair.replica.in_sync
    one, other = tables_of(pair)
    assert one == other
    assert len(one) == 11


def test_slow_reader_holds_its_snapshot_back() -> None:
    pair = Pair()
    for port in range(40_000, 40_300):
        pair.open(port)
    log_reader.AHEAD, before = 1000, log_reader.AHEAD
    try:
        pair.stream.keep(pair.now)
        pair.connect()
        while pair.reader.slice(pair.now, 10) and pair.reader.pending < 1000:
            pass
        pending = pair.reader.pending
        assert pair.reader.slice(pair.now, 10)
        if not build.is_compiled():
            assert pair.reader.pending == pending < 2000
    finally:
        log_reader.AHEAD = before


# Taking over.


def taken_over(pair: Pair) -> Depot:
    """The standby, which has become active."""
    pair.active.roles.revoked(pair.now)
    pair.standby.roles.granted(pair.now)
    return pair.standby


def test_session_goes_on_at_the_standby_in_both_directions() -> None:
    pair = Pair()
    pair.open(40_000)
    pair.carry()
    depot = taken_over(pair)
    depot.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=41_001, ack=45_001, data=b"x"), pair.now)
    from_server(depot, tcp(VIP4, 80, CLIENT4, 40_000, ACK, seq=45_001, ack=41_002, data=b"y"), pair.now)
    assert len(depot.take_packets()) == 1
    (session,) = depot.sessions.primary.values()
    assert (session.packets_in, session.packets_out) == (1, 1)
    assert depot.drops == {}


def test_reset_as_the_first_segment_after_a_takeover_is_doubtful() -> None:
    pair = Pair()
    for port in (40_000, 40_001):
        pair.open(port)
    pair.carry()
    depot = taken_over(pair)
    for port in (40_000, 40_001):
        depot.packet_from_tun(tcp(CLIENT4, port, VIP4, 80, RST, seq=1234), pair.now)
    assert len(depot.sessions.primary) == 2
    depot.packet_from_tun(tcp(CLIENT4, 40_001, VIP4, 80, ACK, seq=41_002, ack=45_002, data=b"x"), pair.now)
    pair.now += 12 * SECOND
    depot.handle_timer(pair.now)
    assert [entry[0][3:7] for entry in tables_of(pair)[1] if entry[3] is Table.PRIMARY] == [b"\x00\x02\x9c\x41"]


def test_syn_with_another_number_opens_anew_on_an_inherited_half_open_entry() -> None:
    pair = Pair(set_of_depots(of_set="half_open = true"))
    pair.active.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=7), pair.now)
    pair.carry()
    depot = taken_over(pair)
    depot.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=7), pair.now)
    (session,) = depot.sessions.primary.values()
    assert session.path.number() == 64
    assert session.packets_in == 1
    other = Pair(pair.network)
    other.active.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=7), other.now)
    other.carry()
    depot = taken_over(other)
    depot.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=99), other.now)
    (session,) = depot.sessions.primary.values()
    assert session.path.number() == 564  # of the standby's own part
    assert session.client.isn == 99


@pytest.mark.parametrize("anew", [False, True])
def test_half_open_entry_goes_but_once_when_its_own_client_needs_its_place_at_a_full_server(anew: bool) -> None:
    network = set_of_depots(of_set="half_open = true")
    network = replace(network, servers={
        name: replace(server, max_sessions=1) for name, server in network.servers.items()})
    pair = Pair(network)
    for port in (40_000, 40_001):
        pair.active.packet_from_tun(tcp(CLIENT4, port, VIP4, 80, SYN, seq=7), pair.now)
    pair.carry()
    depot = taken_over(pair)
    syn = tcp(CLIENT4, 40_000 if anew else 40_002, VIP4, 80, SYN, seq=99)
    told = explain(depot, syn, pair.now)
    depot.packet_from_tun(syn, pair.now)
    ports = {entry[0][5:7]: entry[1] for entry in tables_of(pair)[1]}
    assert len(ports) == 2
    assert sum(server.primary_sessions for server in depot.management.servers.values()) == 2
    assert ports[syn[20:22]] == told.server
    assert depot.sessions.evicted == (not anew)


def test_idle_time_of_inherited_sessions_begins_at_the_takeover() -> None:
    pair = Pair()
    pair.open(40_000)
    pair.carry()
    for _ in range(5):
        pair.now += 1000 * SECOND
        pair.standby.handle_timer(pair.now)
    assert len(pair.standby.sessions.primary) == 1
    depot = taken_over(pair)
    at = pair.now
    for seconds, left in ((1199, 1), (1202, 0)):
        pair.now = at + seconds * SECOND
        depot.handle_timer(pair.now)
        assert len(depot.sessions.primary) == left
    assert len(depot.sessions.secondary) == 1


def test_told_values_never_overwrite_what_packets_have_shown_here() -> None:
    pair = Pair()
    pair.open(40_000)
    pair.carry()
    pair.now += 1
    # Its packets come here already, before the role does: they are forwarded, and count.
    pair.standby.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, FIN | ACK, seq=41_001, ack=45_001), pair.now)
    (session,) = pair.standby.sessions.primary.values()
    assert session.client.state is TcpState.FIN_WAIT_1
    key, end = session.key, session.client.end
    stale = State(key, 4, 4, 0, 0).pack() + Told(key, 0, 99, 10, 0, False, 4, 4, 7, 7, 0, 0, 5, 6).pack()
    pair.replica.feed(stale + Gone(key).pack(), pair.now)
    (session,) = pair.standby.sessions.primary.values()
    assert (session.client.state, session.client.end, session.path.number()) == (TcpState.FIN_WAIT_1, end, 64)


@pytest.mark.parametrize("told_first", [False, True])
def test_session_stays_at_its_server_though_a_woken_depot_opens_it_on_a_syn_that_waited_there(told_first: bool) -> None:
    pair = Pair()
    for depot, others in ((pair.active, 1), (pair.standby, 2)):  # so that their turns differ
        for port in range(others):
            handshake(depot, 30_000 + port, pair.now)
    if told_first:
        pair.open(40_000)
        pair.carry()
    pair.now += 1
    pair.standby.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=41_000), pair.now)
    if not told_first:
        pair.open(40_000)
        pair.carry()
    key = flow_key(6, packed(CLIENT4), 40_000, packed(VIP4), 80)
    there, here = pair.active.sessions.find(key), pair.standby.sessions.find(key)
    assert there is not None
    assert here is not None
    assert (here.server.name, here.path.number()) == (there.server.name, there.path.number())
    assert here.client.state is TcpState.ESTABLISHED


def test_functions_go_on_turns_and_dead_and_draining_servers() -> None:
    pair = Pair(set_of_depots(servers=4))
    for port in range(40_000, 40_005):
        pair.open(port)
    kill(pair.active.management.servers["web3"], pair.now)
    pair.active.management.servers["web4"].draining = True
    pair.now += SECOND
    pair.carry()
    upcoming = pair.active.management.pools["web"].preloaded.name
    depot = taken_over(pair)
    assert depot.management.pools["web"].preloaded.name == upcoming
    assert not depot.management.servers["web3"].alive
    assert "depot1" in depot.management.servers["web3"].condition.why
    assert depot.management.servers["web4"].draining
    servers = []
    for port in range(40_005, 40_009):
        handshake(depot, port, pair.now)
        servers.append(list(depot.sessions.primary.values())[-1].server.name)
    assert servers[0] == upcoming
    assert set(servers) == {"web1", "web2"}


def test_what_the_standby_has_probed_itself_counts_more_than_what_was_told() -> None:
    pair = Pair()
    kill(pair.active.management.servers["web1"], pair.now)
    revive(pair.standby.management.servers["web1"], pair.now)
    pair.now += SECOND
    pair.carry()
    assert taken_over(pair).management.servers["web1"].alive


@pytest.mark.parametrize("balancing", list(BALANCERS))
def test_balancer_goes_on_at_the_position_of_the_active(balancing: str) -> None:
    pair = Pair(set_of_depots(servers=3, balancing=f'balancing = "{balancing}"'))
    for port in range(40_000, 40_007):
        pair.open(port)
    pair.now += SECOND
    pair.carry()
    own = pair.active.management.pools["web"].balancer.position(pair.active.management.pools["web"].servers)
    depot = taken_over(pair)
    pool = depot.management.pools["web"]
    assert pool.balancer.position(pool.servers) == own
    for port in range(40_007, 40_013):
        handshake(depot, port, pair.now)
        if balancing != "random-of-two":
            pair.active.roles.granted(pair.now)
            handshake(pair.active, port, pair.now)
    if balancing != "random-of-two":  # the two that it draws are chance
        names = [[depot.sessions.primary[key].server.name for key in depot.sessions.primary]
                 for depot in (pair.active, depot)]
        assert sorted(names[0]) == sorted(names[1])


# What does not fit.


def test_server_that_this_side_lacks_is_counted_and_told() -> None:
    pair = Pair()
    smaller = set_of_depots(servers=1)
    pair.standby = Depot(smaller, pair.now, "depot2")
    pair.reader.end()
    pair.connect()
    pair.carry()
    for port in range(40_000, 40_004):
        pair.open(port)
    pair.carry()
    assert pair.replica.unknown_servers == {"web2": 2}
    assert {entry[1] for entry in tables_of(pair)[1]} == {"web1"}
    assert pair.replica.digest != pair.stream.digest


def test_names_without_end_take_no_memory_without_end() -> None:
    pair = Pair()
    pair.carry()
    for number in range(MOST_NAMES + 100):
        key = b"\x06" + number.to_bytes(12, "big")
        pair.replica.feed(Name(0, 9, f"server{number}").pack() + servers_frame([ServerTold(9, 1, 0, 0)])
                          + Told(key, 9, 64, 10, 0, False, 4, 4, 7, 7, 0, 0, 5, 6).pack(), pair.now)
    assert len(pair.replica.unknown_servers) == len(pair.replica.faults) == MOST_NAMES
    assert len(pair.replica._numbers) <= 4


def test_full_table_refuses_what_is_told_and_counts_it() -> None:
    pair = Pair()
    pair.standby = Depot(set_of_depots(tables="[sessions]\nmax_sessions = 3"), pair.now, "depot2")
    pair.reader.end()
    pair.connect()
    pair.carry()
    for port in range(40_000, 40_005):
        pair.open(port)
    pair.carry()
    assert len(pair.standby.sessions.primary) == 3
    assert pair.replica.without_room == 2


def test_entries_of_before_make_room_in_a_full_table_for_what_is_told() -> None:
    """A depot that was active stands by with a full table; nothing in it may be evicted, and all of it is old."""
    pair = Pair()
    network = set_of_depots(tables="[sessions]\nmax_sessions = 4")
    pair.active, pair.standby = Depot(network, pair.now, "depot1"), Depot(network, pair.now, "depot2")
    pair.active.roles.granted(pair.now)
    pair.standby.roles.granted(pair.now)
    for depot, first in ((pair.standby, 50_000), (pair.active, 40_000)):
        for port in range(first, first + 4):
            handshake(depot, port, pair.now)
    pair.now += 60 * SECOND
    pair.standby.roles.revoked(pair.now)
    pair.connect()
    pair.carry()
    one, other = tables_of(pair)
    assert one == other
    assert len(one) == 4
    assert pair.replica.without_room == 0
    assert pair.replica.digest == replication_of(pair.active).digest


def test_channel_of_a_stale_session_goes_to_the_told_one() -> None:
    pair = Pair()
    pair.open(40_000)
    pair.carry()
    (session,) = pair.standby.sessions.primary.values()
    other = session.key[:-8] + b"\x9c\x99" + session.key[-6:]
    pair.replica.feed(Told(other, 0, 64, 10, 0, False, 4, 4, 7, 7, 0, 0, 5, 6).pack(), pair.now)
    (entry,) = pair.standby.sessions.primary.values()
    assert entry.key == other
    assert entry.path.number() == 64
    assert entry.path.owner is entry


def test_observers_hear_what_is_inherited() -> None:
    pair = Pair()
    heard = []
    pair.standby.sessions.subscribe(lambda session, event, why: heard.append((event, why)))
    pair.open(40_000)
    pair.carry()
    assert heard == [(SessionEvent.INHERITED, "")]


def test_loser_of_a_split_gives_its_sessions_and_the_winner_adopts_those_it_lacks() -> None:
    pair = Pair()
    pair.open(40_000)
    pair.carry()
    winner = taken_over(pair)
    loser = pair.active
    handshake(winner, 40_001, pair.now)
    handshake(loser, 40_002, pair.now)
    reader = replication_of(loser).contribution(pair.now)
    gift = Replica(winner, pair.now)
    gift.begin(loser.name)
    while reader.slice(pair.now) or reader.pending:
        gift.feed(reader.take(1000), pair.now)
    assert gift.adopted == 1
    assert sorted(session.path.number() for session in winner.sessions.primary.values()) == [64, 64, 564]
    assert {session.key[5:7] for session in winner.sessions.primary.values()} == {
        port.to_bytes(2, "big") for port in (40_000, 40_001, 40_002)}


def test_gift_of_a_depot_that_had_no_standby_is_read() -> None:
    """It was active alone, as after a split, so it has never told a server's name."""
    pair = Pair()
    loser = Depot(pair.network, pair.now, "depot2")
    loser.roles.granted(pair.now)
    for port in range(40_000, 40_003):
        handshake(loser, port, pair.now)
    loser.roles.revoked(pair.now)
    reader = replication_of(loser).contribution(pair.now)
    gift = Replica(pair.active, pair.now)
    gift.begin(loser.name)
    while reader.slice(pair.now) or reader.pending:
        gift.feed(reader.take(1000), pair.now)
    assert gift.adopted == len(pair.active.sessions.primary) == 3


@given(st.lists(st.binary(max_size=60) | st.builds(
    lambda kind, flags, body: Frame(kind, flags, body).pack(),
    st.integers(0, 20), st.integers(0, 3), st.binary(max_size=80)), max_size=8))
@examples(150)
def test_hostile_stream_ends_with_value_error_at_most(pieces: list[bytes]) -> None:
    pair = Pair()
    for piece in pieces:
        try:
            pair.replica.feed(piece, pair.now)
        except ValueError:
            break
    pair.standby.handle_timer(pair.now + 1000 * SECOND)
