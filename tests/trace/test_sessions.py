"""Sessions by the depot's word, and by their packets: the same as the depot's own, which sees the same packets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.units import Duration
from atmdepot.net.events import Cells, SessionChange
from atmdepot.trace import sessions
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Pdu, Place, Session
from atmdepot.trace.names import VcBook, VcName
from atmdepot.trace.sessions import CaptureSessions, DepotSessions
from atmdepot.wire.flows import flow_of_key
from atmdepot.wire.ip import address_text, endpoint
from tests.depot.playbook import Playbook
from tests.effort import examples
from tests.ip_packets import ACK, FIN, RST, SYN, ping, tcp, udp
from tests.network_in_memory import CLIENT4, CLIENT6, SECOND, VIP4, VIP6, InMemoryNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.depot.session import Session as Entry

PLACE = Place("depot", "to-web1", "out")
Seen = tuple[int, int, str, str, str, str, str, str, tuple[int, int]]


def pdu_of(sdu: bytes, *, time: int = 0, place: Place = PLACE, vc: tuple[int, int] = (1, 64), server: str = "") -> Pdu:
    pdu = Pdu(time, time, place, bytes(4), *vc, sdu)
    pdu.sdu = sdu
    pdu.name = VcName(vp=server, server=server)
    return pdu


def packet(port: int, flags: int = ACK, *, back: bool = False, seq: int = 0, ack: int = 0, data: bytes = b"") -> bytes:
    ends = (VIP4, 80, CLIENT4, port) if back else (CLIENT4, port, VIP4, 80)
    return tcp(*ends, flags, seq=seq, ack=ack, data=data)


# By their packets.


class Wire(list[tuple[str, str, bytes]]):
    """The traffic of the links, told as it happens."""

    def __init__(self, tell: Callable[[str, str, bytes], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, crossing: tuple[str, str, bytes]) -> None:
        super().append(crossing)
        self._tell(*crossing)


class Watched:
    """A depot in memory whose sessions are watched, and a capture of the cells on its links."""

    def __init__(self, net: InMemoryNetwork) -> None:
        self.net = net
        self.told: list[Seen] = []
        self.shown: list[Seen] = []
        self.numbers: list[int | None] = []
        net.depot.sessions.subscribe(self._watch)
        self._follower = Follower(VcBook([net.network]), sessions=CaptureSessions())
        net.seen = Wire(self._follow)

    def _watch(self, entry: Entry, event: str, why: str) -> None:
        _, client, port, service, to = flow_of_key(entry.key)
        why = "" if event == "opened" else why  # only the depot knows how it chose
        self.told.append((self.net.now, entry.number, event, why, endpoint(client, port), endpoint(service, to),
                          entry.server.name, entry.path.port, (*entry.path.channel,)))

    def end(self) -> None:
        """Let the capture know how late it is by a packet of no session."""
        self.net.from_server("web1", packet(9, back=True))

    def _follow(self, sender: str, receiver: str, cells: bytes) -> None:
        edge, way = (receiver, "out") if sender == "depot" else (sender, "in")
        self._take(Cells(self.net.now, f"to-{edge}", way, cells, "depot"))

    def _take(self, record: Cells) -> None:
        for item in self._follower.take(record):
            if isinstance(item, SessionChange):
                assert (item.protocol, item.category, item.node) == ("TCP", "", "depot")
                self.shown.append((item.time, item.number, item.event, item.why, item.client, item.service, item.server,
                                   item.link, item.vc))
            elif isinstance(item, Pdu):
                self.numbers.append(None if item.session is None else item.session.number)


FLAGS = {"syn": SYN, "syn ack": SYN | ACK, "ack": ACK, "fin": FIN | ACK, "rst": RST, "rst ack": RST | ACK}
steps = st.one_of(
    st.tuples(st.just("send"), st.integers(4000, 4002), st.booleans(), st.sampled_from(list(FLAGS)),
              st.sampled_from([0, 0, 0, 0, 1000, -5]), st.sampled_from([0, 0, 0, 0, -300])),
    st.tuples(st.just("handshake"), st.integers(4000, 4002)),
    st.tuples(st.just("wait"), st.sampled_from(["1ms", "3s", "11s", "80s", "121s", "25min", "3h"])))


@examples(120)
@given(st.lists(steps, max_size=30))
def test_a_capture_shows_the_depots_own_events(script: list[tuple[Any, ...]]) -> None:
    """The same events of the same sessions, in the same order and at the same times; and the numbers of PDUs."""
    net = InMemoryNetwork()
    watched = Watched(net)
    numbers = dict.fromkeys(((port, back) for port in range(4000, 4003) for back in (False, True)), 100)
    servers: dict[int, str] = {}

    def send(port: int, back: bool, flags: int, seq: int = 0, ack: int = 0) -> None:
        octets = packet(port, flags, back=back, seq=numbers[port, back] + seq, ack=numbers[port, not back] + ack)
        out = net.from_server(servers.get(port, "web1"), octets) if back else net.to_service(octets)
        if not back and (at := [name for name in out if name != "depot"]):
            servers[port] = at[0]
        if seq == 0 and flags & (SYN | FIN):
            numbers[port, back] += 1

    for step in script:
        if step[0] == "wait":
            net.advance(Duration.parse(step[1]))
        elif step[0] == "handshake":
            port = step[1]
            numbers[port, False] += 5000
            send(port, False, SYN)
            send(port, True, SYN | ACK)
            send(port, False, ACK)
        else:
            _, port, back, kind, seq, ack = step
            if not (back and kind == "syn"):  # a server that calls its client back is a client to a capture
                send(port, back, FLAGS[kind], seq, ack)
    watched.end()
    assert watched.shown == watched.told


def test_a_whole_session_and_its_port_used_again() -> None:
    play = Playbook()
    watched = Watched(play.net)
    play.open()
    assert play.client >> "PA seq=101 ack=301 len=20" == play.at
    play.close()
    play.open(client_isn=9000)
    play.wait("30min")
    watched.end()
    assert watched.shown == watched.told
    assert [(number, event, why) for _, number, event, why, *_ in watched.shown] == [
        (1, "opened", ""), (1, "established", ""), (1, "closed", "FIN"), (1, "gone", "port reused"), (2, "opened", ""),
        (2, "established", ""), (2, "closed", "idle"), (2, "gone", "2 MSL are over")]
    assert watched.numbers == [1] * 7 + [2] * 3 + [None]


def test_a_session_that_slept_past_its_end_is_not_woken() -> None:
    """A capture is silent where nothing passes; what the depot forgot meanwhile, it has forgotten, too."""
    capture = CaptureSessions()
    for flags, back in ((SYN, False), (SYN | ACK, True), (ACK, False)):
        assert capture.of(pdu_of(packet(4000, flags, back=back, ack=1, seq=not flags & SYN))) is not None
    assert capture.of(pdu_of(packet(4000), time=10 * 60 * SECOND)) is not None
    assert capture.of(pdu_of(packet(4000), time=33 * 60 * SECOND)) is None
    assert [change.event for change in capture.changes] == ["opened", "established", "closed", "gone"]
    assert [change.time // SECOND for change in capture.changes] == [0, 0, 30 * 60 + 1, 32 * 60 + 2]


def test_a_session_seen_at_several_places_counts_at_the_first() -> None:
    """A trace of all nodes sees every packet twice or more."""
    capture = CaptureSessions()
    at_depot, at_edge = PLACE, Place("web1", "to-web1", "in")
    script = [(SYN, False, 0, 0), (SYN | ACK, True, 0, 1), (ACK, False, 1, 1), (RST, False, 1, 0)]
    named = []
    for flags, back, seq, ack in script:
        for place in (at_depot, at_edge):
            octets = packet(4000, flags, back=back, seq=seq, ack=ack)
            named.append(capture.of(pdu_of(octets, place=place, server="web1")))
    assert named == [Session(1, "web1")] * 8
    assert [(change.event, change.node, change.why) for change in capture.changes] == [
        ("opened", "depot", ""), ("established", "depot", ""), ("closed", "depot", "RST")]


def test_a_packet_on_another_servers_link_changes_no_state() -> None:
    """The depot drops it as one on a wrong VP."""
    capture = CaptureSessions()
    capture.of(pdu_of(packet(4000, SYN)))
    refusal = packet(4000, RST | ACK, back=True, ack=1)
    assert capture.of(pdu_of(refusal, place=Place("depot", "to-web2", "in"))) == Session(1, "")
    assert [change.event for change in capture.changes] == ["opened"]
    capture.of(pdu_of(refusal, place=Place("depot", "to-web1", "in")))
    assert [change.event for change in capture.changes] == ["opened", "closed"]


def test_a_server_opens_no_session_with_its_client_over_an_old_one() -> None:
    capture = CaptureSessions()
    capture.of(pdu_of(packet(4000, SYN)))
    capture.of(pdu_of(packet(4000, RST | ACK, back=True, ack=1)))
    assert capture.of(pdu_of(packet(4000, SYN, back=True, seq=7))) == Session(1, "")
    assert [change.event for change in capture.changes] == ["opened", "closed"]


def test_sessions_that_began_before_the_capture_have_no_number() -> None:
    capture = CaptureSessions()
    assert capture.of(pdu_of(packet(4000))) is None
    assert capture.of(pdu_of(packet(4000, SYN | ACK, back=True))) is None
    assert capture.of(pdu_of(packet(4000, RST))) is None
    assert capture.changes == []


@pytest.mark.parametrize("sdu", [
    udp(CLIENT4, 4000, VIP4, 80), ping(CLIENT4, VIP4), b"noise", packet(4000, SYN)[:30]])
def test_other_protocols_have_no_session(sdu: bytes) -> None:
    capture = CaptureSessions()
    assert capture.of(pdu_of(sdu)) is None
    assert capture.changes == []


def test_without_a_table_a_session_has_a_number_and_no_server() -> None:
    capture = CaptureSessions()
    assert capture.of(pdu_of(tcp(CLIENT6, 4000, VIP6, 80, SYN), time=7, vc=(3, 99))) == Session(1, "")
    (change,) = capture.changes
    assert change == SessionChange(7, 1, "opened", "TCP", f"[{CLIENT6}]:4000", f"[{VIP6}]:80", "", "to-web1", (3, 99),
                                   "", "", "depot")


def test_capture_sessions_ignore_a_depots_reports() -> None:
    capture = CaptureSessions()
    capture.change(change_of(1, "opened", 4000))
    assert capture.of(pdu_of(packet(4000))) is None


def test_sessions_of_a_capture_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_MAX_SESSIONS", 5)
    capture = CaptureSessions()
    named = [capture.of(pdu_of(packet(port, SYN), server="web1")) for port in range(1, 50)]
    assert named == [Session(n, "web1") for n in range(1, 50)]
    tables = capture._tables
    assert 0 < len(tables.primary) + len(tables.secondary) <= 5
    assert capture.of(pdu_of(packet(60, SYN), time=200 * SECOND)) == Session(50, "")
    assert len(tables.primary) + len(tables.secondary) == 1, "those that never answered have gone"
    assert len(capture._servers) == 2


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(list(FLAGS.values())), st.booleans(),
                          st.integers(0, 3), st.integers(0, 2**63)), max_size=30))
def test_any_times_are_survived(script: list[tuple[int, int, bool, int, int]]) -> None:
    """Captures may tell any time, and clocks go back."""
    capture = CaptureSessions()
    for port, flags, back, number, time in script:
        capture.of(pdu_of(packet(port, flags, back=back, seq=number, ack=number), time=time))
    assert len(capture._tables.primary) + len(capture._tables.secondary) <= 5


# By the depot's word.


def change_of(number: int, event: str, port: int, *, protocol: str = "TCP", server: str = "web1") -> SessionChange:
    return SessionChange(0, number, event, protocol, f"{CLIENT4}:{port}", f"{VIP4}:80", server, "to-web1", (1, 64), "")


def test_a_pdu_of_either_direction_has_its_sessions_number_until_it_is_gone() -> None:
    told = DepotSessions()
    for event in ("known", "opened", "adopted", "inherited", "established", "closed", "revived"):
        told.change(change_of(42, event, 4000))
        assert told.of(pdu_of(packet(4000))) == told.of(pdu_of(packet(4000, back=True))) == Session(42, "web1")
    assert told.of(pdu_of(packet(4001))) is None
    assert told.of(pdu_of(udp(CLIENT4, 4000, VIP4, 80))) is None
    assert told.of(pdu_of(b"noise")) is None
    told.change(change_of(42, "gone", 4000))
    assert told.of(pdu_of(packet(4000))) is None
    assert told.changes == []


def test_a_port_used_again_has_the_new_number_whenever_the_old_one_goes() -> None:
    told = DepotSessions()
    told.change(change_of(1, "opened", 4000))
    told.change(change_of(2, "opened", 4000, server="web2"))
    told.change(change_of(1, "gone", 4000))
    assert told.of(pdu_of(packet(4000))) == Session(2, "web2")


def test_where_changes_were_missed_the_sessions_of_that_node_have_no_names_any_more() -> None:
    told = DepotSessions()
    for node, port in (("depot", 4000), ("other", 4001)):
        change = change_of(port, "opened", port)
        change.node = node
        told.change(change)
    told.forget("depot")
    assert told.of(pdu_of(packet(4000))) is None
    assert told.of(pdu_of(packet(4001))) == Session(4001, "web1")
    told.change(change_of(5, "known", 4000))
    assert told.of(pdu_of(packet(4000, back=True))) == Session(5, "web1")


def test_flows_of_udp_are_sessions_too() -> None:
    told = DepotSessions()
    told.change(change_of(3, "opened", 4000, protocol="UDP"))
    assert told.of(pdu_of(udp(CLIENT4, 4000, VIP4, 80))) == Session(3, "web1")
    assert told.of(pdu_of(packet(4000))) is None


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), st.integers(1, 65535))
def test_addresses_as_a_depot_writes_them(address: bytes, port: int) -> None:
    told, service = DepotSessions(), VIP4 if len(address) == 4 else VIP6
    at = f"{service}:80" if len(address) == 4 else f"[{service}]:80"
    told.change(SessionChange(0, 1, "opened", "TCP", endpoint(address, port), at, "web1", "l", (1, 64), ""))
    assert told.of(pdu_of(tcp(address_text(address), port, service, 80, ACK))) == Session(1, "web1")


@given(st.text(), st.text(), st.text())
def test_any_words_of_a_depot_are_survived(client: str, service: str, protocol: str) -> None:
    DepotSessions().change(SessionChange(0, 1, "opened", protocol, client, service, "web1", "l", (1, 64), ""))


def test_the_sessions_told_of_are_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_MAX_SESSIONS", 3)
    told = DepotSessions()
    for port in (1, 2, 3):
        told.change(change_of(port, "opened", port))
    told.change(change_of(4, "opened", 1))
    told.change(change_of(5, "opened", 9))
    assert [told.of(pdu_of(packet(port))) for port in (1, 2, 3, 9)] == [
        Session(4, "web1"), None, Session(3, "web1"), Session(5, "web1")]
