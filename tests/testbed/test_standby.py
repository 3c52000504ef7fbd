"""The testbed with several depots in containers: an active one is killed and stopped, and downloads go on."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import load
from atmdepot.lab.pages import SIZES
from tests.testbed import image
from tests.testbed.conftest import until

if TYPE_CHECKING:
    from tests.testbed.compose import Project
    from tests.testbed.conftest import Projects
    from tests.testbed.machine import Machine

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TABLE = load("compose-standby")
VIP = str(TABLE.vips[0])
[GATEWAY] = [str(address.host) for address in TABLE.sets["main"].gateway]
TWELVE = """
for one in 1 2 3 4 5 6 7 8 9 10 11 12; do
    curl -sS -m 120 --limit-rate 400k -o /dev/null -w "%{http_code} %{size_download}\\n" "$1" &
done
wait
"""
"""Downloads of half a minute, all at once."""
DOWNLOAD = ["curl", "-sS", "-m", "60", "--limit-rate", "1M", "-o", "/dev/null", "-w", "%{http_code} %{size_download}",
            f"http://{VIP}/10MB"]


@pytest.fixture(scope="module")
def base(docker: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The base of an image with keepalived."""
    if docker.is_ours:
        image.make_base(docker, tmp_path_factory.mktemp("base"), image.KEEPALIVED_BASE)
    return image.KEEPALIVED_BASE


@pytest.fixture(scope="module")
def standby(projects: Projects, base: str) -> Project:
    return up(projects("testbed/compose-standby.yaml", "standby", base=base), "depot1", "compose-standby")


def up(project: Project, service: str, table: str) -> Project:
    project("build", service)
    project.up()
    project.exec("client", "atmdepot", "ready", table, "--timeout", "60")
    return project


def role(project: Project, depot: str) -> str:
    told = project.exec(depot, "atmdepot", "show", "depots", "-o", "json", check=False)
    return str(json.loads(told)[0]["role"]) if told else "not running"


def has_gateway(project: Project, depot: str) -> bool:
    return f" {GATEWAY}/" in project.exec(depot, "ip", "-o", "address")


def carries_a_download(project: Project, depot: str) -> bool:
    rows = json.loads(project.exec(depot, "atmdepot", "show", "sessions", "-o", "json"))
    return any(row["server_state"] == "ESTABLISHED" and row["packets_in"] + row["packets_out"] > 100 for row in rows)


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_download_goes_on_when_the_active_depot_ends(standby: Project, way: str) -> None:
    until(lambda: sorted(role(standby, depot) for depot in TABLE.depots) == ["active", "standby"])
    [active] = [depot for depot in TABLE.depots if role(standby, depot) == "active"]
    [other] = [depot for depot in TABLE.depots if depot != active]
    assert has_gateway(standby, active)
    assert not has_gateway(standby, other)
    with subprocess.Popen(standby.command("client", *DOWNLOAD), env=standby.environment, stdout=subprocess.PIPE,
                          text=True) as download:
        until(lambda: carries_a_download(standby, active))
        standby(way, active)
        assert download.communicate(timeout=90)[0] == f"200 {SIZES['10MB']}"
    assert role(standby, other) == "active"
    assert has_gateway(standby, other)
    standby("start", active)
    until(lambda: role(standby, active) == "standby")
    assert not has_gateway(standby, active), "it came back and does not take over"


def test_connections_shared_by_two_sets_survive_the_loss_of_a_host(projects: Projects, base: str) -> None:
    project = up(projects("testbed/compose-sets.yaml", "sets", base=base), "host1-a", "compose-sets")
    try:
        until(lambda: [role(project, depot) for depot in ("host1-a", "host2-b")] == ["active", "active"], 120)
        with subprocess.Popen(project.command("client", "sh", "-c", TWELVE, "sh", f"http://{VIP}/10MB"),
                              env=project.environment, stdout=subprocess.PIPE, text=True) as downloads:
            for depot in ("host1-a", "host2-b"):
                until(lambda depot=depot: carries_a_download(project, depot))  # type: ignore[misc]
            project("kill", "host1-a", "host1-b")
            told, _ = downloads.communicate(timeout=150)
        assert told.splitlines() == [f"200 {SIZES['10MB']}"] * 12
        assert [role(project, depot) for depot in ("host2-a", "host2-b")] == ["active", "active"]
    finally:
        project.down()
