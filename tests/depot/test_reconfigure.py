"""A table is taken over by a running depot or edge node as a whole, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from atmdepot import build
from atmdepot.config.units import Duration
from atmdepot.depot import eviction, servers, session_management, sessions
from atmdepot.depot.balancing import round_robin
from atmdepot.depot.servers import Fault
from atmdepot.wire.statistics import ServerState
from tests.ip_packets import ACK, SYN, tcp
from tests.network_in_memory import CLIENT4, SECOND, VIP4, InMemoryNetwork, make_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.model import Network
    from atmdepot.depot.forwarding import Depot

HUGE = 10**19
COMPILED = pytest.mark.skipif(not build.is_compiled(), reason="plain integers have no end")
PLAIN = pytest.mark.skipif(build.is_compiled(), reason="methods of compiled classes cannot be replaced")


def changed() -> Network:
    """A table that differs in all that may be taken over, with a server that is new and in front of the others."""
    network = make_network(tables='balancing = "weighted-round-robin"\n[sessions]\nidle = "1s"\nmax_sessions = 5\n'
                                  'max_half_open = 2\n[probing]\ninterval = "7s"\n')
    servers = {"web9": replace(network.servers["web1"]),
               **{name: replace(server, weight=7, backup=True, max_sessions=3)
                  for name, server in network.servers.items()}}
    return replace(network, servers=servers)


def with_last_server(network: Network, **values: Any) -> Network:
    return replace(network, servers=network.servers | {"web2": replace(network.servers["web2"], **values)})


def without(network: Network, name: str) -> Network:
    """A table without a server."""
    left = {other: server for other, server in network.servers.items() if other != name}
    service = replace(network.services["web"], servers=list(left))
    return replace(network, servers=left, services=network.services | {"web": service})


def with_service(network: Network, **values: Any) -> Network:
    return replace(network, services=network.services | {"last": replace(network.services["web"], **values)})


def state(depot: Depot) -> dict[str, Any]:
    """A table's values as the depot has them."""
    management = depot.management
    return {
        "network": id(depot.network), "timers": depot.sessions.timers, "probing": id(depot.probing.settings),
        "numbers": [getattr(depot.sessions, name) for name in (
            "_idle", "_two_msl", "_half_open_time")],
        "bounds": [getattr(depot.sessions.eviction, name) for name in ("_max_sessions", "_max_half_open", "_reserve")],
        "servers": {name: (id(server), server.position, id(server.settings), server.node, server.link, server._bound,
                           server.is_backup, server._has_weight, server.draining, server.primary_sessions)
                    for name, server in management.servers.items()},
        "pools": {name: (id(pool), pool.balancing, [server.name for server in pool.servers], pool.preloaded,
                         id(pool.balancer)) for name, pool in management.pools.items()},
        "server_at": {node: server.name for node, server in management.server_at.items()},
        "indexes": (dict(management._by_service), dict(management._by_vip)),
    }


def running() -> InMemoryNetwork:
    """A network in the middle of its work: a session, a server that is drained."""
    it = InMemoryNetwork(make_network())
    it.depot.management.servers["web2"].draining = True
    open_session(it, 40_000)
    return it


def open_session(it: InMemoryNetwork, port: int) -> set[str]:
    out = it.to_service(tcp(CLIENT4, port, VIP4, 80, SYN))
    for name in out:
        it.from_server(name, tcp(VIP4, 80, CLIENT4, port, SYN | ACK))
    return set(out)


BREAKS: dict[str, Callable[[Network], Network]] = {
    "a VIP that is none": lambda network: with_service(network, vip=["nowhere"]),
    "a port that is none": lambda network: with_service(network, ports=[70_000]),
    "a server that is not there": lambda network: with_service(network, servers=["web1", "web99"]),
    "a criterion that is not there": lambda network: with_service(network, balancing="best"),
    "a weight that is none": lambda network: with_last_server(network, weight="heavy"),
}
C_BREAKS: dict[str, Callable[[Network], Network]] = {
    "servers.max_sessions": lambda network: with_last_server(network, max_sessions=HUGE),
    **{f"sessions.{key}": lambda network, key=key: replace(network, sessions=replace(network.sessions, **{key: HUGE}))
       for key in ("idle", "two_msl", "half_open", "max_sessions", "max_half_open")},
}


def check_nothing_changes(broken: Network) -> None:
    it = running()
    before = state(it.depot)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it is
        it.depot.reconfigure(broken, it.now)
    assert state(it.depot) == before
    assert open_session(it, 50_000) == {"web1"}, "it goes on"
    it.depot.reconfigure(changed(), it.now)
    assert state(it.depot) != before
    assert it.depot.management.servers["web1"].primary_sessions == 2
    assert it.depot.management.servers["web2"].draining


@pytest.mark.parametrize("name", BREAKS)
def test_part_that_cannot_be_taken_over_leaves_all_as_it_was(name: str) -> None:
    check_nothing_changes(BREAKS[name](changed()))


@COMPILED
@pytest.mark.parametrize("name", C_BREAKS)
def test_number_that_c_cannot_hold_leaves_all_as_it_was(name: str) -> None:
    check_nothing_changes(C_BREAKS[name](changed()))


@PLAIN
@pytest.mark.parametrize("at", range(1, 4))
@pytest.mark.parametrize(("of", "method"), [
    (session_management.SessionManagement, "configure"), (session_management.SessionManagement, "_index"),
    (servers.Server, "configure"), (session_management.Pool, "change"), (sessions.SessionTables, "use"),
    (eviction.Eviction, "use"), (round_robin.WeightedRoundRobin, "__init__")])
def test_step_that_fails_leaves_all_as_it_was(
        monkeypatch: pytest.MonkeyPatch, of: type, method: str, at: int) -> None:
    """Each step fails after it has done its work: the first, second or third time that it is taken."""
    it = running()
    before, works, calls = state(it.depot), getattr(of, method), 0

    def fails(*arguments: Any) -> None:
        nonlocal calls
        works(*arguments)
        calls += 1
        if calls == at:
            raise MemoryError

    monkeypatch.setattr(of, method, fails)
    try:
        it.depot.reconfigure(changed(), it.now)
    except MemoryError:
        assert state(it.depot) == before
    else:
        assert calls < at
        assert state(it.depot) != before


@COMPILED
@pytest.mark.parametrize("key", ["idle", "two_msl"])
def test_edge_node_takes_over_all_or_nothing(key: str) -> None:
    edge = running().edges["web1"]
    before = (edge.network, edge._lifetime, edge._lifetime_unclaimed)
    new = changed()
    with pytest.raises(OverflowError):
        edge.reconfigure(replace(new, sessions=replace(new.sessions, **{key: HUGE})), 0)
    assert (edge.network, edge._lifetime, edge._lifetime_unclaimed) == before


def test_edge_node_keeps_flows_for_as_long_as_the_new_table_says() -> None:
    edge, new = running().edges["web1"], changed()
    edge.reconfigure(new, 0)
    assert edge.network is new
    assert edge._lifetime == new.sessions.idle + new.sessions.two_msl


def test_server_that_is_put_back_in_vain_is_as_it_was() -> None:
    it = running()
    whole = it.depot.network
    it.depot.reconfigure(without(whole, "web2"), it.now)
    (server,) = it.depot.management.removed()
    before = server.condition, server.settings, server.load
    broken = with_service(whole, servers=["web2", "web99"])
    with pytest.raises(KeyError):
        it.depot.reconfigure(broken, it.now)
    assert it.depot.management.removed() == [server]
    assert (server.condition, server.settings, server.load) == before


# Statistics that are switched off, by a reload of all nodes, which read the table one after the other.


def with_probing(network: Network, **values: int) -> Network:
    return replace(network, probing=replace(
        network.probing, **{key: Duration(value) for key, value in values.items()}))


def report(it: InMemoryNetwork, state: ServerState = ServerState.ACCEPTS) -> None:
    for edge in it.edges.values():
        edge.send_statistics(state, 0.5, 1, 1000, it.now)
    it.settle()


def faults(it: InMemoryNetwork) -> set[Fault]:
    return {fault for server in it.depot.management.servers.values() for fault in server.condition.faults}


@pytest.mark.parametrize("state", [ServerState.ACCEPTS, ServerState.REFUSES])
@pytest.mark.parametrize("late", [False, True])
def test_reports_that_stop_since_they_are_switched_off_are_no_fault(state: ServerState, late: bool) -> None:
    it = InMemoryNetwork(make_network())
    report(it, state)
    it.depot.reconfigure(with_probing(it.network, statistics=0), it.now)
    if late:
        report(it, state)
    it.advance(60 * SECOND)
    assert faults(it) == set()
    assert all(server.alive and server.load is None for server in it.depot.management.servers.values())
    it.depot.reconfigure(it.network, it.now)
    it.advance(60 * SECOND)
    assert faults(it) == set(), "none has come yet"
    report(it, ServerState.REFUSES)
    it.advance(60 * SECOND)
    assert faults(it) == {Fault.REPORTED, Fault.STATISTICS}


def test_full_datagrams_are_no_fault_where_nobody_reports_them() -> None:
    it = InMemoryNetwork(make_network())
    for _ in range(10):
        for name in it.network.links:
            it.depot.fill(name, 5)
        report(it)
        it.advance(SECOND)
    assert faults(it) == {Fault.FULL_DATAGRAMS}
    it.depot.reconfigure(with_probing(it.network, statistics=0), it.now)
    assert faults(it) == set()


def test_missing_reports_are_forgiven_where_they_are_no_fault_any_more() -> None:
    it = InMemoryNetwork(make_network())
    report(it, ServerState.REFUSES)
    it.advance(60 * SECOND)
    assert faults(it) == {Fault.REPORTED, Fault.STATISTICS}
    it.depot.reconfigure(with_probing(it.network, statistics_timeout=0), it.now)
    assert faults(it) == {Fault.REPORTED}
