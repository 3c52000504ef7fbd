"""Profile `gns3`: a cell in each datagram between the depot and a program on the host, by a published port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import load
from atmdepot.lab.pages import page
from tests.testbed.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.testbed.compose import Project
    from tests.testbed.conftest import Projects
    from tests.testbed.machine import Machine

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TABLE = load("compose-gns3")
VIP = str(TABLE.vips[0])
PORT = TABLE.links["r2-link"].ends["depot"].port


@pytest.fixture(scope="module")
def gns3(projects: Projects) -> Iterator[Project]:
    """The profile, up and ready, in the project of the default profile: the networks are the project's, used or not."""
    project = projects("testbed/compose.yaml", "default", "gns3")
    project("build", "gns3-depot")
    project.up("gns3-client")
    project.exec("gns3-client", "atmdepot", "ready", "compose-gns3", "--timeout", "60")
    yield project
    # Whichever module comes first: the default profile's tests look at all containers of their project.
    project("rm", "--stop", "--force", "gns3-client", "gns3-depot", "gns3-r1")


@pytest.fixture
def router(docker: Machine, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Edge node with a web server on the containers' host, in place of a router in GNS3.

    Its UDP socket is like that of Dynamips' `nio create_udp r2 10004 127.0.0.1 10003`.
    """
    if not docker.is_ours:
        pytest.skip("this would set up addresses and routes on the machine itself")
    text = Path(__file__).parents[2].joinpath("vc_tables", "compose-gns3.toml").read_text()
    for old, new in (('kind = "external"', 'kind = "edge"'), ('depot = "0.0.0.0:10003"', 'depot = "127.0.0.1:10003"'),
                     ('r2 = "172.30.53.1:*"', 'r2 = "127.0.0.1:10004"')):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "router.toml").write_text(text.replace('name = "compose-gns3"', 'name = "router"'))
    environment = os.environ | {"ATMDEPOT_RUN_DIR": str(tmp_path)}
    command = [sys.executable, "-P", "-m", "atmdepot", "container", str(tmp_path / "router.toml"), "--node", "r2"]
    # In a process group of its own, with its web server.
    process = subprocess.Popen(docker.on_host(*command), env=environment, stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    with process:
        yield process
        os.killpg(process.pid, 15)


def test_a_page_crosses_to_a_program_on_the_host_and_back(gns3: Project, router: subprocess.Popen[str]) -> None:
    assert router.stdout is not None
    assert router.stdout.readline() == "READY\n"

    def served_by_the_host() -> bool:
        told = gns3.exec("gns3-client", "curl", "-sS", "-m", "2", f"http://{VIP}/server", check=False)
        return told.strip() == "r2"

    until(served_by_the_host, 60)
    for _ in range(2):
        done = subprocess.run(gns3.command("gns3-client", "curl", "-sS", "-m", "20", f"http://{VIP}/10KB"),
                              env=gns3.environment, capture_output=True, check=True)
        assert done.stdout == page("10KB")
    counters = gns3.exec("gns3-depot", "atmdepot", "show", "counters")
    assert "not-the-peer" not in counters


def test_the_host_receives_datagrams_of_a_single_cell(gns3: Project, docker: Machine) -> None:
    """A plain socket, connected to the published port, that speaks first: the depot's probes come to it."""
    program = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect(("127.0.0.1", {PORT}))
    s.settimeout(20)
    s.send(bytes(53))
    print(*(len(s.recv(70000)) for _ in range(4)))
"""
    told = subprocess.run(docker.on_host(sys.executable, "-c", program), capture_output=True, text=True, check=True,
                          timeout=60)
    assert told.stdout.split() == ["53"] * 4


def test_on_its_own_network_the_host_has_the_address_of_the_table(gns3: Project, docker: Machine) -> None:
    host = TABLE.links["r2-link"].ends["r2"].host
    assert socket.inet_aton(host)
    found = subprocess.run(docker.on_host("ip", "-o", "addr"), capture_output=True, text=True, check=True).stdout
    assert f" {host}/24 " in found
