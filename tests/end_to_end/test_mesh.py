"""Circuits in namespaces, edge node to edge node and depot to many, with ping, iperf3 and multicast sockets."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.circuits import MESH
from tests.end_to_end.sites import VIP, Site, end, rows_of, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.namespaces

SERVER = """
import subprocess, sys
server = subprocess.Popen(["iperf3", "-s", "-1", "--forceflush", "-B", sys.argv[1]], stdout=subprocess.PIPE, text=True)
while "listening" not in server.stdout.readline():
    pass
print("READY", flush=True)
server.communicate()
"""
MEMBER = """
import socket, struct, sys
group, family = sys.argv[1], socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
member = socket.socket(family, socket.SOCK_DGRAM)
member.bind((group, 5000))
octets, interface = socket.inet_pton(family, group), socket.if_nametoindex("atm0")
if family == socket.AF_INET6:
    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, octets + struct.pack("@I", interface))
else:
    member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, octets + bytes(4) + struct.pack("@i", interface))
print("READY", flush=True)
for _ in range(int(sys.argv[2])):
    print(member.recv(2000).decode(), flush=True)
"""
SENDER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
sender = socket.socket(family, socket.SOCK_DGRAM)
for number in range(int(sys.argv[2])):
    sender.sendto(b"item %d" % number, (sys.argv[1], 5000))
"""


@pytest.fixture(scope="module")
def meshed(needs: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for program in ("curl", "ping", "iperf3"):
        needs(program)
    table: Path = tmp_path_factory.mktemp("tables") / "circuits.toml"
    table.write_text(MESH)
    with site(table) as made:
        yield made


@pytest.fixture(scope="module")
def switched(needs: Callable[[str], None]) -> Iterator[Site]:
    for program in ("curl", "ping"):
        needs(program)
    with site("mesh") as made:
        yield made


def pings(made: Site, node: str, address: str, *options: str) -> bool:
    done = made.run(node, "ping", "-c", "3", "-i", "0.05", "-W", "5", *options, address, check=False)
    return " 0% packet loss" in done.stdout


@pytest.mark.parametrize(("node", "address"), [
    ("web1", "10.81.2.1"), ("web2", "10.81.1.1"), ("web1", "fd00:81:2::1"), ("lan3", "10.81.1.1"),
    ("depot", "10.82.2.1"), ("web2", "10.82.0.1")])
def test_ping_goes_from_end_to_end(meshed: Site, node: str, address: str) -> None:
    before = meshed.drops()
    assert pings(meshed, node, address)
    assert pings(meshed, node, address, "-s", "1300", "-M", "do")
    assert meshed.drops() == before


def test_the_mtu_of_a_circuit_is_told_to_the_sender(meshed: Site) -> None:
    told = meshed.run("web1", "ping", "-c", "1", "-W", "5", "-s", "3000", "-M", "do", "10.81.2.1", check=False).stdout
    assert "mtu = 1500" in told
    pings(meshed, "web1", "10.81.2.1", "-s", "3000")  # its first answer is too big, too
    assert pings(meshed, "web1", "10.81.2.1", "-s", "3000")


def test_iperf3_runs_over_the_vp_between_edge_nodes_while_pages_come_by_the_depot(meshed: Site) -> None:
    before = meshed.vcs("web1")
    with meshed.helper("web2", "-c", SERVER, "10.81.2.1"):
        got = json.loads(meshed.run("web1", "iperf3", "-c", "10.81.2.1", "-t", "1", "-J").stdout)
        meshed.fetch(VIP, "10KB")
    octets = got["end"]["sum_received"]["bytes"]
    after = meshed.vcs("web1")
    assert octets > 1_000_000
    assert (after["7/32"]["tx_cells"] - before["7/32"]["tx_cells"]) * 48 > octets
    assert after["7/32"]["carries"] == "vps.web1-web2"
    assert not [drop for drop in meshed.drops() if drop[1] != "packets" and drop[1] != "tun"]


def stream_to_members(made: Site, group: str) -> None:
    """Five datagrams from the depot to a group, whose members are at web1 and web2."""
    words = "-c", MEMBER, group, "5"
    with made.helper("web1", *words) as one, made.helper("web2", *words) as other:
        made.python("depot", SENDER, group, "5")
        for member in (one, other):
            assert member.communicate(timeout=60)[0].splitlines() == [f"item {number}" for number in range(5)]
    assert made.vcs("depot")["9/100"]["carries"] == "vcs.news"


@pytest.mark.parametrize("group", ["239.80.0.7", "ff15::80:7"])
def test_a_group_gets_the_root_s_stream_at_every_leaf(meshed: Site, group: str) -> None:
    stream_to_members(meshed, group)


def test_a_switch_leads_edge_nodes_to_each_other_and_copies_a_group_s_cells(switched: Site) -> None:
    assert pings(switched, "web1", "10.81.2.1")
    assert pings(switched, "web2", "fd00:81:1::1")
    before = switched.vcs("depot")["9/100"]["tx_cells"]
    stream_to_members(switched, "239.80.0.7")
    assert switched.vcs("depot")["9/100"]["tx_cells"] == before + 5, "the depot sends each cell once"
    assert {switched.fetch(VIP, "server").server for _ in range(2)} == {"web1", "web2"}


def test_routes_to_networks_are_watched_and_go_with_the_device(meshed: Site) -> None:
    def route() -> str:
        return meshed.run("web1", "ip", "route", "show", "10.81.2.0/24").stdout

    assert "dev atm0" in route()
    meshed.run("web1", "ip", "route", "del", "10.81.2.0/24")
    until(route)
    assert meshed.count("restored", "web1") >= 1
    assert meshed.run("lan3", "ip", "rule").stdout.count("5300") == 0, "no service is behind it, so no VIP either"


def test_edge_nodes_and_shows_go_on_without_the_depot(meshed: Site) -> None:
    shown = rows_of(meshed.atmdepot("show", "vcs", "--node", "lan3", "-o", "json").stdout)
    assert [(row["vc"], row["carries"]) for row in shown] == [("8/32", "vps.web1-lan3")]
    os.kill(meshed.pid("depot"), signal.SIGKILL)
    assert pings(meshed, "web1", "10.81.2.1")
    depot = meshed.start("depot")
    try:
        assert pings(meshed, "depot", "10.82.2.1")
    finally:
        end(depot, signal.SIGTERM)
