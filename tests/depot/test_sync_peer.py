"""The conversation of two depots over their link, in virtual time: stream, ACKs, signs of life, planned takeovers."""

from __future__ import annotations

from typing import Any, cast

import pytest

from atmdepot.depot.role import Role
from atmdepot.depot.sync_peer import NEVER, SyncPeer
from atmdepot.wire.replication import Frame, FrameReader, Kind
from atmdepot.wire.replication_control import Hello
from atmdepot.wire.sync_link import CONTROL, STREAM, BadRecord
from tests.net.standing_by import StandIn, table

MS = 1_000_000
SECOND = 1_000 * MS


class Pair:
    """Two depots, the conversation of each, and the records under way between them."""

    def __init__(self) -> None:
        network = table(7501, 7502)
        self.now = SECOND
        self.one, self.two = StandIn(network, "depot1", self.now, 11), StandIn(network, "depot2", self.now, 22)
        self.one.roles.granted(self.now)
        self.open()

    def open(self) -> None:
        self.of_one = SyncPeer(cast("Any", self.one), hello(self.two), self.now)
        self.of_two = SyncPeer(cast("Any", self.two), hello(self.one), self.now)

    def settle(self, *, until: int | None = None) -> None:
        """Let both do what is due, up to a time; by default only what is due at once."""
        ends = (self.of_one, self.of_two), (self.of_two, self.of_one)
        while True:
            due = min(one.next_due(self.now, True) for one, _ in ends)
            if due > (self.now if until is None else until):
                break
            self.now = max(self.now, due)
            for one, other in ends:
                one.handle_timer(self.now)
                while (record := one.take(self.now)) is not None:
                    other.receive(*record, self.now)
        self.now = self.now if until is None else until

    def run(self, span: int) -> None:
        self.settle(until=self.now + span)


def hello(depot: Any) -> Hello:
    return Hello(network="pair", set="main", node=depot.name, run=depot.replication.run, term=depot.roles.term,
                 role=depot.roles.role, applied=depot.replica.applied)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_a_late_joiner_gets_all_and_then_each_change_within_some_ms(pair: Pair) -> None:
    pair.one.replication.octets = bytes(50_000)
    pair.run(100 * MS)
    assert pair.two.replica.octets == pair.one.replication.octets
    assert pair.two.roles.role is Role.STANDBY
    assert pair.one.peers.full_syncs == 1
    pair.one.replication.octets += b"change"
    pair.run(2 * MS)
    assert pair.two.replica.octets.endswith(b"change")
    pair.run(10 * MS)
    assert pair.of_one.acked == (11, 50_006)
    assert max(pair.of_one.lags) <= 12 * MS


def test_a_short_break_costs_no_full_sync(pair: Pair) -> None:
    pair.one.replication.octets = bytes(5_000)
    pair.run(100 * MS)
    pair.of_one.ended(pair.now)
    pair.of_two.ended(pair.now)
    pair.one.replication.octets += b"missed"
    pair.open()
    pair.run(100 * MS)
    assert pair.two.replica.octets.endswith(b"missed")
    assert pair.one.peers.full_syncs == 1
    assert pair.two.roles.role is Role.STANDBY


def test_a_depot_that_was_active_meanwhile_stands_by_again_though_a_single_record_syncs_it(pair: Pair) -> None:
    """A snapshot of few sessions is whole at once: what was in sync before the depot was active must not hide it."""
    pair.run(SECOND)
    two = pair.two
    assert two.roles.role is Role.STANDBY
    two.roles.granted(pair.now)
    two.replica.in_sync = False  # as a replica that takes over
    two.roles.revoked(pair.now, "gone")
    assert two.roles.role is Role.JOINING
    snapshot = b"!" + (33).to_bytes(8, "big") + (0).to_bytes(8, "big")
    pair.of_two.receive(STREAM, snapshot, pair.now)
    assert two.replica.in_sync
    assert two.roles.role is Role.STANDBY


def test_an_idle_link_has_only_signs_of_life(pair: Pair) -> None:
    pair.run(SECOND)
    before = pair.two.peers.received_octets
    pair.run(10 * SECOND)
    assert pair.two.peers.received_octets - before < 101 * 40
    assert pair.of_two.leaves == ""
    assert pair.of_one.next_due(pair.now, True) <= pair.now + 100 * MS


def test_a_silent_link_ends_after_5_s(pair: Pair) -> None:
    pair.run(SECOND)
    assert pair.of_one.handle_timer(pair.now + 4_800 * MS) == ""
    assert pair.of_one.handle_timer(pair.now + 5_000 * MS) == "nothing came for 5 s"


def test_a_part_of_a_long_record_is_a_sign_of_life(pair: Pair) -> None:
    pair.run(SECOND)
    pair.of_one.came(pair.now + 4_000 * MS)
    assert pair.of_one.handle_timer(pair.now + 8_900 * MS) == ""
    assert pair.of_one.handle_timer(pair.now + 9_000 * MS) == "nothing came for 5 s"


def test_a_table_that_was_read_anew_is_compared_again(pair: Pair) -> None:
    pair.run(SECOND)
    pair.one.network = table(7501, 7502)
    assert "read again" in pair.of_one.handle_timer(pair.now)


def test_a_slow_standby_is_cut_off_and_starts_over_after_pauses_that_grow(pair: Pair) -> None:
    pair.run(100 * MS)
    pair.one.replication.kept = 1_000
    for number, pause in enumerate((1, 2, 4), 1):
        pair.one.replication.octets += bytes(2_000)
        assert pair.of_one.next_due(pair.now, True) == pair.now
        if number > 1:
            assert pair.of_one.take(pair.now) == (CONTROL, Frame(Kind.STREAM_OVER, 1, b"").pack()), "the stream before"
        assert pair.of_one.take(pair.now) is None
        assert pair.one.peers.cut_off == number
        due = pair.of_one._stream_from
        assert due == pair.now + pause * SECOND
        pair.now = due
        pair.of_one.next_due(pair.now, True)  # it starts over, and is at once behind again
        assert pair.one.peers.full_syncs == 1 + number


def test_a_full_socket_makes_nothing_due_but_signs_of_life(pair: Pair) -> None:
    pair.run(100 * MS)
    pair.one.replication.octets += bytes(100_000)
    assert pair.of_one.next_due(pair.now, False) > pair.now


def test_what_waits_for_a_depot_that_reads_nothing_does_not_grow(pair: Pair) -> None:
    """Signs of life, acknowledgements and questions of an hour, of which the newest of each kind say all."""
    pair.run(100 * MS)
    one, change = pair.of_two, pair.one.replication
    for _ in range(36_000):
        pair.now += 100 * MS
        one.receive(STREAM, b"change", pair.now)
        one.ask_for_all()
        one.handle_timer(pair.now)
    channel, payload = one.take(pair.now) or (None, b"")
    assert channel == CONTROL
    kinds = [frame.kind for frame in FrameReader().feed(payload)]
    assert sorted(kinds) == sorted({Kind.HEARTBEAT, Kind.ACK, Kind.RESYNC})
    assert change.end == 0
    assert one.take(pair.now) is None


def test_a_snapshot_takes_a_tenth_of_the_time(pair: Pair) -> None:
    pair.one.replication.octets = bytes(50_000)
    pair.of_one.handle_timer(pair.now)
    assert pair.of_one.take(pair.now)[0] == CONTROL  # type: ignore[index]
    assert pair.of_one.take(pair.now)[0] == STREAM  # type: ignore[index]
    pair.of_one.took(300_000, pair.now)
    assert pair.of_one.take(pair.now) is None
    assert pair.of_one.next_due(pair.now, True) == pair.now + 9 * 300_000


def test_resync_sends_all_anew(pair: Pair) -> None:
    pair.run(100 * MS)
    pair.of_two.ask_for_all()
    pair.run(100 * MS)
    assert pair.one.peers.full_syncs == 2


def test_resync_sends_all_anew_though_an_ack_is_due_with_it(pair: Pair) -> None:
    pair.run(100 * MS)
    pair.one.replication.octets += b"change"
    pair.run(2 * MS)
    pair.of_two.ask_for_all()
    assert pair.of_two.next_due(pair.now, True) == pair.now
    pair.now += 20 * MS  # the ACK goes in the same record
    pair.settle()
    assert pair.one.peers.full_syncs == 2


def test_a_planned_takeover_waits_until_all_is_applied(pair: Pair) -> None:
    pair.run(100 * MS)
    pair.one.replication.octets += bytes(5_000)
    pair.two.roles.takeover(pair.now)
    pair.run(50 * MS)
    assert pair.one.roles.role is Role.HANDING_OVER
    assert pair.one.roles.has_flushed
    assert pair.two.roles.phase == "taking"
    assert pair.two.replica.octets == pair.one.replication.octets


def test_a_release_hands_over_to_the_other_which_has_not_asked(pair: Pair) -> None:
    pair.run(150 * MS)
    pair.one.replication.octets += bytes(5_000)
    pair.one.roles.release(pair.now)
    pair.run(50 * MS)
    assert pair.one.roles.has_flushed
    assert pair.two.roles.phase == "taking"
    assert pair.two.replica.octets == pair.one.replication.octets


def test_a_role_is_told_at_once(pair: Pair) -> None:
    pair.run(110 * MS)
    pair.one.roles.revoked(pair.now)
    pair.settle()
    assert pair.of_two.role == "joining"


def test_the_one_with_the_higher_term_stays_active(pair: Pair) -> None:
    pair.run(100 * MS)
    pair.two.roles.granted(pair.now)
    pair.run(10 * MS)
    assert pair.one.roles.role is not Role.ACTIVE
    assert pair.two.roles.is_active


@pytest.mark.parametrize(("channel", "payload", "why"), [
    (0, b"", "a record on channel 0"), (9, b"", "a record on channel 9"),
    (STREAM, b"?", "a stream that cannot be applied: SESSION: it is none"),
    (CONTROL, Frame(10, 1, b"short").pack(), "HEARTBEAT has at least"),
    (CONTROL, Frame(10, 1, bytes(28) + b"\x09" + bytes(3)).pack(), "role is below 5, here is 9")])
def test_bad_records_say_what_is_wrong(pair: Pair, channel: int, payload: bytes, why: str) -> None:
    with pytest.raises(BadRecord, match=why):
        pair.of_one.receive(channel, payload, pair.now)


def test_a_stream_goes_on_by_the_last_link_only(pair: Pair) -> None:
    pair.run(100 * MS)
    old = pair.of_two
    pair.open()
    pair.one.replication.octets += b"more"
    pair.run(100 * MS)
    with pytest.raises(BadRecord, match="given up"):
        old.receive(STREAM, b"x", pair.now)


def test_frames_of_a_later_version_are_skipped(pair: Pair) -> None:
    pair.of_one.receive(CONTROL, Frame(200, 1, b"new").pack(), pair.now)
    assert pair.of_one.leaves == ""
    assert pair.of_one.next_due(pair.now, True) < NEVER
