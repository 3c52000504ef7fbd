"""A pool of squids behind the depot: hits and misses as squid has them, and a proxy that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end.sites import VIP, VIP6, Site, changed, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]


@pytest.fixture(scope="module")
def pool(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    needs("squid")
    in_turn = [('balancing = "least-load"', 'balancing = "round-robin"')]
    with changed("proxies", "pool", in_turn) as table, site(table, watched=True) as made:
        yield made


def fetch(pool: Site, vip: str, name: str) -> tuple[str, str]:
    """Fetch the origin's page through the proxies; the proxy that answered, and whether it was a hit."""
    host = f"[{vip}]" if ":" in vip else vip
    done = pool.lab.run("client", ["curl", "-gsS", "-m", "20", "-D", "/dev/stderr", "-x", f"http://{host}:3128",
                                   f"http://origin/{name}"], capture_output=True)
    assert (done.returncode, done.stdout) == (0, page(name)), done.stderr
    head = dict(line.split(": ", 1) for line in done.stderr.decode().splitlines() if ": " in line)
    return head["X-Served-By"], head["X-Cache"].split()[0]


def told(pool: Site) -> dict[str, tuple[int, int]]:
    return {row["server"]: (row.get("hits", 0), row.get("misses", 0)) for row in pool.rows("servers")}


def wait_for_reports(pool: Site, count: int) -> None:
    """Wait until so many more reports have come from each edge node."""
    def heard() -> list[int]:
        return [row["rx_pdus"] for row in pool.vcs().values() if row["carries"] == "many" and row["vc"].endswith("/33")]

    before = heard()
    until(lambda: all(now >= then + count for now, then in zip(heard(), before, strict=True)))


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_hits_and_misses_are_those_of_the_clients_requests(pool: Site, vip: str) -> None:
    wait_for_reports(pool, 4)  # each page of counters is older than its report, and the lab has asked for a page
    before, name = told(pool), "10KB" if vip == VIP else "1KB"
    seen = [fetch(pool, vip, name) for _ in range(9)]
    assert {server for server, _ in seen} == {"proxy1", "proxy2", "proxy3"}
    want = {server: (before[server][0] + seen.count((server, "HIT")), before[server][1] + seen.count((server, "MISS")))
            for server in before}
    assert all(seen.count((server, "MISS")) == 1 for server in before), "each proxy fetches a page once"
    until(lambda: told(pool) == want)
    assert pool.count("page-refused") == sum(pool.count("page-refused", node) for node in want) == 0


def test_a_download_through_a_proxy_outlives_the_active_depot_of_a_pair(needs: Callable[[str], None]) -> None:
    for program in ("curl", "squid", "keepalived", "ip"):
        needs(program)
    with changed("standby", "pool-pair", [("ports = [80]", "ports = [3128]\nproxies = true")]) as table, \
            site(table, watched=True) as pair:
        def role(name: str) -> str:
            return str(pair.rows("depots", name)[0]["role"])

        depots = pair.lab.network.depots
        until(lambda: sorted(map(role, depots)) == ["active", "standby"])
        active, other = sorted(depots, key=role)
        with pair.lab.popen("client", ["curl", "-s", "--limit-rate", "4M", "-x", f"http://{VIP}:3128",
                                       "http://origin/10MB"], stdout=subprocess.PIPE) as download:
            # Nobody reads yet, so the buffers fill, and the download waits.
            until(lambda: any(row["octets_out"] > 100_000 for row in pair.rows("sessions", active)))
            until(lambda: pair.rows("sessions", other))
            pair.lab.kill(active)
            assert download.communicate(timeout=60)[0] == page("10MB")
        assert role(other) == "active"


def test_the_client_reaches_no_origin_by_itself(pool: Site) -> None:
    assert pool.run("client", "curl", "-s", "-m", "2", "http://198.51.100.1/", check=False).returncode


def test_only_its_edge_node_may_ask_a_proxy_for_its_counters(pool: Site) -> None:
    done = pool.run("client", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                    f"http://{VIP}:3128/squid-internal-mgr/counters")
    assert done.stdout == "403"


def test_a_proxy_that_is_killed_gets_no_sessions_and_goes_on_counting_when_it_is_back(pool: Site) -> None:
    def alive() -> set[str]:
        return {row["server"] for row in pool.rows("servers") if row["list"] == "alive"}

    before = told(pool)["proxy2"]
    os.kill(pool.pid("proxy2.web"), signal.SIGKILL)
    until(lambda: alive() == {"proxy1", "proxy3"})
    assert {fetch(pool, VIP, "100B")[0] for _ in range(6)} == {"proxy1", "proxy3"}
    pool.lab.start("proxy2")
    until(lambda: "proxy2" in alive())
    until(lambda: fetch(pool, VIP, "100B") == ("proxy2", "HIT"))
    until(lambda: told(pool)["proxy2"] > before)

