"""Three depots with real tables, and their links: records under way, cuts, roles that move, streams that start over.

After quiet one depot is active, and the others have the same entries and the same digest. No stream is ever unreadable.
"""

from __future__ import annotations

from collections import deque
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from atmdepot.depot.forwarding import Depot
from atmdepot.depot.role import Role
from atmdepot.depot.sync_peer import SyncPeer, resync
from atmdepot.errors import AtmdepotError
from atmdepot.wire.replication_control import Hello
from atmdepot.wire.sync_link import BadRecord
from tests.depot.pairs import from_server, handshake, replication_of, set_of_depots
from tests.depot.test_replication_machine import live
from tests.effort import examples
from tests.ip_packets import ACK, FIN, RST, tcp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6

if TYPE_CHECKING:
    from atmdepot.config.model import Network

MS = 1_000_000
AGAIN = SECOND
clients = st.sampled_from([(CLIENT4, VIP4), (CLIENT6, VIP6)])


class Link:
    """The link of two depots: the conversation of each, and the records on their way to it."""

    def __init__(self, one: Depot, other: Depot, now: int) -> None:
        self.depots = one, other
        hellos = hello(one), hello(other)
        self.peers = SyncPeer(one, hellos[1], now), SyncPeer(other, hellos[0], now)
        self.under_way: tuple[deque[tuple[int, bytes]], deque[tuple[int, bytes]]] = deque(), deque()
        for depot, peer in zip(self.depots, self.peers, strict=True):
            depot.peers.open[peer.name] = peer

    def next_due(self, now: int) -> int:
        return min(peer.next_due(now, True) for peer in self.peers)

    def work(self, side: int, now: int, most: int = 1 << 30) -> str:
        """Have a side do what is due, and send so many records; return why the link shall end."""
        peer = self.peers[side]
        peer.next_due(now, True)
        if why := peer.handle_timer(now):
            return why
        while most and (record := peer.take(now)) is not None:
            self.under_way[1 - side].append(record)
            peer.took(MS // 2, now)
            most -= 1
        return ""

    def deliver(self, side: int, now: int, most: int = 1 << 30) -> str:
        """Bring a side so many of the records that are under way to it; return why the link shall end."""
        peer = self.peers[side]
        while most and self.under_way[side]:
            try:
                peer.receive(*self.under_way[side].popleft(), now)
            except BadRecord as error:
                if "given up" not in str(error):
                    raise  # a stream is never unreadable
                return str(error)
            most -= 1
        return ""

    def end(self, now: int) -> None:
        for depot, peer in zip(self.depots, self.peers, strict=True):
            if depot.peers.open.get(peer.name) is peer:
                del depot.peers.open[peer.name]
            peer.ended(now)


def hello(depot: Depot) -> Hello:
    assert depot.replica is not None
    return Hello(network="set", set="main", node=depot.name, run=replication_of(depot).run, term=depot.roles.term,
                 role=depot.roles.role, applied=depot.replica.applied, sessions=depot.count_sessions())


class Depots:
    """Depots of a set and the links between them, which come back a second after they broke."""

    def __init__(self, network: Network, room: int = 1 << 24) -> None:
        self.now = SECOND
        names = list(network.set_of("depot1").nodes)
        self.depots = {name: Depot(network, self.now, name) for name in names}
        for depot in self.depots.values():
            replication_of(depot).room = room
        self.links: dict[tuple[str, str], Link | None] = dict.fromkeys(combinations(names, 2))
        self.again_at: dict[tuple[str, str], int] = dict.fromkeys(self.links, self.now)
        self.depots[names[0]].roles.granted(self.now)
        self.connect()

    def connect(self) -> None:
        """Open the links whose time has come."""
        for pair, link in self.links.items():
            if link is None and self.again_at[pair] <= self.now:
                self.links[pair] = Link(*(self.depots[name] for name in pair), self.now)

    def cut(self, pair: tuple[str, str]) -> None:
        link = self.links[pair]
        if link is not None:
            link.end(self.now)
            self.links[pair], self.again_at[pair] = None, self.now + AGAIN

    def step(self) -> None:
        """Have all depots and links do what is due now, until nothing is."""
        for depot in self.depots.values():
            depot.handle_timer(self.now)
        self.connect()
        for pair, link in self.links.items():
            for side in (0, 1) if link is not None else ():
                assert link is not None
                if self.links[pair] is link and (link.work(side, self.now) or link.deliver(1 - side, self.now)):
                    self.cut(pair)

    def run(self, span: int) -> None:
        """Let time pass, with all that is due in it."""
        until = self.now + span
        while True:
            self.step()
            if self.now >= until:
                return
            dues = [link.next_due(self.now) for link in self.links.values() if link is not None]
            dues += [due for depot in self.depots.values() if (due := depot.next_timer()) is not None]
            self.now = min(max(min([*dues, *self.again_at.values(), until] if any(
                link is None for link in self.links.values()) else [*dues, until]), self.now + MS), until)

    def settle(self) -> None:
        """Let time pass until all is in sync, as long as a stream may pause."""
        for _ in range(75):
            self.run(SECOND)
            active = self.active()
            if len(active) == 1 and all(self._follows(depot, active[0]) for depot in self.depots.values()):
                return

    def _follows(self, depot: Depot, active: Depot) -> bool:
        stream = replication_of(active)
        return depot is active or (
            depot.replica is not None and depot.roles.role is Role.STANDBY and not depot.replica.sweeps
            and depot.replica.applied == (stream.run, stream.log.end))

    def active(self) -> list[Depot]:
        return [depot for depot in self.depots.values() if depot.roles.is_active]

    def compare(self) -> None:
        """Hold each standby's entries against those of the only active depot."""
        (active,) = self.active()
        stream = replication_of(active)
        for depot in self.depots.values():
            if depot is active:
                continue
            assert depot.replica is not None
            assert depot.roles.role is Role.STANDBY, (depot.name, depot.roles.role, depot.roles.why)
            assert depot.replica.applied == (stream.run, stream.log.end)
            assert live(active, told=True) == live(depot, told=False)
            assert depot.replica.digest == stream.digest


class Machine(RuleBasedStateMachine):
    """The packets of clients and servers come to the depot that is active; with two, to the one that became it last."""

    @initialize(half_open=st.booleans(), interval=st.sampled_from(["0s", "1s"]), room=st.sampled_from([2048, 1 << 20]))
    def begin(self, half_open: bool, interval: str, room: int) -> None:
        self.set = Depots(set_of_depots(
            3, of_set=f'half_open = {str(half_open).lower()}\ninterval = "{interval}"'), room)
        self.serving = self.set.depots["depot1"]
        self.port = 40_000
        self.opened: list[tuple[str, str, int]] = []

    def _links(self) -> list[Link]:
        return [link for link in self.set.links.values() if link is not None]

    @rule(of=clients, count=st.sampled_from([1, 2, 60, 250]))
    def clients_open(self, of: tuple[str, str], count: int) -> None:
        for _ in range(count):
            self.port = 40_000 + (self.port - 39_999) % 5_000
            key = self.serving.analyse(tcp(of[0], self.port, of[1], 80, ACK), None)
            if key is not None and self.serving.sessions.find(key.key) is None:
                handshake(self.serving, self.port, self.set.now, *of)
                self.opened.append((*of, self.port))

    @rule(which=st.integers(0, 1000), flags=st.sampled_from([RST, FIN | ACK, ACK]), by_client=st.booleans())
    def a_segment_passes(self, which: int, flags: int, by_client: bool) -> None:
        if not self.opened:
            return
        client, vip, port = self.opened[which % len(self.opened)]
        packet = self.serving.analyse(tcp(client, port, vip, 80, ACK), None)
        assert packet is not None
        entry = self.serving.sessions.find(packet.key)
        if entry is None:
            return
        one, other = (entry.client, entry.server_side) if by_client else (entry.server_side, entry.client)
        ends = (client, port, vip, 80) if by_client else (vip, 80, client, port)
        octets = tcp(*ends, flags, seq=one.end, ack=other.end)
        if by_client:
            self.serving.packet_from_tun(octets, self.set.now)
        else:
            from_server(self.serving, octets, self.set.now)

    @rule(link=st.integers(0, 2), side=st.integers(0, 1), most=st.integers(1, 6))
    def a_side_sends(self, link: int, side: int, most: int) -> None:
        pair = list(self.set.links)[link]
        if (it := self.set.links[pair]) is not None and it.work(side, self.set.now, most):
            self.set.cut(pair)

    @rule(link=st.integers(0, 2), side=st.integers(0, 1), most=st.integers(1, 6))
    def records_arrive(self, link: int, side: int, most: int) -> None:
        pair = list(self.set.links)[link]
        if (it := self.set.links[pair]) is not None and it.deliver(side, self.set.now, most):
            self.set.cut(pair)

    @rule(link=st.integers(0, 2))
    def a_link_breaks(self, link: int) -> None:
        self.set.cut(list(self.set.links)[link])

    @rule(span=st.sampled_from([0, 3 * MS, 120 * MS, 3 * SECOND]))
    def time_passes(self, span: int) -> None:
        if span > SECOND:
            self.set.run(span)
        else:
            self.set.now += span

    @rule(number=st.integers(0, 2), orderly=st.booleans())
    def another_becomes_active(self, number: int, orderly: bool) -> None:
        """Have an engine move the address, or give it to a depot while another has not heard of it."""
        depot = list(self.set.depots.values())[number]
        if orderly:
            for other in self.set.active():
                if other is not depot:
                    other.roles.revoked(self.set.now)
        depot.roles.granted(self.set.now)
        self.serving = depot

    @rule(number=st.integers(0, 2))
    def a_resync_is_asked_for(self, number: int) -> None:
        try:
            resync(list(self.set.depots.values())[number])
        except AtmdepotError:
            return

    @rule()
    def quiet(self) -> None:
        if not self.set.active():
            self.serving.roles.granted(self.set.now)
        self.set.settle()
        (self.serving,) = self.set.active()
        self.set.compare()

    def teardown(self) -> None:
        if hasattr(self, "set"):
            self.quiet()


TestMachine = Machine.TestCase
TestMachine.settings = examples(60, stateful_step_count=25)


def test_a_stream_that_starts_over_within_a_frame_is_read_from_its_begin() -> None:
    set_ = Depots(set_of_depots(2))
    active = set_.depots["depot1"]
    set_.run(SECOND)
    for port in range(30_000, 30_900):
        handshake(active, port, set_.now)
    (link,) = set_.links.values()
    assert link is not None
    replication_of(active).flush(set_.now)
    link.work(0, set_.now, 3)  # records of 4,096 octets, which end anywhere
    resync(set_.depots["depot2"])
    link.work(1, set_.now)
    link.deliver(0, set_.now)
    set_.run(SECOND)
    assert list(set_.links.values()) == [link], "it was not given up"
    set_.compare()


def test_a_snapshot_is_cut_off_by_what_a_period_held_back() -> None:
    set_ = Depots(set_of_depots(2, of_set='interval = "1s"'), room=2048)
    active = set_.depots["depot1"]
    (link,) = set_.links.values()
    assert link is not None
    link.work(0, set_.now, 1)
    for port in range(30_000, 30_060):
        handshake(active, port, set_.now)
    set_.now += 120 * MS
    link.work(0, set_.now)
    set_.settle()
    set_.compare()


def test_a_stream_that_was_cut_off_starts_over_on_the_same_link() -> None:
    set_ = Depots(set_of_depots(2), room=2048)
    active = set_.depots["depot1"]
    set_.run(SECOND)
    (link,) = set_.links.values()
    assert link is not None
    for port in range(30_000, 30_900):
        handshake(active, port, set_.now)
        replication_of(active).flush(set_.now)
        if port == 30_000:
            link.work(0, set_.now, 3)  # the log is read in pieces of 8 octets here
    set_.run(3 * SECOND)
    assert active.peers.cut_off >= 1
    assert list(set_.links.values()) == [link]
    set_.compare()


def test_a_third_depot_follows_the_stream_back_and_forth_on_its_links() -> None:
    set_ = Depots(set_of_depots(3))
    set_.run(SECOND)
    links = dict(set_.links)
    for name in ("depot2", "depot1", "depot2"):
        for depot in set_.active():
            depot.roles.revoked(set_.now)
        set_.depots[name].roles.granted(set_.now)
        handshake(set_.depots[name], 40_000 + set_.now // SECOND, set_.now)
        set_.run(SECOND)
        set_.compare()
    assert set_.links == links, "no link was given up"
    assert [depot.peers.refused for depot in set_.depots.values()] == [0, 0, 0]


def test_a_stream_that_goes_on_where_another_was_followed_since_is_told_anew() -> None:
    """An ACK of the stream before comes after RESYNC, and the stream ends, and begins again at that ACK."""
    set_ = Depots(set_of_depots(3))
    one, two, three = set_.depots.values()
    resync(two)
    one.roles.revoked(set_.now)
    three.roles.granted(set_.now)
    set_.cut(("depot1", "depot3"))
    one.roles.granted(set_.now)
    set_.run(3 * SECOND)
    set_.settle()
    set_.compare()


def test_a_third_depot_stays_in_sync_though_its_link_to_the_former_active_depot_ends() -> None:
    set_ = Depots(set_of_depots(3))
    set_.run(SECOND)
    one, two, three = set_.depots.values()
    one.roles.revoked(set_.now)
    two.roles.granted(set_.now)
    set_.settle()
    set_.cut(("depot1", "depot3"))  # as when that depot is restarted after a planned takeover
    assert three.roles.role is Role.STANDBY
    set_.settle()
    set_.compare()


def test_a_depot_out_of_sync_joins_again_on_a_link_that_brought_all_before() -> None:
    set_ = Depots(set_of_depots(3))
    set_.run(SECOND)
    one, two, three = set_.depots.values()
    for old, new in ((one, three), (three, two)):
        old.roles.revoked(set_.now)
        new.roles.granted(set_.now)
        set_.settle()
    set_.cut(("depot1", "depot2"))
    assert one.roles.role is Role.JOINING
    two.roles.revoked(set_.now)
    three.roles.granted(set_.now)
    set_.settle()
    set_.compare()


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_depot_that_was_told_by_two_is_told_anew_by_the_one_that_stays(is_cut: bool) -> None:
    """The one that stays has nothing new to tell, by which the third would see that it follows the wrong stream."""
    set_ = Depots(set_of_depots(3))
    set_.run(SECOND)
    one, two, three = set_.depots.values()
    one.roles.revoked(set_.now)
    two.roles.granted(set_.now)
    three.roles.granted(set_.now)
    handshake(two, 40_000, set_.now)
    handshake(three, 40_001, set_.now)
    if is_cut:
        set_.step()
        set_.cut(("depot1", "depot3"))
    set_.settle()
    assert len(set_.active()) == 1
    set_.compare()
    assert one.peers.teller.name == set_.active()[0].name


@pytest.mark.parametrize("heard", [False, True])
def test_a_depot_that_was_active_for_a_moment_is_told_all_anew(heard: bool) -> None:
    """The other has stayed active, and may have heard nothing of it: its stream would go on without a snapshot."""
    set_ = Depots(set_of_depots(3))
    set_.run(SECOND)
    one, _, three = set_.depots.values()
    handshake(one, 40_000, set_.now)
    set_.run(SECOND)
    three.roles.granted(set_.now)
    handshake(three, 40_001, set_.now)
    if heard:
        set_.step()
    three.roles.revoked(set_.now, "the address was another's")
    one.roles.granted(set_.now)
    handshake(one, 40_002, set_.now)
    set_.settle()
    assert set_.active() == [one]
    set_.compare()
    set_.now += 2000 * SECOND
    three.handle_timer(set_.now)
    assert len(three.sessions.primary) >= 2, "what was told does not age there"


@pytest.mark.parametrize("sessions", [1, 3000])
def test_sessions_stay_though_a_depot_takes_over_before_its_sweep_is_over(sessions: int) -> None:
    """A depot that is in sync sweeps what the active depot has not; to its own stream all entries are new."""
    set_ = Depots(set_of_depots(2))
    active, standby = set_.depots.values()
    for port in range(30_000, 30_000 + sessions):
        handshake(active, port, set_.now)
    while standby.roles.role is not Role.STANDBY:
        set_.step()
        set_.now += MS
    standby.roles.takeover(set_.now)
    while standby.roles.phase != "taking":
        set_.step()
        set_.now += MS
    assert standby.replica is not None
    assert sessions < 3000 or standby.replica._sweep is not None
    active.roles.revoked(set_.now)
    standby.roles.granted(set_.now)
    set_.run(SECOND)
    assert len(standby.sessions.primary) == sessions
    set_.compare()


@pytest.mark.parametrize("breaks", [False, True])
def test_a_gift_is_given_whole_or_its_walk_ends_with_its_link(breaks: bool) -> None:
    """A walk that nobody goes on with would note each move of an entry, for ever."""
    set_ = Depots(set_of_depots(2))
    set_.run(SECOND)
    set_.cut(("depot1", "depot2"))
    one, two = set_.depots.values()
    two.roles.granted(set_.now)
    for port in range(30_000, 31_000):
        handshake(one, port, set_.now)
    set_.now += AGAIN
    set_.connect()
    (link,) = set_.links.values()
    assert link is not None
    assert one.roles.role is Role.JOINING, "it gives way, and its sessions to the other"
    for _ in range(3):
        link.work(0, set_.now)
        link.deliver(1, set_.now)
        set_.now += 5 * MS
    assert 0 < len(two.sessions.primary) < 1000
    if breaks:
        set_.cut(("depot1", "depot2"))
        assert one.sessions.wheel.walks == ()
        return
    set_.run(5 * SECOND)
    assert len(two.sessions.primary) == 1000
    set_.compare()
    assert one.sessions.wheel.walks == two.sessions.wheel.walks == ()
