"""Depot and servers on different machines: compose projects on two Docker networks with a router between."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import load
from tests.testbed.conftest import until

if TYPE_CHECKING:
    from tests.testbed.conftest import Projects

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TABLE = load("two-hosts")
VIP = str(TABLE.vips[0])


def test_a_depot_and_servers_on_two_networks(projects: Projects) -> None:
    router = projects("testbed/two-hosts/router.yaml", "router")
    router("build")
    router("up", "-d")
    edges = projects("testbed/two-hosts/edges.yaml", "edges")
    depot = projects("testbed/two-hosts/depot.yaml", "depot")
    edges("up", "-d")
    depot("up", "-d")
    depot.exec("client", "atmdepot", "ready", "two-hosts", "--timeout", "60")
    for project, service in ((edges, "web1"), (edges, "web2"), (depot, "depot"), (depot, "client")):
        until(lambda project=project, service=service: project.health(service) == "healthy")
    told = depot.exec("client", "curl", "-sS", "-m", "20", "-H", "Connection: close", *[f"http://{VIP}/server"] * 6)
    assert Counter(told.split()) == {"web1": 3, "web2": 3}
    # The servers' network is another: what comes from the depot has crossed the router.
    route = edges.exec("web1", "ip", "route", "get", TABLE.links["to-web1"].ends["depot"].host)
    assert "via 172.30.62.2" in route
    # The machine of the servers is gone: the depot says so; and it is back.
    edges("kill")
    until(lambda: "link or edge node down" in depot.exec("depot", "atmdepot", "show", "servers"))
    assert "no server is alive" in depot.exec("depot", "curl", "-sS", "http://127.0.0.1:9464/readyz")
    edges("up", "-d")
    depot.exec("client", "atmdepot", "ready", "two-hosts", "--timeout", "60")
    for project in (edges, depot, router):
        project.down()
        assert (project.containers(), project.networks()) == ([], [])
