"""Two depots: one fails in each way that it can, and connections go on (the scenarios of warm standby)."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.state import TABLE_FILE
from tests.end_to_end.sites import VIP, VIP6, until
from tests.end_to_end.standing_by import DEPOTS, FLOOD, PAGE, UPLOAD, Pair, ask, left_whole, outcome, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces


@pytest.fixture(scope="module")
def lab(needs: Callable[[str], None]) -> Iterator[Pair]:
    for program in ("keepalived", "curl", "nginx", "ip"):
        needs(program)
    with pair() as made:
        yield made


@pytest.fixture
def it(lab: Pair) -> Iterator[Pair]:
    yield from left_whole(lab)


def test_the_active_depot_is_killed_and_a_download_and_50_clients_go_on(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(50) as clients, it.download() as download:
        until(it.same_sessions)
        it.lab.kill(active)
        assert outcome(download) == PAGE
        assert ask(clients) == 50
        assert it.role(other) == "active"
        assert it.count("inherited", other) >= 51
        it.lab.start(active)
        until(lambda: it.role(active) == "standby")
        assert ask(clients) == 50
        until(it.same_sessions)


@pytest.mark.slow
def test_an_upload_goes_on_and_so_does_a_connection_that_was_silent(it: Pair) -> None:
    active, _ = it.settled()
    with it.clients(4) as silent, it.helper("client", "-c", UPLOAD, VIP) as upload:
        until(lambda: any(row["octets_in"] > 500_000 for row in it.rows("sessions", active)))
        it.lab.kill(active)
        assert outcome(upload) == "HTTP/1.1 \n"
        assert ask(silent) == 4


@pytest.mark.slow
def test_a_depot_that_hangs_is_replaced_and_wakes_up_as_a_standby(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(20) as clients, it.download() as download:
        it.lab.kill(active, signal=signal.SIGSTOP)
        try:
            assert outcome(download) == PAGE
            assert ask(clients) == 20
            assert it.role(other) == "active"
        finally:
            it.lab.kill(active, signal=signal.SIGCONT)
        assert ask(clients) == 20
        until(lambda: it.role(active) == "standby")
        assert ask(clients) == 20


@pytest.mark.slow
def test_a_host_that_is_gone_is_replaced(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(20) as clients, it.download() as download:
        it.lab.remove(active)
        assert outcome(download) == PAGE
        assert ask(clients) == 20
        assert it.role(other) == "active"
    it.lab.start(active)


@pytest.mark.slow
def test_the_clients_wire_of_the_active_depot_is_cut(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(20) as clients, it.download() as download:
        it.lab.cut(f"{active}.client")
        try:
            assert outcome(download) == PAGE
            assert ask(clients) == 20
            assert it.role(other) == "active"
        finally:
            it.lab.restore(f"{active}.client")


@pytest.mark.slow
def test_a_cut_between_the_depots_moves_nothing_and_both_are_in_sync_again(it: Pair) -> None:
    active, other = it.settled()
    term = it.depot(active)["term"]
    with it.clients(20) as clients, it.download() as download:
        it.lab.cut(f"{other}.sync")
        try:
            until(lambda: it.role(other) == "joining")
            assert ask(clients) == 20
            assert outcome(download) == PAGE
        finally:
            it.lab.restore(f"{other}.sync")
        assert it.settled() == (active, other)
        assert it.depot(active)["term"] == term
        until(it.same_sessions)


@pytest.mark.slow
def test_a_planned_takeover_and_the_way_back_lose_nothing(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(50) as clients, it.download() as download:
        assert it.atmdepot("takeover", "--node", other).returncode == 0
        assert it.settled() == (other, active)
        assert it.depot(other)["last_takeover"].startswith("planned: ")
        assert ask(clients) == 50
        assert it.atmdepot("release").returncode == 0
        assert it.settled() == (active, other)
        assert ask(clients) == 50
        assert outcome(download) == PAGE


@pytest.mark.slow
def test_a_late_joiner_gets_all_sessions_while_new_ones_open(it: Pair) -> None:
    active, other = it.settled()
    it.lab.kill(other)
    load = it.lab.popen("client", ["ab", "-q", "-t", "8", "-n", "1000000", "-c", "10", f"http://{VIP}/1KB"])
    with load, it.clients(50) as clients:
        until(lambda: it.count("opened", active) > 1_000)
        it.lab.start(other)
        until(lambda: it.role(other) == "standby")
        load.wait(30)
        until(it.same_sessions)
        assert it.depot(other)["inherited"] > 50
        it.lab.kill(active)
        assert ask(clients) == 50


@pytest.mark.slow
def test_a_slow_standby_costs_the_active_depot_nothing(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(20) as clients:
        it.lab.kill(other, signal=signal.SIGSTOP)
        try:
            done = it.run("client", "ab", "-q", "-t", "8", "-n", "1000000", "-c", "10", f"http://{VIP}/1KB")
            assert "Failed requests:        0" in done.stdout
            assert ask(clients) == 20
            until(lambda: not it.depot(active)["peers"])  # nothing came for 5 s
        finally:
            it.lab.kill(other, signal=signal.SIGCONT)
        assert it.settled() == (active, other)
        until(it.same_sessions)
        assert ask(clients) == 20


@pytest.mark.slow
def test_servers_that_are_dead_or_drained_stay_so_and_their_turns_go_on(it: Pair) -> None:
    active, other = it.settled()
    assert it.atmdepot("drain", "web1").returncode == 0
    try:
        until(lambda: any(row["draining"] for row in it.rows("servers", other)))
        it.lab.kill(active)
        until(lambda: it.role(other) == "active")
        assert {it.fetch(VIP, "server").server for _ in range(4)} == {"web2"}
        assert it.atmdepot("undrain", "web1").returncode == 0
        first = it.fetch(VIP, "server").server
        assert [it.fetch(VIP, "server").server for _ in range(3)] == [
            name for name in ("web1", "web2") if name != first] + [first] + [
            name for name in ("web1", "web2") if name != first]
    finally:
        it.atmdepot("undrain", "web1")


@pytest.mark.slow
def test_pings_and_ipv6_go_on(it: Pair) -> None:
    active, other = it.settled()
    with it.download(VIP6) as download:
        it.lab.kill(active)
        assert outcome(download) == PAGE
        assert it.role(other) == "active"
        for vip in (VIP, VIP6):
            assert it.run("client", "ping", "-c", "2", "-W", "5", vip).returncode == 0


@pytest.mark.slow
def test_two_depots_that_were_active_apart_agree_again(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(20) as clients:
        wires = f"{other}.sync", f"{other}.client"
        it.lab.cut(*wires, silent=True)
        try:
            until(lambda: it.role(other) == "active")  # it hears no adverts
            assert ask(clients) == 20
            assert it.role(active) == "active"  # the clients come to this one
        finally:
            it.lab.restore(*wires)
        it.settled()
        assert ask(clients) == 20
        until(it.same_sessions)


@pytest.mark.slow
def test_both_depots_are_restarted_one_after_the_other_under_load(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(20) as clients, it.lab.popen(
            "client", ["ab", "-q", "-t", "20", "-n", "1000000", "-c", "5", f"http://{VIP}/1KB"],
            stdout=subprocess.PIPE, text=True) as load:
        for node in (other, active):
            it.lab.kill(node, signal=signal.SIGTERM)
            until(lambda node=node: it.lab.state.processes[node].exit_code is not None)  # type: ignore[misc]
            it.lab.start(node)
            it.settled()
            if node == other:
                assert it.atmdepot("takeover", "--node", other).returncode == 0
                it.settled()
        assert ask(clients) == 20
        assert "Failed requests:        0" in load.communicate(timeout=60)[0]


@pytest.mark.slow
def test_a_flood_of_syns_does_not_keep_connections_from_going_on(it: Pair) -> None:
    active, other = it.settled()
    before = it.count("opened", active)
    with it.clients(20) as clients, it.lab.popen("client", [sys.executable, "-c", FLOOD, VIP]) as flood:
        until(lambda: it.count("opened", active) > before + 2_000)
        it.lab.kill(active)
        assert ask(clients) == 20
        assert it.role(other) == "active"
        flood.kill()


@pytest.mark.slow
def test_both_depots_are_killed_and_one_that_is_started_again_recalls_all(it: Pair) -> None:
    active, other = it.settled()
    with it.clients(50) as clients:
        for node in (active, other):
            it.lab.kill(node)
        it.lab.start(other)
        assert ask(clients) == 50
        assert it.role(other) == "active"
        assert it.count("recalled", other) + it.count("adopted", other) >= 50


@pytest.mark.slow
@pytest.mark.parametrize("other", DEPOTS)
def test_a_depot_with_another_table_is_told_no_sessions_until_it_has_the_same(it: Pair, other: str) -> None:
    active = it.other(other)
    if it.settled()[0] == other:
        assert it.atmdepot("takeover", "--node", active).returncode == 0
    assert it.settled() == (active, other)
    table = it.lab.directory / TABLE_FILE
    same = table.read_text()
    with it.clients(20) as clients:
        it.lab.kill(other)
        table.write_text(same.replace("ports = [80]\n", "ports = [80, 8080]\n"))
        try:
            it.lab.start(other)
            log = it.lab.directory / f"{other}.log"
            until(lambda: f"{active}: refused: its VC table differs: it has another services.web" in log.read_text())
            assert it.role(other) == "joining"
            refused = it.atmdepot("takeover", "--node", other)
            assert refused.returncode == 1
            assert "not in sync" in refused.stderr
            assert ask(clients) == 20
        finally:
            table.write_text(same)
        it.lab.kill(other)
        it.lab.start(other)
        assert it.settled() == (active, other)
        until(it.same_sessions)
        assert ask(clients) == 20
