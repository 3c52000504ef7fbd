"""The testbed with a switch in a container: pages from all servers over it, loopbacks, a restart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import load
from tests.testbed.conftest import until

if TYPE_CHECKING:
    from tests.testbed.compose import Project
    from tests.testbed.conftest import Projects

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TABLE = load("compose-switch")
VIP = str(TABLE.vips[0])


@pytest.fixture(scope="module")
def switched(projects: Projects) -> Project:
    project = projects("testbed/compose-switch.yaml", "switch")
    project("build", "depot")
    project.up()
    project.exec("client", "atmdepot", "ready", "compose-switch", "--timeout", "60")
    return project


def server_of_a_page(project: Project, *, check: bool = True) -> str:
    return project.exec("client", "curl", "-sS", "-m", "5", f"http://{VIP}/server", check=check).strip()


def test_pages_of_all_servers_come_over_the_switch(switched: Project) -> None:
    assert {server_of_a_page(switched) for _ in range(2 * len(TABLE.servers))} == set(TABLE.servers)
    rows = json.loads(switched.exec("sw1", "atmdepot", "show", "vcs", "-o", "json"))
    assert len(rows) == 2 * len(TABLE.vps)
    assert all(row["rx_cells"] and row["tx_cells"] for row in rows)


def test_a_loopback_returns_from_each_node_of_the_route(switched: Project) -> None:
    told = switched.exec("depot", "atmdepot", "oam", "trace", next(iter(TABLE.vps)))
    assert "sw1" in told
    assert next(iter(TABLE.vps)) in told


def test_a_switch_that_was_restarted_switches_again(switched: Project) -> None:
    switched("restart", "sw1")
    until(lambda: server_of_a_page(switched, check=False) in TABLE.servers)
