"""The testbed with two depots in containers: the active one is killed and stopped, and a download goes on."""

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
    from pathlib import Path

    from tests.testbed.compose import Project
    from tests.testbed.conftest import Projects
    from tests.testbed.machine import Machine

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TABLE = load("compose-standby")
VIP = str(TABLE.vips[0])
[GATEWAY] = [str(address.host) for address in TABLE.sets["main"].gateway]
DOWNLOAD = ["curl", "-sS", "-m", "60", "--limit-rate", "1M", "-o", "/dev/null", "-w", "%{http_code} %{size_download}",
            f"http://{VIP}/10MB"]


@pytest.fixture(scope="module")
def standby(docker: Machine, clone: Path, projects: Projects, tmp_path_factory: pytest.TempPathFactory) -> Project:
    del clone  # the project's files are there
    if docker.is_ours:
        image.make_base(docker, tmp_path_factory.mktemp("base"), image.KEEPALIVED_BASE)
    project = projects("testbed/compose-standby.yaml", "standby", base=image.KEEPALIVED_BASE)
    project("build", "depot1")
    project.up()
    project.exec("client", "atmdepot", "ready", "compose-standby", "--timeout", "60")
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
