"""Testbed of containers as its documentation says: up, in use, with failures, and down again."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from atmdepot.config.reading import load
from atmdepot.lab.pages import SIZES, page
from atmdepot.net.metrics import full_names
from tests.testbed.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.testbed.compose import Project
    from tests.testbed.machine import Machine

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SAMPLER = (Path(__file__).parent / "sampler.py").read_text()
TABLE = load("compose")
VIP = str(TABLE.vips[0])
CLIENT = "10.9.0.2"
SERVERS = list(TABLE.servers)
PATIENCE = 0.5
PROMISE = (TABLE.probing.interval + TABLE.probing.timeout) * TABLE.probing.fall / 1e9
"""Seconds in which the VC table promises that a lost server gets no new sessions."""

SLACK = 2.0
"""Seconds more, for a machine with other work."""


def ask(testbed: Project, path: str) -> str:
    return testbed.exec("client", "curl", "-sS", "-m", "20", f"http://{VIP}/{path}")


def show(testbed: Project, subject: str, node: str = "depot") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(testbed.exec(node, "atmdepot", "show", subject, "-o", "json"))
    return rows


def metrics(testbed: Project, node: str) -> dict[tuple[str, ...], float]:
    """Values of a node's metrics by name and label values, without network and node."""
    text = testbed.exec(node, "curl", "-sS", "http://127.0.0.1:9464/metrics")
    return {(sample.name, *(value for key, value in sorted(sample.labels.items()) if key not in ("network", "node"))):
            sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


@contextmanager
def sampling(testbed: Project) -> Iterator[list[tuple[float, str]]]:
    """Open consecutive sessions while the block runs; at its end, the list has the start and server of each."""
    samples: list[tuple[float, str]] = []
    client = subprocess.Popen(testbed.command("client", "/opt/atmdepot/bin/python", "-c", SAMPLER, VIP, str(PATIENCE)),
                              env=testbed.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with client:
        assert client.stdout is not None
        assert client.stdin is not None
        samples.append(tuple(json.loads(client.stdout.readline())))
        yield samples
        client.stdin.close()
        samples += [tuple(json.loads(line)) for line in client.stdout]
        assert client.wait(30) == 0


# ── as it is ──

def test_every_container_has_only_the_rights_that_it_needs(testbed: Project) -> None:
    containers = testbed.containers()
    assert len(containers) == 2 + len(SERVERS)
    for container in containers:
        host = container["HostConfig"]
        assert (host["Privileged"], host["CapAdd"]) == (False, ["NET_ADMIN"])
        assert [device["PathOnHost"] for device in host["Devices"]] == ["/dev/net/tun"]
        assert container["Config"]["Image"] == "atmdepot-testbed"


def test_every_node_becomes_healthy(testbed: Project) -> None:
    for service in ("client", "depot", *SERVERS):
        until(lambda service=service: testbed.health(service) == "healthy")


@pytest.mark.parametrize("name", SIZES)
def test_pages_come_with_every_octet(testbed: Project, name: str) -> None:
    done = subprocess.run(testbed.command("client", "curl", "-sS", "-m", "60", f"http://{VIP}/{name}"),
                          env=testbed.environment, capture_output=True, check=True)
    assert done.stdout == page(name)


def test_every_server_gets_its_share(testbed: Project) -> None:
    rounds = 6
    urls = [f"http://{VIP}/server"] * rounds * len(SERVERS)
    told = testbed.exec("client", "curl", "-sS", "-m", "20", "-H", "Connection: close", *urls)
    assert Counter(told.split()) == dict.fromkeys(SERVERS, rounds)


def test_the_servers_log_the_clients_own_address(testbed: Project) -> None:
    ask(testbed, "server?who")
    lines = [line for line in testbed("logs", "--no-color", *SERVERS).splitlines() if "server?who" in line]
    assert len(lines) == 1
    assert "10.9.0.2 10.80.0.1 \"GET /server?who HTTP/1.1\" 200" in lines[0]


def test_show_works_in_the_containers(testbed: Project) -> None:
    ask(testbed, "server")
    sessions = [row for row in show(testbed, "sessions") if row["client"].startswith("10.9.0.2:")]
    assert {row["service"] for row in sessions} == {f"{VIP}:80"}
    assert sorted(row["server"] for row in show(testbed, "servers")) == SERVERS
    assert {row["list"] for row in show(testbed, "servers")} == {"alive"}
    for node in SERVERS:
        [link] = show(testbed, "links", node)
        assert link["rx_cells"] > 0
        assert link["tx_cells"] > 0


def test_a_trace_can_be_read(testbed: Project) -> None:
    command = testbed.command("depot", "atmdepot", "trace", "-i", "depot", "--duration", "30s", "-c", "10", "-l",
                              "tcp", "port", "80", "and", "host", CLIENT)
    with subprocess.Popen(command, env=testbed.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as trace:
        assert trace.stderr is not None
        assert any("listening on depot" in line for line in trace.stderr)
        ask(testbed, "1KB")
        told, _ = trace.communicate(timeout=60)
    assert trace.returncode == 0
    lines = told.splitlines()
    assert len(lines) == 10
    assert all(re.search(rf" [123]/\d+ +AAL5 .* CRC good: IPv4 .*{CLIENT}:", line) for line in lines)
    assert "GET /1KB" in told


def test_every_node_has_metrics_and_is_ready(testbed: Project) -> None:
    for node in ("depot", *SERVERS):
        assert testbed.exec(node, "curl", "-sS", "http://127.0.0.1:9464/healthz") == "alive\n"
        assert testbed.exec(node, "curl", "-sS", "http://127.0.0.1:9464/readyz") == "ready\n"
        found = metrics(testbed, node)
        ours = {name for name, *_ in found if name.startswith("atmdepot_")}
        assert ours <= full_names()
        assert found["atmdepot_ready",] == 1
    before = metrics(testbed, "depot")
    time.sleep(0.3)  # a page of metrics is good for a quarter of a second
    for _ in SERVERS:
        ask(testbed, "server")
    time.sleep(0.3)
    after = metrics(testbed, "depot")
    for server in SERVERS:
        key = "atmdepot_server_sessions_opened_total", server
        assert after[key] - before[key] == 1
        assert after["atmdepot_server_alive", server] == 1


def test_prometheus_reaches_every_node_by_its_name(testbed: Project) -> None:
    for node in ("depot", *SERVERS):
        assert testbed.exec("client", "curl", "-sS", f"http://{node}:9464/healthz") == "alive\n"


# ── hurt ──

def test_a_killed_edge_node_loses_no_new_sessions_after_detection(testbed: Project) -> None:
    with sampling(testbed) as samples:
        killed = time.monotonic()
        testbed("kill", "web2")
        until(lambda: _list_of(testbed, "web2") == "dead")
        time.sleep(max(2, killed + PROMISE + SLACK + 2 - time.monotonic()))  # so that some begin after the promise
        until(lambda: metrics(testbed, "depot")["atmdepot_server_alive", "web2"] == 0)
    lost = [began - killed for began, server in samples if not server]
    served = {server for began, server in samples if began > killed + PROMISE + SLACK}
    print(f"edge node killed: {len(lost)} of {len(samples)} sessions lost, "  # noqa: T201 - a figure for the log
          f"the last began {max(lost, default=0):.2f} s after")
    assert max(lost, default=0) < PROMISE + SLACK
    assert served == {"web1", "web3"}
    # Started again, it comes back by itself.
    with sampling(testbed) as samples:
        started = time.monotonic()
        testbed("start", "web2")
        until(lambda: _list_of(testbed, "web2") == "alive")
        back = time.monotonic() - started
        until(lambda: testbed.health("web2") == "healthy")
        time.sleep(1)
    print(f"edge node started: alive after {back:.2f} s")  # noqa: T201
    assert "web2" in {server for _, server in samples}
    assert {server for _, server in samples[-6:]} == set(SERVERS)


def _list_of(testbed: Project, server: str) -> str:
    return str(next(row["list"] for row in show(testbed, "servers") if row["server"] == server))


def test_the_next_requests_work_after_a_restart_of_the_depot(testbed: Project) -> None:
    with sampling(testbed) as samples:
        began = time.monotonic()
        testbed("restart", "-t", "5", "depot")
        restarted = time.monotonic()
        until(lambda: testbed.health("depot") == "healthy", 60)
        time.sleep(1)
    lost = [at - began for at, server in samples if not server]
    print(f"depot restarted in {restarted - began:.2f} s: {len(lost)} of {len(samples)} sessions lost, "  # noqa: T201
          f"the last began {max(lost, default=0):.2f} s after the command")
    assert {server for _, server in samples[-6:]} == set(SERVERS)
    assert max(lost) < restarted - began + PROMISE + SLACK
    testbed.exec("client", "atmdepot", "ready", "compose", "--timeout", "10")


def test_a_server_that_dies_makes_its_edge_node_unhealthy_and_says_why(testbed: Project) -> None:
    testbed.exec("web3", "sh", "-c", "kill $(cat /run/atmdepot/compose/web3/nginx.pid)")
    until(lambda: _list_of(testbed, "web3") == "dead")
    until(lambda: testbed.health("web3") == "unhealthy", 60)
    [why] = [row["why"] for row in show(testbed, "servers") if row["server"] == "web3"]
    assert why.startswith("server process down")
    told = testbed.exec("web3", "curl", "-sS", "http://127.0.0.1:9464/readyz")
    assert told == "the server refuses connections\n"
    assert testbed.health("depot") == "healthy"
    testbed("restart", "-t", "5", "web3")
    until(lambda: _list_of(testbed, "web3") == "alive")


# ── and gone ──

def test_compose_down_leaves_no_containers_networks_or_volumes(testbed: Project, docker: Machine) -> None:
    """The last of this module: it takes the testbed down."""
    assert testbed.networks() != []
    testbed.down()
    assert (testbed.containers(), testbed.networks()) == ([], [])
    volumes = docker.docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={testbed.name}")
    assert volumes.stdout == ""
