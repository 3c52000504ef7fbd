"""Being one node in a container: the addresses of the lab's plan on an interface that is there already."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from pyroute2 import IPRoute

from atmdepot.cli import cli
from atmdepot.config.reading import load
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab.namespaces import in_network_namespace, new_network_namespace
from atmdepot.lab.plan import plan_of
from atmdepot.lab.wiring import wire_here
from tests.lab.labs import atmdepot, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VIP = "10.80.0.1"
_REACHABLE = 0x02
NETWORK = load("compose")
PLAN = plan_of(NETWORK)


class Container(NamedTuple):
    """Descriptors of a container's network namespace, and of the one at the far end of its wire."""

    near: int
    far: int


@pytest.fixture
def container() -> Iterator[Container]:
    """A network namespace as Docker makes it: eth0 with an address of Docker's and a default route."""
    fd, other = new_network_namespace(), new_network_namespace()
    with in_network_namespace(fd), IPRoute() as ip:
        ip.link("add", ifname="eth0", kind="veth", peer={"ifname": "far", "net_ns_fd": other})
        index = ip.link_lookup(ifname="eth0")[0]
        ip.addr("add", index=index, address="172.18.0.5", prefixlen=16)
        ip.link("set", index=index, state="up")
        ip.route("add", dst="default", gateway="172.18.0.1")
    yield Container(fd, other)
    os.close(fd)
    os.close(other)


def told(fd: int, *words: str) -> list[dict[str, Any]]:
    with in_network_namespace(fd):
        return json.loads(subprocess.run(["ip", "-j", *words], capture_output=True, check=True).stdout)  # type: ignore[no-any-return]


def addresses(fd: int) -> set[tuple[str, str]]:
    [eth0] = [link for link in told(fd, "addr") if link["ifname"] == "eth0"]
    return {(a["local"], a.get("address", str(a["prefixlen"]))) for a in eth0["addr_info"] if a["family"] == "inet"}


@pytest.mark.namespaces
@pytest.mark.parametrize(("node", "expected"), [
    ("depot", {("10.9.0.1", "24"), ("10.53.1.1", "10.53.1.2"), ("10.53.2.1", "10.53.2.2"), ("10.53.3.1", "10.53.3.2")}),
    ("web2", {("10.53.2.2", "10.53.2.1")}), ("client", {("10.9.0.2", "24")}),
])
def test_a_node_gets_the_addresses_of_the_plan(container: Container, node: str, expected: set[tuple[str, str]]) -> None:
    for _ in range(2):  # a container that is started again may have them already
        with in_network_namespace(container.near):
            wire_here(PLAN, node, [VIP])
        assert addresses(container.near) == {("172.18.0.5", "16")} | expected


@pytest.mark.namespaces
def test_a_clients_way_to_the_vip_leads_to_the_depot(container: Container) -> None:
    with in_network_namespace(container.near):
        wire_here(PLAN, "client", [VIP])
    [route] = told(container.near, "route", "get", VIP)
    assert (route["gateway"], route["prefsrc"]) == ("10.9.0.1", "10.9.0.2")
    [default] = told(container.near, "route", "show", "default")
    assert default["gateway"] == "172.18.0.1"


@pytest.mark.namespaces
def test_a_depot_without_its_daemon_sends_no_redirect(container: Container) -> None:
    with in_network_namespace(container.near):
        wire_here(PLAN, "depot", [VIP])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            assert probe.connect_ex((VIP, 80)) == errno.EINVAL  # what a blackhole says to the host's own programs
        # The daemon's own route comes first, and takes nothing with it when it goes.
        with IPRoute() as ip:
            eth0 = ip.link_lookup(ifname="eth0")[0]
            ip.route("replace", dst=f"{VIP}/32", oif=eth0)
            [route] = told(container.near, "route", "get", VIP)
            assert route["dev"] == "eth0"
            ip.route("del", dst=f"{VIP}/32", oif=eth0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            assert probe.connect_ex((VIP, 80)) == errno.EINVAL


@pytest.mark.namespaces
def test_neighbours_that_knew_another_hardware_address_learn_the_new_one(container: Container) -> None:
    """As when a container was started again: its interface is a new one."""
    with in_network_namespace(container.far), IPRoute() as ip:
        far = ip.link_lookup(ifname="far")[0]
        ip.addr("add", index=far, address="10.53.2.1", prefixlen=24)
        ip.link("set", index=far, state="up")
        ip.neigh("add", dst="10.53.2.2", lladdr="02:00:00:00:00:01", ifindex=far, state=_REACHABLE)
    with in_network_namespace(container.near):
        wire_here(PLAN, "web2", [VIP])
    [eth0] = [link for link in told(container.near, "link") if link["ifname"] == "eth0"]
    until(lambda: [n["lladdr"] for n in told(container.far, "neigh") if n["dst"] == "10.53.2.2"] == [eth0["address"]])


@pytest.mark.namespaces
def test_a_second_container_of_a_node_is_refused(container: Container) -> None:
    """As `docker compose up --scale web2=2` makes it."""
    with in_network_namespace(container.far), IPRoute() as ip:
        far = ip.link_lookup(ifname="far")[0]
        ip.addr("add", index=far, address="10.53.2.2", prefixlen=32)
        ip.link("set", index=far, state="up")
    with in_network_namespace(container.near), pytest.raises(
            AtmdepotError, match=r"another machine on this network \(.*\) has 10.53.2.2, the address of web2"):
        wire_here(PLAN, "web2", [VIP])
    assert addresses(container.near) == {("172.18.0.5", "16")}


@pytest.mark.namespaces
def test_a_machine_without_a_default_route_is_refused() -> None:
    fd = new_network_namespace()
    with in_network_namespace(fd), pytest.raises(EnvironmentLacks, match="this machine has no default route"):
        wire_here(PLAN, "web1", [VIP])
    os.close(fd)


@pytest.mark.namespaces
def test_without_the_right_to_set_addresses_it_says_so(container: Container, tmp_path: Path) -> None:
    with in_network_namespace(container.near):
        done = subprocess.run(
            ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-P", "-m", "atmdepot",
             "container", "compose", "--node", "web1", "--wire"], capture_output=True, text=True, check=False,
            env={"PATH": "/usr/bin:/bin:/usr/sbin", "ATMDEPOT_RUN_DIR": str(tmp_path)})
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("atmdepot: the addresses of web1 cannot be set: ")
    assert "--cap-add NET_ADMIN" in done.stderr


def test_a_node_that_the_table_does_not_have(tmp_path: Path) -> None:
    done = atmdepot("container", "compose", "--node", "web9", env={"ATMDEPOT_RUN_DIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (
        1, "atmdepot: compose: \"web9\" is no node to be: there are client, depot, web1, web2, web3\n")


def test_the_daemon_logs_as_the_container_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setenv("ATMDEPOT_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(os, "execv", lambda _, words: ran.append(words))
    words = ["container", "compose", "--node", "depot"]
    for options in (["--log-format", "json", "--log-level", "warning"], []):
        cli.main([*options, *words], standalone_mode=False)
    told = [one[one.index("atmdepot") + 1:one.index("depot")] for one in ran]
    assert told == [["--log-level", "warning", "--log-format", "json"], ["--log-level", "info", "--log-format", "text"]]


@pytest.mark.namespaces
def test_a_client_that_gets_no_page_ends_and_leaves_no_mark(container: Container, tmp_path: Path) -> None:
    (tmp_path / "compose").mkdir()
    (tmp_path / "compose" / "client.ready").touch()
    with in_network_namespace(container.near):
        done = atmdepot("container", "compose", "--node", "client", "--timeout", "0.1",
                        env={"ATMDEPOT_RUN_DIR": str(tmp_path)})
    assert done.returncode == 4
    assert not (tmp_path / "compose" / "client.ready").exists()
    for words in (["show", "servers"], ["lab", "status"]):
        told = atmdepot(*words, env={"ATMDEPOT_RUN_DIR": str(tmp_path)}).stderr
        assert "`docker compose exec depot atmdepot show servers`" in told
