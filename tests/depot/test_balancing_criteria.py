"""The criteria by themselves: exact shares, weights, who is left out, and how little moves when a server goes."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random
from runpy import run_path
from typing import get_args

import pytest

from atmdepot.config.pools import Balancing
from atmdepot.config.units import Duration
from atmdepot.depot.balancing.hashing import MAGLEV_SIZE, maglev_table
from atmdepot.depot.balancing.least_connections import RandomOfTwo
from atmdepot.depot.balancing.registry import BALANCERS
from atmdepot.depot.session_management import Pool
from tests.checkout import ROOT
from tests.depot.servers import give, kill, make_server, make_servers, revive, would_give
from tests.network_in_memory import SECOND

AHEAD = ["round-robin", "weighted-round-robin", "least-connections", "weighted-least-connections", "least-load"]
CLIENTS = [bytes((10, 9, n >> 8, n & 255)) for n in range(4000)]


def by_client(pool: Pool, now: int = 0) -> dict[bytes, str]:
    """The server of each client."""
    return {client: name for client in CLIENTS for name in give(pool, 1, client, now)}


def test_every_criterion_of_a_vc_table_is_there() -> None:
    assert set(BALANCERS) >= {*AHEAD, "random-of-two", "source-hash", "maglev"}
    assert list(BALANCERS) == list(get_args(Balancing))


def test_page_of_the_criteria_is_up_to_date() -> None:
    """`python docs/make_criteria.py` writes its table."""
    made = run_path(str(ROOT / "docs" / "make_criteria.py"))
    assert made["PAGE"].read_text() == made["page"]()
    assert all(f"| `{name}` | " in made["page"]() for name in BALANCERS)


@pytest.mark.parametrize("balancing", AHEAD)
def test_thirty_over_two_equal_servers_are_fifteen_each(balancing: str) -> None:
    assert Counter(give(Pool("p", make_servers({}, {}), balancing), 30)) == {"web1": 15, "web2": 15}


@pytest.mark.parametrize("balancing", ["weighted-round-robin", "weighted-least-connections", "least-load"])
def test_thirty_over_weights_of_one_and_two_are_ten_and_twenty(balancing: str) -> None:
    assert Counter(give(Pool("p", make_servers({"weight": 1}, {"weight": 2}), balancing), 30)) == {
        "web1": 10, "web2": 20}


@pytest.mark.parametrize("balancing", ["round-robin", "least-connections"])
def test_weights_mean_nothing_to_criteria_that_do_not_look_at_them(balancing: str) -> None:
    assert Counter(give(Pool("p", make_servers({"weight": 1}, {"weight": 9}), balancing), 30)) == {
        "web1": 15, "web2": 15}


def test_weighted_turns_are_interleaved() -> None:
    pool = Pool("p", make_servers({"weight": 1}, {"weight": 2}), "weighted-round-robin")
    assert give(pool, 9) == ["web2", "web1", "web2"] * 3
    pool = Pool("p", make_servers({"weight": 5}, {"weight": 1}, {"weight": 1}), "weighted-round-robin")
    assert give(pool, 7) == ["web1", "web1", "web2", "web1", "web3", "web1", "web1"]


@pytest.mark.parametrize("balancing", AHEAD)
def test_one_of_three_dead_leaves_the_rest_even(balancing: str) -> None:
    servers = make_servers({}, {}, {})
    kill(servers[1])
    assert Counter(give(Pool("p", servers, balancing), 30)) == {"web1": 15, "web3": 15}


@pytest.mark.parametrize("balancing", BALANCERS)
def test_who_may_take_no_session_gets_none(balancing: str) -> None:
    """Dead, draining, of weight 0, or a backup while others are there."""
    servers = make_servers({}, {}, {"weight": 0}, {"backup": True}, {}, {})
    kill(servers[0])
    servers[1].draining = True
    pool = Pool("p", servers, balancing)
    got = {name for client in CLIENTS[:50] for name in give(pool, 1, client)}
    assert got == {"web5", "web6"}


@pytest.mark.parametrize("balancing", BALANCERS)
def test_pool_in_which_none_may_take_a_session_gives_none(balancing: str) -> None:
    servers = make_servers({}, {}, {"weight": 0})
    kill(servers[0])
    servers[1].draining = True
    assert give(Pool("p", servers, balancing), 2, CLIENTS[0]) == ["none", "none"]


def test_backup_serves_while_no_other_can() -> None:
    servers = make_servers({}, {"backup": True, "weight": 0}, {"max_sessions": 1})
    pool = Pool("p", servers, "round-robin")
    kill(servers[0])
    assert give(pool, 3) == ["web3", "web2", "web2"]
    revive(servers[0])
    # The one that was chosen ahead is still the backup.
    assert give(pool, 3) == ["web2", "web1", "web1"]


def test_server_at_its_bound_is_passed_over_until_a_session_ends() -> None:
    servers = make_servers({"max_sessions": 3}, {})
    pool = Pool("p", servers, "round-robin")
    assert Counter(give(pool, 10)) == {"web1": 3, "web2": 7}
    servers[0].primary_sessions -= 1
    assert Counter(give(pool, 10)) == {"web1": 1, "web2": 9}


@pytest.mark.parametrize("balancing", AHEAD)
def test_draining_takes_effect_at_once_also_on_the_one_chosen_ahead(balancing: str) -> None:
    servers = make_servers({}, {})
    pool = Pool("p", servers, balancing)
    assert give(pool, 1) == ["web1"]
    assert pool._next is servers[1]
    servers[1].draining = True
    assert give(pool, 5) == ["web1"] * 5
    servers[1].draining = False
    assert "web2" in give(pool, 3)


def test_next_server_is_chosen_before_its_session_comes() -> None:
    """A change after the choice, other than the loss of the server, does not change it."""
    servers = make_servers({}, {})
    pool = Pool("p", servers, "least-connections")
    give(pool, 2)
    assert pool._next is servers[0]
    servers[0].primary_sessions = 100
    assert give(pool, 3) == ["web1", "web2", "web2"]


@pytest.mark.parametrize("balancing", ["source-hash", "maglev"])
def test_criterion_that_looks_at_the_client_chooses_nothing_ahead(balancing: str) -> None:
    pool = Pool("p", make_servers({}, {}), balancing)
    give(pool, 1, CLIENTS[0])
    assert pool._next is None


def test_least_connections_goes_where_sessions_ended() -> None:
    servers = make_servers({}, {}, {})
    for server, sessions in zip(servers, (5, 1, 3), strict=True):
        server.primary_sessions = sessions
    assert Counter(give(Pool("p", servers, "least-connections"), 6)) == {"web2": 4, "web3": 2}


# Slow start.


def test_slow_start_grows_in_tenths_and_only_after_a_recovery() -> None:
    server = make_server("web1", weight=3, slow_start=Duration(10 * SECOND))
    assert server.effective_weight(0) == 300, "a depot that starts slows nobody"
    kill(server, 5 * SECOND)
    revive(server, 20 * SECOND)
    weights = [server.effective_weight(20 * SECOND + tenths * SECOND // 10) for tenths in range(0, 110, 5)]
    assert weights == [30 * max(1, n // 2) for n in range(20)] + [300, 300]
    assert server.effective_weight(10**12) == 300


def test_server_without_slow_start_has_its_whole_weight_at_once() -> None:
    server = make_server("web1", weight=2)
    kill(server)
    revive(server, SECOND)
    assert server.effective_weight(SECOND) == 200


def test_slow_start_gives_a_tenth_first() -> None:
    servers = make_servers({"slow_start": Duration(10 * SECOND)}, {})
    kill(servers[0])
    revive(servers[0], SECOND)
    pool = Pool("p", servers, "weighted-round-robin")
    assert Counter(give(pool, 110, now=SECOND)) == {"web1": 10, "web2": 100}
    assert Counter(give(pool, 30, now=100 * SECOND))["web1"] in (14, 15, 16)


def test_no_maglev_table_is_made_while_sessions_open() -> None:
    """Not for deaths, full servers or a slow start; only when servers or weights change."""
    servers = make_servers({"slow_start": Duration(10 * SECOND)}, {"max_sessions": 3}, {})
    pool = Pool("p", servers, "maglev")
    table = pool.balancer._table
    for tenths in range(120):
        (kill if tenths < 10 else revive)(servers[0])
        give(pool, 1, CLIENTS[tenths], tenths * SECOND // 10)
        assert pool.balancer._table is table
    pool.change(servers)
    assert pool.balancer._table is table
    pool.change(servers[1:])
    assert set(pool.balancer._table) == {0, 1}


@pytest.mark.parametrize("balancing", ["source-hash", "maglev"])
def test_slow_start_of_a_hash_lets_clients_in_that_then_stay(balancing: str) -> None:
    servers = make_servers({"slow_start": Duration(10 * SECOND)}, {}, {})
    pool = Pool("p", servers, balancing)
    whole = {client for client, name in by_client(pool).items() if name == "web1"}
    kill(servers[0])
    revive(servers[0])
    before: set[bytes] = set()
    for tenth in range(1, 10):
        now = {client for client, name in by_client(pool, tenth * SECOND).items() if name == "web1"}
        assert before < now < whole
        # Where a weight of t tenths is drawn for, the share is t/(t + 20); of the places of a table, t tenths are.
        share = tenth / (tenth + 20) if balancing == "source-hash" else tenth / 30
        assert len(now) / len(CLIENTS) == pytest.approx(share, abs=0.03)
        before = now
    assert {client for client, name in by_client(pool, 10 * SECOND).items() if name == "web1"} == whole


# Load.


def test_least_load_follows_the_reports() -> None:
    servers = make_servers({}, {}, {})
    servers[0].load, servers[1].load, servers[2].load = 3.0, 0.5, 9.0
    assert give(Pool("p", servers, "least-load"), 2) == ["web2", "web2"]


def test_sessions_given_since_the_last_report_count() -> None:
    servers = make_servers({}, {})
    servers[0].load, servers[1].load = 0.05, 0.0
    # Each session counts a hundredth of a load of 1 until the next report tells what it was.
    assert give(Pool("p", servers, "least-load"), 8).count("web2") in (6, 7)
    for server in servers:
        server.sessions_since_report = 0
    servers[0].load, servers[1].load = 0.0, 0.05
    assert give(Pool("p", servers, "least-load"), 4) == ["web1"] * 4


def test_server_without_a_report_counts_as_the_mean_of_the_others() -> None:
    servers = make_servers({}, {}, {})
    servers[0].load, servers[2].load = 1.0, 3.0
    servers[0].draining = True
    assert give(Pool("p", servers, "least-load"), 1) == ["web2"], "web1 takes none, so the mean is web3's"
    servers[0].draining = False
    servers[1].sessions_since_report = servers[1].total_sessions = 0
    assert give(Pool("p", servers, "least-load"), 1) == ["web1"], "1.0 is less than the mean of 2.0"


# Random.


def test_random_of_two_is_the_better_of_the_two_that_its_seed_draws() -> None:
    servers = make_servers({}, {}, {}, {})
    for server, sessions in zip(servers, (4, 3, 2, 1), strict=True):
        server.primary_sessions = sessions
    draws = Random(7)
    balancer = RandomOfTwo(7)
    for _ in range(50):
        two = draws.sample(servers, 2)
        assert balancer.choose(servers, b"", 0) is min(two, key=lambda server: server.primary_sessions)
    got = [balancer.choose(servers, b"", 0).name for _ in range(300)]
    assert "web1" not in got, "the worst of all is never the better of two"


def test_random_of_two_keeps_equal_servers_close() -> None:
    shares = Counter(give(Pool("p", make_servers({}, {}, {}), "random-of-two"), 300))
    assert max(shares.values()) - min(shares.values()) <= 6


# Hashes of the client.


@pytest.mark.parametrize("balancing", ["source-hash", "maglev"])
def test_client_keeps_its_server(balancing: str) -> None:
    servers = make_servers({}, {}, {})
    first = by_client(Pool("p", servers, balancing))
    assert by_client(Pool("p", servers, balancing)) == first, "another depot would choose the same"
    assert set(first.values()) == {"web1", "web2", "web3"}


def test_source_hash_moves_only_the_clients_of_a_server_that_goes() -> None:
    servers = make_servers({}, {}, {}, {})
    pool = Pool("p", servers, "source-hash")
    before = by_client(pool)
    kill(servers[2])
    during = by_client(pool)
    assert {client for client in CLIENTS if before[client] != during[client]} == {
        client for client in CLIENTS if before[client] == "web3"}
    revive(servers[2])
    assert by_client(pool) == before


@pytest.mark.parametrize("balancing", ["source-hash", "maglev"])
@pytest.mark.parametrize("weights", [(1, 1), (1, 2), (1, 1, 2), (5, 3, 2)])
def test_clients_are_shared_out_by_weight(balancing: str, weights: tuple[int, ...]) -> None:
    """4,000 clients: four standard deviations of a share of one half are 3.2 %."""
    servers = make_servers(*({"weight": weight} for weight in weights))
    shares = Counter(by_client(Pool("p", servers, balancing)).values())
    for server, weight in zip(servers, weights, strict=True):
        assert shares[server.name] / len(CLIENTS) == pytest.approx(weight / sum(weights), abs=0.032)


@pytest.mark.parametrize("weights", [
    (1,), (1, 1), (1, 2), (1, 1, 1, 1, 1), (1, 2, 3, 4), (100, 1), tuple(range(1, 21))])
def test_maglev_shares_its_table_by_weight(weights: tuple[int, ...]) -> None:
    """Shares differ from the weights by less than a hundredth of the whole table."""
    table = maglev_table([(f"web{n}", weight) for n, weight in enumerate(weights)])
    assert len(table) == MAGLEV_SIZE
    assert set(table) == set(range(len(weights))), "every place is taken, and by nobody else"
    shares = Counter(table)
    for index, weight in enumerate(weights):
        assert shares[index] / MAGLEV_SIZE == pytest.approx(weight / sum(weights), abs=0.01)


@pytest.mark.parametrize("count", [3, 5, 10])
def test_maglev_moves_the_share_of_a_server_that_goes_and_little_more(count: int) -> None:
    """Of the places of the others, less than 5 % change hands."""
    names = [(f"web{n}", 1) for n in range(count)]
    before = [names[index][0] for index in maglev_table(names)]
    for gone in names:
        left = [name for name in names if name != gone]
        after = [left[index][0] for index in maglev_table(left)]
        others = [(one, other) for one, other in zip(before, after, strict=True) if one != gone[0]]
        moved = sum(one != other for one, other in others)
        assert moved / len(others) < 0.05


def test_size_of_the_maglev_table_is_prime() -> None:
    """Else a walk by a fixed step would not visit every place."""
    assert all(MAGLEV_SIZE % divisor for divisor in range(2, 101))
    assert MAGLEV_SIZE < 101 ** 2


@pytest.mark.parametrize("hindrance", ["dead", "full", "draining"])
def test_maglev_moves_only_the_clients_of_a_server_that_takes_none_and_shares_them_by_weight(hindrance: str) -> None:
    servers = make_servers({"weight": 2}, {}, {"max_sessions": 1}, {"weight": 3})
    pool = Pool("p", servers, "maglev")

    def chosen() -> dict[bytes, str]:
        return {client: server.name for client in CLIENTS if (server := would_give(pool, client)) is not None}

    before = chosen()
    if hindrance == "dead":
        kill(servers[2])
    servers[2].primary_sessions = int(hindrance == "full")
    servers[2].draining = hindrance == "draining"
    during = chosen()
    moved = [client for client in CLIENTS if before[client] != during[client]]
    assert moved == [client for client in CLIENTS if before[client] == "web3"]
    shares = Counter(during[client] for client in moved)
    for name, weight in (("web1", 2), ("web2", 1), ("web4", 3)):
        assert shares[name] / len(moved) == pytest.approx(weight / 6, abs=0.08)
    revive(servers[2])
    servers[2].primary_sessions, servers[2].draining = 0, False
    assert chosen() == before


@pytest.mark.parametrize("balancing", ["source-hash", "maglev"])
@pytest.mark.parametrize("left", [1, 3, 30])
def test_hash_is_the_same_for_a_client_and_fair_where_nearly_all_servers_are_full(balancing: str, left: int) -> None:
    servers = make_servers(*({"max_sessions": 1} for _ in range(100)))
    for server in servers[left:]:
        server.primary_sessions = 1
    pools = [Pool("p", servers, balancing) for _ in range(2)]
    first, second = ([server.name for client in CLIENTS if (server := would_give(pool, client)) is not None]
                     for pool in pools)
    assert first == second
    shares = Counter(first)
    assert set(shares) == {server.name for server in servers[:left]}
    assert max(shares.values()) < 1.4 * len(CLIENTS) / left


@pytest.mark.parametrize("balancing", ["source-hash", "maglev"])
def test_backup_servers_share_clients_by_weight(balancing: str) -> None:
    servers = make_servers({}, {"backup": True}, {"backup": True, "weight": 3})
    pool = Pool("p", servers, balancing)
    kill(servers[0])
    shares = Counter(by_client(pool).values())
    assert shares["web3"] / len(CLIENTS) == pytest.approx(3 / 4, abs=0.03)
    assert shares["web2"] + shares["web3"] == len(CLIENTS)


def test_source_hash_tells_great_weights_apart() -> None:
    """Powers of 1/weight all come close to 1; were they taken for equal, the first server would have all clients."""
    servers = make_servers(*({"weight": 1000} for _ in range(4)))
    for server in servers:
        server.weight = 10**17
    shares = Counter(by_client(Pool("p", servers, "source-hash")).values())
    assert all(shares[server.name] / len(CLIENTS) == pytest.approx(1 / 4, abs=0.032) for server in servers)


def test_servers_that_come_and_go_never_leave_a_stale_maglev_table() -> None:
    servers = make_servers({}, {}, {})
    pool = Pool("p", servers, "maglev")
    for up in itertools.product((True, False), repeat=3):
        for server, alive in zip(servers, up, strict=True):
            (revive if alive else kill)(server)
        for client in CLIENTS[:20]:
            (name,) = give(pool, 1, client)
            assert name == "none" if not any(up) else up[int(name[-1]) - 1]
