"""Events of the session tables for an observer: numbers, the events of an entry's life, and why each came."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.depot.session import Session, SessionEvent, Table
from atmdepot.wire.packet import analyse
from tests.depot.playbook import Playbook
from tests.depot.servers import kill
from tests.effort import examples
from tests.ip_packets import ACK, FIN, RST, SYN, tcp, udp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_network

if TYPE_CHECKING:
    from atmdepot.depot.forwarding import Depot

LIFE = re.compile("opened( established| revived| closed)*( gone)?")


class Ear:
    """Hears the events of a depot's sessions."""

    def __init__(self, depot: Depot) -> None:
        self.told: list[tuple[int, str, str]] = []
        self.sessions: dict[int, Session] = {}
        depot.sessions.subscribe(self.hear)

    def hear(self, session: Session, event: SessionEvent, why: str) -> None:
        assert session.path.vc.vci, "it is told when its VC is known"
        if event is SessionEvent.OPENED:
            assert session.number == len(self.sessions) + 1
            assert session.table is Table.PRIMARY
        self.sessions[session.number] = session
        self.told.append((session.number, str(event), why))

    def new(self) -> list[tuple[int, str, str]]:
        """The events since the last time."""
        told, self.told = self.told, []
        return told


@pytest.fixture
def play() -> Playbook:
    return Playbook()


@pytest.fixture
def ear(play: Playbook) -> Ear:
    return Ear(play.net.depot)


def test_a_session_from_syn_to_fin(play: Playbook, ear: Ear) -> None:
    play.at = play.client >> "S seq=100"
    assert ear.new() == [(1, "opened", "round-robin")]
    play.server >> "SA seq=300 ack=101"
    assert ear.new() == []
    play.client >> "A seq=101 ack=301"
    assert ear.new() == [(1, "established", "")]
    play.client >> "A seq=101 ack=301 len=10"
    assert ear.new() == []
    play.close(111)
    assert ear.new() == [(1, "closed", "FIN")]
    play.client >> "A seq=112 ack=302"
    play.wait("1h")
    assert ear.new() == [(1, "gone", "2 MSL are over")]


def test_rst(play: Playbook, ear: Ear) -> None:
    play.open()
    play.client >> "R seq=101"
    assert ear.new()[2:] == [(1, "closed", "RST")]


def test_idle_and_back(play: Playbook, ear: Ear) -> None:
    play.open()
    play.wait("21min")
    assert ear.new()[2:] == [(1, "closed", "idle")]
    play.client >> "A seq=101 ack=301"
    assert ear.new() == [(1, "revived", "after idle")]
    play.wait("21min")
    assert ear.new() == [(1, "closed", "idle")]


def test_a_handshake_that_is_late(play: Playbook, ear: Ear) -> None:
    play.at = play.client >> "S seq=100"
    play.wait("80s")
    assert ear.new()[1:] == [(1, "closed", "half-open")]
    play.server >> "SA seq=300 ack=101"
    play.client >> "A seq=101 ack=301"
    assert ear.new() == [(1, "revived", "after half-open")]


def test_a_port_that_is_used_again(play: Playbook, ear: Ear) -> None:
    play.open()
    play.client >> "R seq=101"
    ear.new()
    play.client >> "S seq=5000"
    assert ear.new() == [(1, "gone", "port reused"), (2, "opened", "round-robin, port reused")]


def test_a_server_that_died_under_its_session(play: Playbook, ear: Ear) -> None:
    play.open()
    kill(play.net.depot.management.servers[play.at], play.net.now)
    ear.new()
    play.client >> "S seq=5000"
    assert ear.new() == [(1, "closed", "replaced"), (1, "gone", "replaced"),
                         (2, "opened", "round-robin, in place of one on a dead server")]


def test_a_flood_pushes_out_the_oldest() -> None:
    play = Playbook(make_network(tables="[sessions]\nmax_half_open = 2"))
    ear = Ear(play.net.depot)
    for play.port in (4000, 4001, 4002):
        play.client >> "S seq=1"
    assert ear.new() == [(1, "opened", "round-robin"), (2, "opened", "round-robin"), (1, "closed", "evicted"),
                         (1, "gone", "evicted"), (3, "opened", "round-robin")]


def test_a_udp_flow_has_a_number_and_an_idle_time() -> None:
    net = InMemoryNetwork()
    ear = Ear(net.depot)
    net.to_service(udp(CLIENT4, 5, VIP4, 80, b"x"))
    net.to_service(udp(CLIENT4, 5, VIP4, 80, b"y"))
    assert ear.new() == [(1, "opened", "round-robin")]
    net.advance(3600 * SECOND)
    assert ear.new() == [(1, "closed", "idle"), (1, "gone", "idle")]


def test_a_probe_has_a_number() -> None:
    net = InMemoryNetwork()
    ear = Ear(net.depot)
    probe = tcp(CLIENT4, 5, VIP4, 80, SYN)
    net.depot.probes[analyse(probe).key] = net.depot.management.servers["web2"]
    net.to_service(tcp(CLIENT4, 4, VIP4, 80, SYN))
    net.to_service(probe)
    assert ear.new() == [(1, "opened", "round-robin"), (2, "opened", "probe")]
    assert (net.depot.sessions.last_number, net.depot.sessions.opened) == (2, 1)


def test_how_a_server_was_chosen() -> None:
    network = make_network(tables='balancing = "source-hash"')
    network.servers["web2"].backup = True
    net = InMemoryNetwork(network)
    ear = Ear(net.depot)
    net.to_service(tcp(CLIENT4, 1, VIP4, 80, SYN))
    kill(net.depot.management.servers["web1"], net.now)
    net.to_service(tcp(CLIENT4, 2, VIP4, 80, SYN))
    assert ear.new() == [(1, "opened", "source-hash"), (2, "opened", "source-hash, backup")]


def test_without_an_observer_numbers_go_on() -> None:
    net = InMemoryNetwork()
    net.to_service(tcp(CLIENT4, 1, VIP4, 80, SYN))
    ear = Ear(net.depot)
    ear.sessions[1] = next(iter(net.depot.sessions.primary.values()))
    net.to_service(tcp(CLIENT4, 2, VIP4, 80, SYN))
    assert [number for number, _, _ in ear.new()] == [2]


PORTS = st.integers(4000, 4003)
STEPS = st.lists(st.one_of(
    st.tuples(st.just("client"), PORTS, st.sampled_from([SYN, SYN, ACK, ACK | FIN, RST]),
              st.sampled_from([100, 101, 7000])),
    st.tuples(st.just("server"), PORTS, st.sampled_from([SYN | ACK, ACK, ACK | FIN, RST]), st.sampled_from([300, 301])),
    st.tuples(st.just("rest"), st.sampled_from([1, 31, 80, 300, 1300]), st.just(0), st.just(0)),
    st.tuples(st.just("udp"), PORTS, st.just(0), st.just(0)),
    st.tuples(st.just("kill"), st.just(0), st.just(0), st.just(0))), max_size=40)


@examples(200)
@given(STEPS)
def test_the_events_tell_what_the_tables_hold(steps: list[tuple[str, int, int, int]]) -> None:
    """An observer of the events alone always knows which sessions there are, and in which table."""
    net = InMemoryNetwork(make_network(tables="[sessions]\nmax_sessions = 6\nmax_half_open = 2\nreselect = true"))
    ear = Ear(net.depot)
    tables = net.depot.sessions
    lives: dict[int, list[str]] = {}
    for step, port, flags, seq in steps:
        if step == "client":
            net.to_service(tcp(CLIENT4, port, VIP4, 80, flags, seq=seq, ack=301 if flags & ACK else 0))
        elif step == "server":
            entry = tables.find(analyse(tcp(CLIENT4, port, VIP4, 80, SYN)).key)
            if entry is not None:
                net.from_server(entry.server.name, tcp(VIP4, 80, CLIENT4, port, flags, seq=seq, ack=101))
        elif step == "udp":
            net.to_service(udp(CLIENT4, port, VIP4, 80))
        elif step == "rest":
            net.advance(port * SECOND)
        else:
            kill(net.depot.management.servers["web1"], net.now)
        for number, event, _ in ear.new():
            lives.setdefault(number, []).append(event)
        assert all(LIFE.fullmatch(" ".join(life)) for life in lives.values())
        last = {number: next(event for event in reversed(life) if event != "established")
                for number, life in lives.items()}
        assert {session.number for session in tables.primary.values()} == {
            number for number, event in last.items() if event in ("opened", "revived")}
        assert {session.number for session in tables.secondary.values()} == {
            number for number, event in last.items() if event == "closed"}
        assert all(life.count("established") <= 1 for life in lives.values())
        assert sorted(lives) == list(range(1, tables.last_number + 1))
