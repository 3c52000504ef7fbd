"""Hot standby: the depot that stands by sees what the active one sees, and knows what it knows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.sites import VIP, VIP6, until
from tests.end_to_end.standing_by import CONNECT, DEPOTS, Pair, ask, left_whole, pair, without_acks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]

CLOSED = ("server", "vc", "table", "closed_by")
LIVE = (*CLOSED, "client_state", "server_state")
"""The fields of a session that both depots know; counts and times are each depot's own.

The last states of a closed one may differ: the standby sees both directions on different interfaces, and may see the
last two segments in the other order.
"""


@pytest.fixture(scope="module")
def lab(needs: Callable[[str], None]) -> Iterator[Pair]:
    for program in ("keepalived", "curl", "nginx", "ab", "nft"):
        needs(program)
    with pair("hot") as made:
        yield made


@pytest.fixture
def it(lab: Pair) -> Iterator[Pair]:
    yield from left_whole(lab)


def known(it: Pair, name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The sessions of clients at a depot, without the depot's own probes."""
    return {(row["client"], row["service"]): {key: row[key] for key in (CLOSED if row["closed_by"] else LIVE)}
            for row in it.rows("sessions", name) if "10.9.0.2" in row["client"] or "fd00:9::2" in row["client"]}


def test_both_depots_know_the_same_after_mixed_load(it: Pair) -> None:
    it.settled()
    with it.clients(20) as clients:
        for vip in (VIP, f"[{VIP6}]"):
            it.run("client", "ab", "-q", "-n", "500", "-c", "10", f"http://{vip}/1KB")
        it.run("client", "ab", "-q", "-k", "-n", "500", "-c", "10", f"http://{VIP}/1KB")
        it.fetch(VIP, "10KB")
        assert ask(clients) == 20
        until(lambda: known(it, "depot1") == known(it, "depot2"), seconds=20)
        assert len(known(it, "depot1")) > 900  # of 1,031: ab takes some ports twice
        until(it.same_sessions)


def test_a_hot_standby_forwards_nothing(it: Pair) -> None:
    active, other = it.settled()
    before = [it.count("tx-packets", name) for name in (active, other)]
    it.run("client", "ab", "-q", "-n", "200", "-c", "5", f"http://{VIP}/1KB")
    after = [it.count("tx-packets", name) for name in (active, other)]
    assert after[0] - before[0] > 600
    assert after[1] - before[1] < 100  # its own probes
    assert it.count("watched", other) > 600
    assert it.drops() == {}


def test_clients_go_on_when_the_active_depot_is_killed(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(50) as clients:
        it.lab.kill(active)
        assert ask(clients) == 50
        assert it.role(other) == "active"
        it.lab.start(active)
        it.settled()
        assert ask(clients) == 50
        until(lambda: known(it, DEPOTS[0]) == known(it, DEPOTS[1]), seconds=20)


def test_a_handshake_that_had_no_ack_yet_goes_on_when_the_active_depot_is_killed(it: Pair) -> None:
    active, other = it.settled()
    adopted = it.count("adopted", other)
    with without_acks(it) as acks_pass, it.lab.popen(
            "client", [sys.executable, "-c", CONNECT, VIP], stdin=-1, stdout=-1, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "READY\n"
        until(lambda: any(row["server_state"] == "SYN-RECEIVED" for row in it.rows("sessions", other)
                          if row["client"].startswith("10.9.0.2:")))
        it.lab.kill(active)
        until(lambda: it.role(other) == "active")
        acks_pass()
        assert client.communicate("\n", timeout=60)[0].strip() in ("web1", "web2")
    assert it.count("adopted", other) == adopted, "it knew the session by itself"
