"""Hot standby: it sees what the active depot sees, and has the same states, handshakes included."""

from __future__ import annotations

from collections import deque

from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from tests.depot.pairs import Pair, from_server, set_of_depots
from tests.depot.test_replication import tables_of, taken_over
from tests.effort import examples
from tests.ip_packets import ACK, FIN, RST, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4

PORTS = (40_000, 40_001, 40_002)
MS = 1_000_000


class HotPair(Pair):
    """A pair of which the standby gets copies of all packets and cells; a copy may be lost."""

    def __init__(self) -> None:
        super().__init__(set_of_depots(of_set='standby = "hot"\nwatch = { depot1 = "copy", depot2 = "copy" }'))
        self.numbers = dict.fromkeys(PORTS, 1000)
        """The last initial sequence number of a client's port."""
        self.carry()
        self.now += SECOND

    def client(self, octets: bytes, copied: bool = True) -> None:
        """A client's packet, which a hub carries to both."""
        self.now += MS
        self.active.packet_from_tun(octets, self.now)
        if copied:
            self.standby.watch([octets], self.now)

    def server(self, octets: bytes, copied: bool = True) -> None:
        """A server's packet, of which the edge node sends the cells to both, on the same VCI."""
        self.now += MS
        packet = self.active.analyse(octets, None)
        session = None if packet is None else self.active.sessions.find(packet.reverse_key())
        if session is None:
            return
        node, number = session.path.node, session.path.number()
        from_server(self.active, octets, self.now)
        if copied:
            port = self.standby.bearer.default(node).port
            vc = Vc(self.standby.bearer.default(node).vc.vpi, number)
            self.standby.octets_from_port(port, segment(octets, vc), self.now)


def test_handshake_survives_at_whichever_segment_the_active_dies() -> None:
    for seen in (2, 3):
        pair = HotPair()
        pair.client(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=100))
        pair.server(tcp(VIP4, 80, CLIENT4, 40_000, SYN | ACK, seq=900, ack=101))
        if seen == 3:
            pair.client(tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=101, ack=901))
        one, other = tables_of(pair)
        assert one == other
        assert len(one) == 1
        assert pair.standby.take_packets() == []
        depot = taken_over(pair)
        depot.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=101, ack=901, data=b"x"), pair.now)
        from_server(depot, tcp(VIP4, 80, CLIENT4, 40_000, ACK, seq=901, ack=102), pair.now)
        assert len(depot.take_packets()) == 1


def test_copies_are_no_clients_that_come_to_the_standby() -> None:
    pair = HotPair()
    pair.client(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=100))
    pair.server(tcp(VIP4, 80, CLIENT4, 40_000, SYN | ACK, seq=900, ack=101))
    pair.client(tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=101, ack=901))
    assert pair.active.roles.hears_clients(pair.now)
    assert not pair.standby.roles.hears_clients(pair.now)


events = st.lists(st.tuples(
    st.sampled_from(["open", "client", "server", "client FIN", "server FIN", "reset", "carry", "wait"]),
    st.sampled_from(PORTS), st.booleans()), max_size=40)


def test_a_hot_standby_forwards_nothing_but_answers_to_its_own_probes() -> None:
    pair = HotPair()
    depot, host = pair.standby, "10.9.0.4"
    syn = depot.analyse(tcp(host, 40_000, VIP4, 80, SYN, seq=1), None)
    assert syn is not None
    depot.probes[syn.key] = next(iter(depot.management.servers.values()))
    depot.packet_from_tun(tcp(host, 40_000, VIP4, 80, SYN, seq=1), pair.now)
    answer = tcp(VIP4, 80, host, 40_000, SYN | ACK, seq=900, ack=2)
    from_server(depot, answer, pair.now)
    assert depot.take_packets() == [answer]
    depot.probes.clear()
    from_server(depot, answer, pair.now)
    assert depot.take_packets() == []


def played(pair: HotPair, what: list[tuple[str, int, bool]], lossy: bool) -> None:
    """Have clients and servers act; where copies get lost, some do."""
    for event, port, chance in what:
        copied = chance or not lossy
        session = next((session for table in (pair.active.sessions.primary, pair.active.sessions.secondary)
                        for session in table.values() if session.key[5:7] == port.to_bytes(2, "big")), None)
        if event == "carry":
            pair.carry()
        elif event == "wait":
            pair.now += 61 * SECOND
            for depot in (pair.active, pair.standby):
                depot.handle_timer(pair.now)
            pair.carry()  # no stream is so late
        elif event == "open":
            isn = pair.numbers[port] = pair.numbers[port] + 5000
            pair.client(tcp(CLIENT4, port, VIP4, 80, SYN, seq=isn), copied)
            pair.server(tcp(VIP4, 80, CLIENT4, port, SYN | ACK, seq=isn * 7, ack=isn + 1), copied)
            if chance:
                pair.client(tcp(CLIENT4, port, VIP4, 80, ACK, seq=isn + 1, ack=isn * 7 + 1))
        elif session is not None:
            one, other = session.client, session.server_side
            flags = FIN | ACK if "FIN" in event else RST | ACK if event == "reset" else ACK
            data = b"" if flags & RST else b"data"
            if event.startswith("server"):
                pair.server(tcp(VIP4, 80, CLIENT4, port, flags, seq=other.end, ack=one.end, data=data), copied)
            else:
                pair.client(tcp(CLIENT4, port, VIP4, 80, flags, seq=one.end, ack=other.end, data=data), copied)


@given(events)
@example([("open", 40_000, True), ("carry", 40_000, False), ("reset", 40_000, False), ("open", 40_000, False)])
@examples(100)
def test_both_have_the_same_after_any_load(what: list[tuple[str, int, bool]]) -> None:
    pair = HotPair()
    played(pair, what, lossy=False)
    pair.now += SECOND
    pair.carry()
    one, other = tables_of(pair)
    live = [[entry for entry in entries if entry[4] == ""] for entries in (one, other)]
    assert live[0] == live[1]
    assert pair.replica.digest == pair.stream.digest


REUSED = [("open", 40_000, True), ("carry", 40_000, True), ("reset", 40_000, True), ("open", 40_000, False)]


def test_a_handshake_that_reuses_the_port_of_a_told_session_survives_the_news_that_this_has_gone() -> None:
    pair = HotPair()
    played(pair, REUSED, lossy=False)
    pair.carry()
    (half_open,) = pair.standby.sessions.primary.values()
    assert half_open.opening
    depot = taken_over(pair)
    depot.packet_from_tun(tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=11_001, ack=77_001, data=b"x"), pair.now)
    (session,) = depot.sessions.primary.values()
    assert session is half_open
    assert not session.opening


def test_an_entry_that_has_gone_at_the_active_depot_goes_though_the_copies_of_its_end_were_lost() -> None:
    pair = HotPair()
    played(pair, [(event, port, event != "reset" and chance) for event, port, chance in REUSED], lossy=True)
    assert len(pair.standby.sessions.primary) == 1
    pair.carry()
    assert len(pair.standby.sessions.index.newest(2)) == 0
    assert pair.replica.digest == pair.stream.digest


def test_a_handshake_survives_the_late_news_that_the_session_before_it_has_closed() -> None:
    pair = HotPair()
    played(pair, [("wait", 40_000, True), ("open", 40_000, False), ("reset", 40_000, False)], lossy=False)
    pair.stream.flush(pair.now)
    pair.client(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=90_000))
    pair.server(tcp(VIP4, 80, CLIENT4, 40_000, SYN | ACK, seq=900, ack=90_001))
    pair.carry()
    for depot in (pair.active, pair.standby):
        assert [session.client.isn for session in depot.sessions.primary.values()] == [90_000]


def test_a_reset_that_is_watched_after_its_session_was_told_closes_it() -> None:
    pair = HotPair()
    played(pair, REUSED[:3], lossy=False)
    assert [session.closed_by for session in pair.standby.sessions.secondary.values()] == ["RST"]


def test_a_session_whose_last_segments_were_seen_in_another_order_has_closed_for_the_same_reason() -> None:
    pair = HotPair()
    pair.client(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=100))
    pair.server(tcp(VIP4, 80, CLIENT4, 40_000, SYN | ACK, seq=900, ack=101))
    pair.client(tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=101, ack=901))
    pair.client(tcp(CLIENT4, 40_000, VIP4, 80, FIN | ACK, seq=101, ack=901))
    pair.carry()
    reset = tcp(CLIENT4, 40_000, VIP4, 80, RST, seq=102)
    pair.standby.watch([reset], pair.now)
    pair.server(tcp(VIP4, 80, CLIENT4, 40_000, FIN | ACK, seq=901, ack=102), copied=False)
    pair.client(tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=102, ack=902), copied=False)
    pair.client(reset, copied=False)
    before = [session.closed_by for session in pair.standby.sessions.secondary.values()]
    pair.carry()
    after = [[session.closed_by for session in depot.sessions.secondary.values()]
             for depot in (pair.active, pair.standby)]
    assert (before, after) == (["RST"], [["FIN"], ["FIN"]])


@given(events)
@examples(60)
def test_what_copies_lack_the_stream_tells(what: list[tuple[str, int, bool]]) -> None:
    pair = HotPair()
    played(pair, what, lossy=True)
    pair.carry()
    told = {key for key, session in pair.active.sessions.primary.items() if pair.stream.teller.is_told(session)}
    held = pair.standby.sessions.primary.keys() | pair.standby.sessions.secondary.keys()
    assert told <= held
    assert pair.replica.digest == pair.stream.digest
    assert pair.standby.take_packets() == []


class LatePair(HotPair):
    """A hot pair whose standby gets the clients' copies, the servers' cells and the stream late, each in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: deque[tuple[bytes, tuple[str, int] | None]] = deque()
        self.cells: deque[tuple[bytes, tuple[str, int] | None]] = deque()

    def client(self, octets: bytes, copied: bool = True) -> None:
        super().client(octets, copied=False)
        self.copies.append((octets, None))

    def server(self, octets: bytes, copied: bool = True) -> None:
        packet = self.active.analyse(octets, None)
        session = None if packet is None else self.active.sessions.find(packet.reverse_key())
        super().server(octets, copied=False)
        if session is not None:
            self.cells.append((octets, (session.path.node, session.path.number())))

    def arrive(self, late: deque[tuple[bytes, tuple[str, int] | None]], most: int) -> None:
        """Bring the standby the first of what is under way to it."""
        while late and most:
            octets, came_by = late.popleft()
            if came_by is None:
                self.standby.watch([octets], self.now)
            else:
                default = self.standby.bearer.default(came_by[0])
                self.standby.octets_from_port(default.port, segment(octets, Vc(default.vc.vpi, came_by[1])), self.now)
            most -= 1

    def all_arrive(self) -> None:
        for late in (self.copies, self.cells):
            self.arrive(late, 1 << 30)


late_events = st.lists(st.tuples(
    st.sampled_from(["open", "client", "server", "client FIN", "server FIN", "reset", "carry", "copies", "cells"]),
    st.sampled_from(PORTS), st.integers(1, 6)), max_size=40)


@given(late_events)
@example([("open", 40_000, 1), ("client FIN", 40_000, 1), ("server FIN", 40_000, 1), ("client", 40_000, 1)])
@example([("open", 40_000, 1), ("reset", 40_000, 1), ("carry", 40_000, 1), ("open", 40_000, 1), ("cells", 40_000, 6)])
@examples(200)
def test_both_have_the_same_in_whichever_order_the_standby_hears(what: list[tuple[str, int, int]]) -> None:
    pair = LatePair()
    for event, port, most in what:
        if event in ("copies", "cells"):
            pair.arrive(pair.copies if event == "copies" else pair.cells, most)
        else:
            if event == "open":
                if any(key[5:7] == port.to_bytes(2, "big") for key in pair.active.sessions.primary):
                    continue
                pair.all_arrive()  # no copy is so late that its client has used the port again
            played(pair, [(event, port, True)], lossy=False)
    pair.carry()
    pair.all_arrive()
    pair.now += SECOND
    pair.carry()
    fields = [[entry[:5] for entry in entries] for entries in tables_of(pair)]
    assert fields[0] == fields[1]
    assert pair.replica.digest == pair.stream.digest
    assert pair.standby.drops == {}
    assert pair.standby.take_packets() == []


def test_a_closed_session_that_only_its_watcher_sees_go_on_ages_there() -> None:
    """The active depot never saw the segment, or lost it: it tells of the session no more, so nobody ages it for us."""
    pair = HotPair()
    pair.client(tcp(CLIENT4, 40_000, VIP4, 80, SYN, seq=100))
    pair.server(tcp(VIP4, 80, CLIENT4, 40_000, SYN | ACK, seq=900, ack=101))
    pair.client(tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=101, ack=901))
    pair.carry()
    pair.now += 1201 * SECOND
    for depot in (pair.active, pair.standby):
        depot.handle_timer(pair.now)
    pair.carry()
    assert len(pair.standby.sessions.secondary) == 1
    pair.now += SECOND
    pair.standby.watch([tcp(CLIENT4, 40_000, VIP4, 80, ACK, seq=101, ack=901)], pair.now)
    assert len(pair.standby.sessions.primary) == 1
    for _ in range(3):
        pair.now += 1300 * SECOND
        for depot in (pair.active, pair.standby):
            depot.handle_timer(pair.now)
        pair.carry()
    assert tables_of(pair) == [[], []]
