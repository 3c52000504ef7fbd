"""A depot and edge nodes in a single process, joined by links on loopback; and hand-made packets."""

from __future__ import annotations

import ipaddress
import time
from contextlib import ExitStack
from struct import pack
from typing import TYPE_CHECKING, Any

import trio

from atmdepot.config.reading import parse
from atmdepot.net.kinds import make_node
from atmdepot.net.ports import open_port
from atmdepot.net.pump import Pump
from atmdepot.net.tun import NoDevice, PacketDevice, SocketTun
from tests.net.ends import PATIENCE, fresh

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from atmdepot.config.model import Network

VIP, VIP6 = "10.80.0.1", "fd00:80::1"
CLIENT, CLIENT6 = "10.9.0.2", "fd00:9::2"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
DEPOT, WEB1, WEB2 = "depot", "web1", "web2"


def network(link: str = "", vp: str = "", top: str = "") -> Network:
    """A depot with two edge nodes on loopback; `link` and `vp` add lines to each link and VP, `top` to the table."""
    ends = [fresh() for _ in range(4)]
    return parse(f"""
name = "loop"
{top}
nodes.depot.kind = "depot"
nodes.web1.kind = "edge"
nodes.web2.kind = "edge"
servers.web1.node = "web1"
servers.web2.node = "web2"
[links.to-web1]
ends = {{ depot = "{ends[0]}", web1 = "{ends[1]}" }}
{link}
[links.to-web2]
ends = {{ depot = "{ends[2]}", web2 = "{ends[3]}" }}
{link}
[vps.web1]
ends = ["depot", "web1"]
vpi = 1
session_vcis = "64-1000"
{vp}
[vps.web2]
ends = ["depot", "web2"]
vpi = 2
session_vcis = "64-1000"
{vp}
[services.web]
vip = ["{VIP}", "{VIP6}"]
ports = [80]
servers = ["web1", "web2"]
""")


class Nodes:
    """The pumps of a network, each with a socket in place of its TUN device; links are real sockets."""

    def __init__(self, table: Network, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.pumps: dict[str, Pump] = {}
        self._stack = ExitStack()
        for name in table.nodes:
            node = make_node(table, name, clock())
            links = {link: open_port(table, link, node) for link in node.links}
            for link in links.values():
                self._stack.callback(link.close)
            pump = self.pumps[name] = Pump(node, links, _device(table, name), clock=clock)
            self._stack.callback(lambda pump=pump: pump.tun.close())
            self._stack.callback(pump.close)

    def start(self, nursery: trio.Nursery) -> None:
        for pump in self.pumps.values():
            nursery.start_soon(pump.run)

    def put(self, node: str, *packets: bytes) -> None:
        """Put packets into a node's TUN device, as the kernel does."""
        for packet in packets:
            outer(self.pumps[node]).send(packet)

    async def get(self, node: str) -> bytes:
        """Wait for the next packet out of a node's TUN device."""
        return await packet_from(self.pumps[node])

    def get_nothing(self, node: str) -> bool:
        """True when no packet waits at a node's TUN device."""
        try:
            outer(self.pumps[node]).recv(70_000)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._stack.close()


def _device(table: Network, name: str) -> PacketDevice:
    return NoDevice() if table.nodes[name].kind == "switch" else SocketTun()


def outer(pump: Pump) -> socket.socket:
    assert isinstance(pump.tun, SocketTun)
    return pump.tun.outer


async def packet_from(pump: Pump) -> bytes:
    with trio.fail_after(PATIENCE):
        await trio.lowlevel.wait_readable(outer(pump))
    return outer(pump).recv(70_000)


async def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Let other tasks run until a condition holds."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is in other tasks and the kernel
            await trio.sleep(0.002)


def ip_packet(source: str, destination: str, protocol: int, payload: bytes, *, tos: int = 0, ident: int = 7) -> bytes:
    """An IPv4 or IPv6 packet; the IPv4 header's checksum is right."""
    from_, to = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    if len(from_) == 16:
        return pack(">IHBB", 6 << 28 | tos << 20 | 0x12345, len(payload), protocol, 64) + from_ + to + payload
    head = pack(">BBHHHBBH", 0x45, tos, 20 + len(payload), ident, 0x4000, 64, protocol, 0) + from_ + to
    return head[:10] + pack(">H", _checksum(head)) + head[12:] + payload


def tcp(source: str, sport: int, destination: str, dport: int, flags: int, sequence: int = 0, acknowledged: int = 0,
        data: bytes = b"", tos: int = 0) -> bytes:
    """A TCP packet; its TCP checksum is right as well."""
    segment = pack(">HHIIBBHHH", sport, dport, sequence, acknowledged, 0x50, flags, 64_240, 0, 0) + data
    from_, to = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    pseudo = from_ + to + (pack(">II", len(segment), 6) if len(from_) == 16 else pack(">HH", 6, len(segment)))
    segment = segment[:16] + pack(">H", _checksum(pseudo + segment)) + segment[18:]
    return ip_packet(source, destination, 6, segment, tos=tos)


def ping(source: str = CLIENT, destination: str = VIP, size: int = 56) -> bytes:
    return ip_packet(source, destination, 1, pack(">BBHHH", 8, 0, 0, 1, 1) + bytes(size))


class Connection:
    """The packets of a TCP connection, as both hosts send them."""

    def __init__(self, port: int, client: str = CLIENT, vip: str = VIP) -> None:
        self.client, self.vip, self.port = client, vip, port
        self.syn = self.up(SYN, 1000)
        self.syn_ack = self.down(SYN | ACK, 5000, 1001)
        self.ack = self.up(ACK, 1001, 5001)

    def up(self, flags: int, sequence: int, acknowledged: int = 0, data: bytes = b"", tos: int = 0) -> bytes:
        return tcp(self.client, self.port, self.vip, 80, flags, sequence, acknowledged, data, tos)

    def down(self, flags: int, sequence: int, acknowledged: int, data: bytes = b"") -> bytes:
        return tcp(self.vip, 80, self.client, self.port, flags, sequence, acknowledged, data)


def _checksum(octets: bytes) -> int:
    total = sum(int.from_bytes((octets + b"\0")[at:at + 2], "big") for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
