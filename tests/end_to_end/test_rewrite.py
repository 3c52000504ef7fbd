"""Servers with rewritten headers in labs of the kernel's own: pages, ways back, restarts, bulk, and nft's octets."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from atmdepot.lab.sniff import sniffing
from tests.end_to_end.sites import CLIENT, CLIENT6, KEEP_ALIVE, VIP, VIP6, Site, changed, end, site, until
from tests.ip_packets import SYN, checksum, ping, tcp, udp

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.namespaces

SERVER = "10.70.0.11"
SEND = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
    for octets in map(bytes.fromhex, sys.argv[1:]):
        raw.sendto(octets, (socket.inet_ntoa(octets[16:20]), 0))
"""
DNAT = """
table ip nat {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        ip daddr 10.80.0.1 meta l4proto { tcp, udp } dnat to 10.70.0.11:8080
        ip daddr 10.80.0.1 dnat to 10.70.0.11
    }
}
"""


def test_pages_come_from_servers_across_a_router_with_both_sources(needs: Callable[[str], None]) -> None:
    needs("curl")
    with site("rewrite") as it:
        for vip in (VIP, VIP6):
            got = [it.fetch(vip, name) for name in ("10KB", "10KB", "10KB", "10MB", "10MB", "10MB")]
            assert {one.server for one in got} == {"web1", "web2", "web3"}
            assert all(one.octets == page("10KB" if len(one.octets) < 10**5 else "10MB") for one in got)
        assert it.drops() == {}
        if it.lab.web_server == "nginx":
            for server, seen in (("web1", {CLIENT, CLIENT6}), ("web3", {"10.71.0.1", "fd00:71::1"})):
                log = (it.lab.directory / server / "access.log").read_text()
                assert {line.split()[0] for line in log.splitlines()} == seen
        told = it.atmdepot("trace", "--level", "session", "--duration", "1s")  # it begins with the known sessions
        assert (told.returncode, "cannot be" in told.stderr) == (0, False)
        # What is no answer of a service goes on as it is.
        it.run("web1", "ping", "-c", "1", CLIENT)
        assert it.counters()["rewrite", "passed-on"] >= 1


@pytest.mark.slow
def test_way_back_that_leads_elsewhere_is_told_and_mended(needs: Callable[[str], None]) -> None:
    needs("curl")
    with site("rewrite", watched=True) as it:
        it.run("servers.router", "ip", "route", "add", "blackhole", f"{VIP}/32")
        until(lambda: "route back" in {row["server"]: row["why"] for row in it.rows("servers")}["web1"])
        assert {row["server"]: row["list"] for row in it.rows("servers")} == {
            "web1": "dead", "web2": "dead", "web3": "alive"}
        assert it.fetch(VIP, "1KB").server == "web3"
        it.run("servers.router", "ip", "route", "del", "blackhole", f"{VIP}/32")
        until(lambda: all(row["list"] == "alive" for row in it.rows("servers")))


@pytest.mark.slow
def test_session_outlives_a_killed_depot_and_its_host_is_left_clean(needs: Callable[[str], None]) -> None:
    needs("curl")
    changes = [('servers = ["web1", "web2", "web3"]', 'servers = ["web1", "web2"]')]
    with changed("rewrite", "adopt", changes) as table, site(table) as it:
        with it.helper("client", "-c", KEEP_ALIVE, VIP, VIP6) as program:
            it.lab.kill("depot")
            assert "10.70.0.11" in it.run("depot", "ip", "rule").stdout
            again = it.start("depot")
            # The depot knows the sessions again when the servers speak: nginx closes idle ones late, so a client asks.
            assert program.stdin is not None
            assert {it.fetch(VIP, "1KB").server for _ in range(2)} == {"web1", "web2"}
        end(again, signal.SIGTERM)
        assert "10.70.0.11" not in it.run("depot", "ip", "rule").stdout
        assert it.run("depot", "ip", "route", "show", "table", "5200", check=False).stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_bulk_crosses_in_both_directions(needs: Callable[[str], None], vip: str) -> None:
    needs("iperf3")
    changes = [("ports = [80]", "ports = [80, 5201]"), ("listen_port = 8080\n", ""), ("round-robin", "source-hash")]
    with changed("rewrite", "bulk", changes) as table, site(table, web=False) as it:
        for server in it.servers:
            it.run(server, "iperf3", "-s", "-D")
        for reverse in ((), ("-R",)):
            told = it.run("client", "iperf3", "-c", vip, "-t", "2", "-J", *reverse)
            assert json.loads(told.stdout)["end"]["sum_received"]["bits_per_second"] > 1e8


def arrived(it: Site, packets: list[bytes], has_passed: Callable[[], bool]) -> list[bytes]:
    """Send packets as the client; return those that come to web1, as if no host had routed them."""
    with sniffing(it.lab, "web1") as seen:
        it.python("client", SEND, *(packet.hex() for packet in packets))
        until(has_passed)
        it.run("client", "ping", "-c", "3", "-i", "0.2", SERVER)  # behind them, past the depot
    return [unrouted(one.octets) for one in seen.packets
            if one.direction == "in" and one.octets[12:16] == packets[0][12:16] and b"mark" in one.octets]


def unrouted(packet: bytes) -> bytes:
    """An IPv4 packet with a TTL of 64, and the identification 0, which a raw socket replaces."""
    head = packet[:4] + b"\0\0" + packet[6:8] + b"\x40" + packet[9:10] + b"\0\0" + packet[12:20]
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + packet[20:]


@pytest.mark.slow
def test_octets_are_those_of_nft(needs: Callable[[str], None]) -> None:
    """The kernel's own rewriting, in the depot's place, makes the same packets."""
    needs("nft")
    changes = [("listen_port = 8080\n", ""), ('servers = ["web1", "web2", "web3"]', 'servers = ["web1"]'),
               ("ports = [80]", 'ports = [80]\nprotocols = ["tcp", "udp"]'),
               ('"fd00:70::11"]', '"fd00:70::11"]\nlisten_port = 8080')]
    packets = [tcp(CLIENT, 4100, VIP, 80, SYN, seq=9, data=b"mark 1"), udp(CLIENT, 4101, VIP, 80, b"mark 2, odd size"),
               udp(CLIENT, 4102, VIP, 80, b"mark 33"), ping(CLIENT, VIP, b"mark 4"),
               tcp(CLIENT, 4103, VIP, 80, SYN, seq=2**32 - 1, data=b"mark" + bytes(range(251)))]
    with changed("rewrite", "octets", changes) as table, site(table) as it:
        ours = arrived(it, packets, lambda: it.counters()["rewrite", "tx-packets"] >= len(packets))
        assert len(ours) == len(packets)
        it.lab.kill("depot")
        for rule in ("5200", "5201", "5201"):
            it.run("depot", "ip", "rule", "del", "priority", rule, check=False)
        it.run("depot", "nft", DNAT)
        theirs = arrived(it, packets, lambda: True)
    assert sorted(theirs) == sorted(ours)


