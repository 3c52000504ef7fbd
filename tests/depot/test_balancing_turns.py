"""Servers that are equal to a criterion share the next sessions by weight, whatever happened to them before."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.pools import Probing
from atmdepot.config.units import Duration
from atmdepot.depot.balancing.registry import BALANCERS
from atmdepot.depot.balancing.turns import Turns
from atmdepot.depot.session_management import Pool
from atmdepot.wire.statistics import ServerState
from tests.depot.servers import make_server, make_servers, set_alive, take_next
from tests.effort import examples
from tests.network_in_memory import InMemoryNetwork, make_network

if TYPE_CHECKING:
    from atmdepot.depot.servers import Server

EVEN = ["round-robin", "least-connections"]
BY_WEIGHT = ["weighted-round-robin", "weighted-least-connections", "least-load"]


def short_sessions(pool: Pool, count: int, *, reported: bool = False) -> Counter[str]:
    """The servers of sessions each of which ends before the next one comes; between them, edge nodes may report."""
    got: Counter[str] = Counter()
    for _ in range(count):
        server = take_next(pool)
        if server is not None:
            server.total_sessions += 1
            server.sessions_since_report = 0 if reported else server.sessions_since_report + 1
            got[server.name] += 1
        pool.preload(0)
    return got


HISTORY = st.lists(st.one_of(
    st.tuples(st.just("dies or returns"), st.integers(0, 5)), st.tuples(st.just("drains or not"), st.integers(0, 5)),
    st.tuples(st.just("full or not"), st.integers(0, 5)), st.tuples(st.just("sessions"), st.integers(1, 40))),
    max_size=40)


def live_through(pool: Pool, history: list[tuple[str, int]], *, reported: bool) -> None:
    """A pool's past; in the end all of its servers may take sessions."""
    servers = pool.servers
    for what, number in history:
        server = servers[number % len(servers)]
        if what == "dies or returns":
            set_alive(server, not server.alive)
        elif what == "drains or not":
            server.draining = not server.draining
        elif what == "full or not":
            server.primary_sessions = 0 if server.primary_sessions else 9
        else:
            short_sessions(pool, number, reported=reported)
    for server in servers:
        set_alive(server, True)
        server.draining = False
        server.primary_sessions = 0
        server.sessions_since_report = 0 if reported else server.sessions_since_report


@examples(150)
@given(balancing=st.sampled_from(EVEN + BY_WEIGHT), weights=st.lists(st.integers(1, 5), min_size=2, max_size=6),
       history=HISTORY, reported=st.booleans())
def test_each_gets_its_share_of_the_next_sessions_after_any_history(
        balancing: str, weights: list[int], history: list[tuple[str, int]], reported: bool) -> None:
    servers = make_servers(*({"weight": weight, "max_sessions": 9} for weight in weights))
    for server in servers:
        server.load = 0.5 if reported else None
    pool = Pool("p", servers, balancing)
    live_through(pool, history, reported=reported)
    if balancing in EVEN:
        weights = [1] * len(weights)
    total = sum(weights)
    for rounds in (1, 10):
        got = short_sessions(pool, rounds * total, reported=reported)
        for server, weight in zip(servers, weights, strict=True):
            assert abs(got[server.name] - rounds * weight) <= 3, (got, weights)


@pytest.mark.parametrize("balancing", sorted(set(BALANCERS) - {"source-hash", "maglev"}))
def test_server_that_returns_after_many_sessions_is_one_of_many(balancing: str) -> None:
    servers = make_servers(*({} for _ in range(10)))
    pool = Pool("p", servers, balancing)
    short_sessions(pool, 100)
    set_alive(servers[2], up=False)
    short_sessions(pool, 5000)
    set_alive(servers[2], up=True)
    got = short_sessions(pool, 1000)
    spread = 45 if balancing == "random-of-two" else 1
    assert all(abs(got[server.name] - 100) <= spread for server in servers)


@pytest.mark.parametrize("balancing", EVEN + BY_WEIGHT)
def test_server_that_comes_and_goes_takes_no_more_and_no_less_while_it_is_there(balancing: str) -> None:
    """It is there for every other three sessions, so it has a third of those."""
    servers = make_servers({}, {}, {})
    pool = Pool("p", servers, balancing)
    got: Counter[str] = Counter()
    for up in [True, False] * 200:
        set_alive(servers[0], up)
        got += short_sessions(pool, 3)
    assert got["web1"] == pytest.approx(200, abs=2)
    assert got["web2"] == pytest.approx(500, abs=5)


@pytest.mark.parametrize("balancing", BY_WEIGHT)
def test_servers_with_room_for_one_session_take_turns(balancing: str) -> None:
    """Each is full as soon as it was chosen, so all but one change between two choices."""
    servers = make_servers(*({"max_sessions": 1} for _ in range(4)))
    pool = Pool("p", servers, balancing)
    got: Counter[str] = Counter()
    before: Server | None = None
    for _ in range(400):
        server = take_next(pool)
        assert server is not None
        server.primary_sessions += 1
        if before is not None:
            before.primary_sessions -= 1
        before = server
        pool.preload(0)
        got[server.name] += 1
    assert max(got.values()) - min(got.values()) <= 4


def test_idle_servers_share_by_weight_and_busy_ones_too() -> None:
    servers = make_servers({"weight": 1}, {"weight": 3})
    pool = Pool("p", servers, "weighted-least-connections")
    assert short_sessions(pool, 40) == {"web1": 10, "web2": 30}


def test_server_that_never_reports_does_not_wait_for_the_others_to_catch_up() -> None:
    """Without a report, what it was given since the last one would count for ever."""
    servers = make_servers({}, {})
    servers[0].load = 0.5
    pool = Pool("p", servers, "least-load")
    got: Counter[str] = Counter()
    for _ in range(100):
        got += short_sessions(pool, 2)
        servers[0].sessions_since_report = 0
    assert got["web2"] == pytest.approx(100, abs=10)


def test_loads_are_forgotten_when_a_changed_table_ends_the_reports() -> None:
    net = InMemoryNetwork()
    net.edges["web1"].send_statistics(ServerState.ACCEPTS, 3.0, 1, 0, net.now)
    net.settle()
    web1 = net.depot.management.servers["web1"]
    assert web1.load == 3.0
    network = make_network()
    net.depot.reconfigure(network, net.now)
    assert web1.load == 3.0
    network.probing = Probing(statistics=Duration(0))
    net.depot.reconfigure(network, net.now)
    assert web1.load is None


def test_turns_go_to_the_least_recently_chosen_whoever_is_among_the_equal() -> None:
    servers = make_servers(*({} for _ in range(4)))
    turns, order = Turns(), []
    for equal in ((0, 1, 2, 3), (1, 2), (0, 3), (0, 1, 2, 3), (0, 3), (0, 1, 2, 3)):
        server = turns.first([servers[number] for number in equal])
        turns.take(server, 100)
        order.append(server.name)
    assert order == ["web1", "web2", "web4", "web3", "web1", "web2"]


def test_turns_of_servers_that_are_gone_are_forgotten() -> None:
    pool = Pool("p", make_servers({}), "least-connections")
    for number in range(100):
        pool.change([make_server(f"other{number}", number)])
        short_sessions(pool, 3)
    assert len(pool.balancer._turns._begin) <= 2
    assert len(pool.balancer._turns._numbers) <= 2


@pytest.mark.parametrize("balancing", BALANCERS)
def test_backup_servers_without_a_weight_share_alike(balancing: str) -> None:
    """Weight 0 keeps a server out of the regular ones; among backup servers it counts as the least there is."""
    servers = make_servers({}, *({"backup": True, "weight": 0} for _ in range(3)))
    pool = Pool("p", servers, balancing)
    short_sessions(pool, 5)
    set_alive(servers[0], up=False)
    given = [take_next(pool, bytes((10, 9, n >> 8, n & 255))) for n in range(300)]
    got = Counter(server.name for server in given if server is not None)
    if not pool.balancer.keyed:
        got = short_sessions(pool, 300)
    assert set(got) == {"web2", "web3", "web4"}
    assert all(count == pytest.approx(100, abs=35) for count in got.values())
