"""The active depot's stream and what a standby makes of it."""

from __future__ import annotations

from atmdepot.depot.sessions import Table
from tests.depot.pairs import SECOND, Pair, from_server, replication_of, set_of_depots
from tests.ip_packets import ACK, FIN, RST, tcp
from tests.network_in_memory import CLIENT4, CLIENT6, VIP4, VIP6


def tables_of(pair: Pair) -> list[list[tuple[object, ...]]]:
    """What both depots have of each entry that a takeover needs."""
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
