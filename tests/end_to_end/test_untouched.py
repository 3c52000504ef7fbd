"""Packets leave one TUN device as they entered the other, octet for octet: both captured by the kernel, both ways."""

from __future__ import annotations

import contextlib
import ipaddress
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab.pages import page
from tests.end_to_end import capture
from tests.end_to_end.sites import HERE, VIP, VIP6, Site, changed, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.namespaces

WITH_UDP = [("ports = [80]", 'ports = [80]\nprotocols = ["tcp", "udp"]')]
VIPS = {ipaddress.ip_address(vip).packed for vip in (VIP, VIP6)}

SEND_UDP = """
import socket, sys
for vip in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in vip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        for size in (0, 1, 400, 1400, 5000):
            s.sendto(bytes(size), (vip, 80))
"""


class Captures:
    """The packets of every TUN device of a lab, taken down while `running`."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.incoming: dict[str, list[bytes]] = {}
        self.outgoing: dict[str, list[bytes]] = {}
        self._site = site
        self._directory = directory

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            running = {node: stack.enter_context(self._site.helper(
                node, str(HERE / "capture.py"), "atm0", str(self._directory / node)))
                for node in self._site.daemons}
            yield
            self._settle()
            for process in running.values():
                assert process.communicate(timeout=60)[0] == "0\n", "the capture has gaps"
        for node in running:
            incoming, outgoing = capture.read(self._directory / node)
            self.incoming[node] = [packet for packet in incoming if _is_services(packet)]
            self.outgoing[node] = [packet for packet in outgoing if _is_services(packet)]

    def _settle(self) -> None:
        """Wait until nothing is on its way between the nodes, or in the kernel's queues to them."""
        seen: list[object] = []

        def quiet() -> bool:
            seen.append([self._site.counters(node) for node in self._site.daemons])
            return len(seen) > 4 and all(one == seen[-1] for one in seen[-4:])

        until(quiet, pause=0.1)


def _is_services(packet: bytes) -> bool:
    """True for a packet to or from a VIP; the others are for groups, which go nowhere."""
    ends = (packet[12:16], packet[16:20]) if packet[0] >> 4 == 4 else (packet[8:24], packet[24:40])
    return bool(VIPS.intersection(ends))


@pytest.fixture
def direct(needs: Callable[[str], None]) -> Iterator[Site]:
    """The lab of `direct`, whose service takes UDP too."""
    needs("curl")
    with changed("direct", "direct-udp", WITH_UDP) as table, site(table) as made:
        yield made


def test_not_one_octet_of_any_packet_changes(direct: Site, needs: Callable[[str], None], tmp_path: Path) -> None:
    needs("ping")
    before = direct.drops()
    captures = Captures(direct, tmp_path)
    with captures.running():
        for vip in (VIP, VIP6):
            for name in ("100B", "10KB", "10KB", "10MB", *(["10MB"] if vip == VIP else [])):
                assert direct.fetch(vip, name).octets == page(name)
            assert direct.fetch(vip, "1KB", "--interface", "depot").octets == page("1KB")
            for size in ("0", "56"):
                direct.run("client", "ping", "-n", "-c", "2", "-i", "0.1", "-s", size, vip)
            # Fragments, of an echo request here and of UDP below; the answer is too big for the client's wire.
            direct.run("client", "ping", "-n", "-c", "1", "-W", "0.2", "-s", "4000", vip, check=False)
        direct.python("client", SEND_UDP, VIP, VIP6)
    assert direct.drops() == before

    edges = ("web1", "web2")
    to_servers = Counter(captures.outgoing["depot"])
    to_clients = Counter(captures.incoming["depot"])
    assert to_servers == Counter(packet for edge in edges for packet in captures.incoming[edge])
    assert to_clients == Counter(packet for edge in edges for packet in captures.outgoing[edge])

    # It was a comparison of something.
    assert to_servers.total() > 200  # where segments are joined, there are fewer ACKs
    assert to_clients.total() > 30 * 2**20 // 1500
    assert sum(len(packet) for packet in captures.incoming["depot"]) > 30 * 2**20
    assert min(len(captures.incoming[edge]) for edge in edges) > 50  # mostly ACKs, see above
    assert min(len(captures.outgoing[edge]) for edge in edges) > 10 * 2**20 // 1500
    for packets in (to_servers, to_clients):
        assert {packet[0] >> 4 for packet in packets} == {4, 6}
        assert {packet[9] for packet in packets if packet[0] >> 4 == 4} >= {1, 6}
    assert {packet[9] for packet in to_servers if packet[0] >> 4 == 4} >= {1, 6, 17}
    assert any(int.from_bytes(packet[6:8], "big") & 0x1FFF for packet in to_servers if packet[0] >> 4 == 4)
    assert any(packet[6] == 44 for packet in to_servers if packet[0] >> 4 == 6)
    assert len({packet[4:6] for packet in to_clients if packet[0] >> 4 == 4}) > 1000, "IP ids differ"
    # IP header checksums are right in all of them, so the kernel had left nothing for an interface to fill in.
    for packets in (to_servers, to_clients):
        assert all(_sum(packet[:(packet[0] & 15) * 4]) == 0xFFFF for packet in packets if packet[0] >> 4 == 4)


def test_packets_of_a_connection_keep_their_order(direct: Site, tmp_path: Path) -> None:
    captures = Captures(direct, tmp_path)
    with captures.running():
        got = direct.fetch(VIP, "10MB")
        assert got.octets == page("10MB")
    assert captures.incoming[got.server] == captures.outgoing["depot"]
    assert captures.outgoing[got.server] == captures.incoming["depot"]


def _sum(octets: bytes) -> int:
    total = sum(int.from_bytes(octets[at:at + 2], "big") for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
