"""Round robin gives exact shares, passes over the dead, and is chosen ahead of the session."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.depot.session_management import Pool, SessionManagement
from tests.depot.playbook import Playbook
from tests.depot.servers import give, kill, make_servers, revive, set_alive, take_next
from tests.ip_packets import packed, ping
from tests.network_in_memory import VIP4, VIP6, make_network

if TYPE_CHECKING:
    from atmdepot.depot.servers import Server


def servers_of(*alive: bool) -> list[Server]:
    made = make_servers(*({} for _ in alive))
    for server, up in zip(made, alive, strict=True):
        set_alive(server, up)
    return made


def test_thirty_sessions_over_two_servers_are_fifteen_each() -> None:
    play = Playbook()
    got = []
    for play.port in range(4000, 4030):
        got.append(play.client >> "S seq=1")
    assert got == ["web1", "web2"] * 15
    servers = play.net.depot.management.servers.values()
    assert [(server.primary_sessions, server.total_sessions) for server in servers] == [(15, 15)] * 2


def test_dead_server_gets_nothing_and_the_first_after_its_death_is_no_exception() -> None:
    play = Playbook()
    for play.port in range(4000, 4005):
        play.client >> "S seq=1"
    kill(play.net.depot.management.servers["web2"])  # it is the preloaded one
    got = []
    for play.port in range(5000, 5030):
        got.append(play.client >> "S seq=1")
    assert got == ["web1"] * 30


def test_no_server_alive_is_counted_and_the_first_that_comes_back_gets_the_next() -> None:
    play = Playbook()
    servers = play.net.depot.management.servers
    for server in servers.values():
        kill(server)
    assert play.client >> "S seq=1" == "no-server"
    request = ping("10.9.0.2", VIP4)
    assert play.net.to_service(request) == {}
    assert play.client >> "S seq=1" == "no-server"
    revive(servers["web2"])
    assert play.client >> "S seq=1" == "web2"


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.integers(0, 60))
def test_shares_of_the_living_differ_by_one_at_most(alive: list[bool], count: int) -> None:
    got = Counter(give(Pool("p", servers_of(*alive), "round-robin"), count))
    living = [f"web{n}" for n, up in enumerate(alive, 1) if up]
    if not living:
        assert got == ({"none": count} if count else {})
        return
    assert sum(got[name] for name in living) == count
    assert max(got[name] for name in living) - min(got[name] for name in living) <= 1


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 3), st.booleans())), max_size=40))
def test_dead_server_is_never_given_however_lists_change(steps: list[tuple[int, bool] | None]) -> None:
    servers = servers_of(True, True, True, True)
    pool = Pool("p", servers, "round-robin")
    for step in steps:
        if step is not None:
            set_alive(servers[step[0]], step[1])
        else:
            server = take_next(pool)
            pool.preload(0)
            assert server.alive if server else not any(other.alive for other in servers)


@given(st.binary(min_size=4, max_size=16))
def test_packets_without_a_session_go_to_one_server_per_client(client: bytes) -> None:
    servers = servers_of(True, False, True)
    pool = Pool("p", servers, "round-robin")
    assert len({pool.server_of(client) for _ in range(3)}) == 1
    assert pool.server_of(client) in (servers[0], servers[2])
    kill(servers[0])
    kill(servers[2])
    assert pool.server_of(client) is None


@pytest.mark.parametrize(("vip", "port", "found"), [
    (VIP4, 80, True), (VIP6, 80, True), (VIP4, 81, False), ("10.80.0.2", 80, False), (VIP4, 0, False)])
def test_pool_is_found_by_vip_and_port(vip: str, port: int, found: bool) -> None:
    management = SessionManagement(make_network(), "depot", 0)
    assert (management.pool_of(packed(vip), port) is not None) == found


def test_service_without_ports_stands_for_all_of_them() -> None:
    network = make_network(tables='[services.any]\nvip = ["10.80.0.9"]\nservers = ["web2"]')
    management = SessionManagement(network, "depot", 0)
    assert management.pool_of(packed("10.80.0.9"), 12345) is management.pools["any"]
    assert management.pool_of_vip(packed("10.80.0.9")) is management.pools["any"]
