"""Paths to servers by rewritten headers, and the port of this bearer, which is the depot's own host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.bearer.base import Path, PathCondition, Port, PortCounts
from atmdepot.config.pools import REWRITE_PORT
from atmdepot.drops import OF_REWRITING, DropReason, Drops
from atmdepot.wire.icmp import quoted_packet
from atmdepot.wire.ip import PROTOCOL_TCP, PROTOCOL_UDP, address_text, endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.bearer.server_ends import ServerEnds
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.rewriting import End, Rewriting

CLIENT_SIDE, SERVER_SIDE = "client-side", "server-side"
"""The media of packets in a trace: with the ends as clients have them, and as servers do."""


class HostPort(Port):
    """The depot's own host as a port: it counts the rewritten packets. No octets wait here."""

    medium = "host"
    reasons = OF_REWRITING

    def __init__(self) -> None:
        Port.__init__(self, REWRITE_PORT, Drops())  # not by super(), which the compiled module does not have
        self.tx_packets = self.rx_packets = 0
        self.out: list[Any] = []
        """Packets and frames for the host; the node's own list."""
        self.paths: dict[FlowKey, RewritePath] = {}
        """The open paths, by the flow of their answers."""
        self.servers: frozenset[bytes] = frozenset()
        """The addresses of servers and of pools: what comes from or goes to one of them is on the servers' side."""
        self.vips: frozenset[bytes] = frozenset()
        self.next_due: Callable[[], int | None] = _never
        """The time (ns) at which `when_due` is next to be called; the bearer sets both."""
        self.when_due: Callable[[int], None] | None = None

    def transmit(self, now: int) -> bytes:
        """Nothing: the host takes packets from the node."""
        return b""

    def fill(self, count: int) -> bytes:
        """Nothing: there is no filling."""
        del count
        return b""

    def side_of(self, packet: bytes, direction: str) -> str:
        """The medium of a packet `in` from the host or `out` to it: a server's side, a client's; empty for neither."""
        at, size = (12, 4) if packet[0] >> 4 == 4 else (8, 16)
        source, destination = packet[at:at + size], packet[at + size:at + 2 * size]
        # A router's error has neither end of the flow: the packet that it quotes has, and went the other way.
        quoted = quoted_packet(packet) if _may_be_icmp(packet) else None
        if direction == "in":
            ends = (source, destination) if quoted is None else (source, destination, quoted.source, quoted.destination)
            is_of_a_server, is_of_a_client = not self.servers.isdisjoint(ends), destination in self.vips
        else:
            is_of_a_server = destination in self.servers
            is_of_a_client = source in self.vips or (quoted is not None and quoted.destination in self.vips)
        return SERVER_SIDE if is_of_a_server else CLIENT_SIDE if is_of_a_client else ""

    def peer(self) -> str:
        """The host."""
        return "the host's routes"

    def channels(self) -> int:
        """The number of its open paths."""
        return len(self.paths)

    def condition(self) -> PathCondition:
        """The packets that came; damaged ones do not get here."""
        return PathCondition(self.rx_packets)

    def counts(self) -> PortCounts:
        """The packets that were rewritten."""
        return PortCounts(rx_pdus=self.rx_packets, tx_pdus=self.tx_packets)

    def next_timer(self) -> int | None:
        """The time (ns) at which what has no session is next to be forgotten, or None."""
        return self.next_due()

    def handle_timer(self, now: int) -> None:
        """Forget what has no session and was not used for a while."""
        if self.when_due is not None:
            self.when_due(now)


def _never() -> int | None:
    return None


def _may_be_icmp(packet: bytes) -> bool:
    """False for most packets, those of TCP and UDP."""
    return packet[9 if packet[0] >> 4 == 4 else 6] not in (PROTOCOL_TCP, PROTOCOL_UDP)


class RewritePath(Path):
    """The path of a flow to a server: the ends that its packets get, and those that its answers get.

    `key` is the flow of the answers as the server sends them, `taken` the end of the pool that stands for the client.
    """

    __slots__ = ("back", "ends", "host", "is_stray", "key", "taken", "there")

    def __init__(self, host: HostPort, ends: ServerEnds, key: FlowKey, there: Rewriting | None,
                 back: Rewriting | None) -> None:
        self.host, self.ends = host, ends
        self.node, self.port, self.mtu = ends.node, REWRITE_PORT, ends.mtu
        self.owner, self.is_management, self.is_routed = None, False, False
        self.key, self.there, self.back = key, there, back
        self.taken: End | None = None
        self.is_stray = False

    @property
    def channel(self) -> tuple[int, ...]:
        """No numbers: its ends tell it from others."""
        return ()

    @property
    def label(self) -> str:
        """The server's end, and after it the end that stands for the client's, if there is one."""
        if self.there is None or self.there.destination is None:
            return "no source port"
        to = end_text(self.there.destination)
        return to if self.there.source is None else f"{end_text(self.there.source)} > {to}"

    def answers(self) -> FlowKey:
        """The flow of the answers as the server sends them."""
        return self.key

    def send(self, packet: bytes, clp: int) -> None:
        """Send a packet to the server's end, by the host's route."""
        if self.there is None:
            self.host.drops.count(DropReason.NO_SOURCE_PORT, 1, packet, self)
            return
        self.host.tx_packets += 1
        self.host.out.append(self.there.packet(packet))

    def send_frame(self, frame: PlainFrame, clp: int) -> None:
        """Send a frame to the server's end, whole."""
        made = None if self.there is None else self.there.frame(frame)
        if made is None:
            for packet in frame.packets():
                self.send(packet, clp)
            return
        self.host.tx_packets += made.count
        self.host.out.append(made)


class SharedRewritePath(RewritePath):
    """The path of a server for packets that belong to no session."""

    __slots__ = ("handle",)

    def __init__(self, host: HostPort, ends: ServerEnds, handle: Callable[[SharedRewritePath, bytes], None]) -> None:
        """Make the path; `handle` takes its packets."""
        RewritePath.__init__(self, host, ends, b"", None, None)
        self.handle = handle

    @property
    def label(self) -> str:
        """The server's addresses."""
        return ", ".join(map(address_text, sorted(self.ends.address.values(), key=len)))

    def send(self, packet: bytes, clp: int) -> None:
        """Send a packet to the server's address, and remember its flow if it is a query."""
        self.handle(self, packet)


def end_text(end: End) -> str:
    """An end as text, without a port if it has none."""
    return endpoint(end.address, end.port or None)
