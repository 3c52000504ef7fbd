"""Servers, services and depots in a VC table, and what depots do with sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from msgspec import Meta, Struct, field

from atmdepot.config.units import Duration, InterfaceAddress, IpAddress, IpNetwork, LinkKey, TcpAddress
from atmdepot.config.values import Count, CountOrNone, DeviceName  # noqa: TC001 - msgspec reads the annotations at run time

if TYPE_CHECKING:
    from atmdepot.config.units import NumberRange

Channels = TypeVar("Channels", bound="NumberRange")

Balancing = Literal[
    "round-robin", "weighted-round-robin", "least-connections", "weighted-least-connections", "least-load",
    "random-of-two", "source-hash", "maglev"]
"""The balancing criteria; `depot/balancing/registry.py` has the class of each."""

BearerName = Literal["atm", "ethernet", "frame-relay", "rewrite"]
"""The bearers, by which packets get to a server; `bearer/registry.py` has a row for each name."""

REWRITE_PORT = "rewrite"
"""The port of the bearer of that name: packets go back to the depot's own host, so it is no interface."""

_MAX_HALF_OPEN = 65_536


class Server(Struct, forbid_unknown_fields=True, kw_only=True):
    """A web server, and the bearer by which packets get to it.

    Behind an edge node it is on the node itself, or on the LAN behind it at `address`. A server that `stands_alone` has
    no edge node: its own name is then that of its node, and `address` are the addresses by which it is reached.
    """

    # Empty where it is left out; `Network` then gives a server that stands alone its own name.
    node: str = ""
    bearer: BearerName = "atm"
    address: list[IpAddress] = []
    # Of Ethernet: the depot's interface, and the server's MAC address where it is not asked for. With rewritten headers
    # `port` is the interface by which its packets come back.
    port: DeviceName | None = None
    mac: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$(?!\n)",
                             description="six pairs of hexadecimal digits, ':' between them, in quotes")] | None = None
    # Of rewritten headers: whose source address its packets have, the addresses that stand for the depot's clients, and
    # the port on which it listens, where that is another than the service's.
    source: Literal["client", "depot"] | None = None
    pool: Annotated[list[IpAddress], Meta(max_length=64)] | None = None
    listen_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    weight: Annotated[int, Meta(ge=0, le=1000)] = 1
    max_sessions: CountOrNone = 0
    backup: bool = False
    slow_start: Duration = field(default_factory=lambda: Duration(0))
    allow: list[IpNetwork] = []

    @property
    def stands_alone(self) -> bool:
        """True for a server without an edge node: it takes the packets of clients itself."""
        return self.bearer in ("ethernet", "rewrite")

    @property
    def sees_clients(self) -> bool:
        """True where no pool stands for the clients: its packets have their own addresses."""
        return self.source != "depot"


class Service(Struct, forbid_unknown_fields=True, kw_only=True):
    """A service address (VIP) with its ports (by default every port) and its pool of servers.

    `alias` is the DNS name of its VIPs; services with the same alias are clusters under one name (patent, page 13).
    Without `protocols` a service with ports is for TCP alone, a service without ports for every protocol.
    """

    vip: Annotated[list[IpAddress], Meta(min_length=1)]
    servers: Annotated[list[str], Meta(min_length=1)]
    ports: list[Annotated[int, Meta(ge=1, le=65535)]] = []
    protocols: Annotated[list[Literal["tcp", "udp"]], Meta(min_length=1)] | None = None
    # True: the servers are caching proxies (patent, figure 9), which are asked for their hits and misses.
    proxies: bool = False
    balancing: Balancing = "round-robin"
    alias: Annotated[str, Meta(max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
                               r"(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$(?!\n)",
                               description="a DNS name such as \"www.example.net\"")] | None = None

    @property
    def offered(self) -> tuple[Literal["tcp", "udp"], ...]:
        """The protocols with ports that the service offers."""
        if self.protocols is not None:
            return tuple(dict.fromkeys(self.protocols))
        return ("tcp",) if self.ports else ("tcp", "udp")


class DepotSet(Struct, forbid_unknown_fields=True, kw_only=True):
    """A set of depots: one is active, the others stand by and can take its sessions over (patent, page 16).

    `interval` is the patent's period of a warm standby; 0 sends each change as it happens. `gateway` are the addresses,
    on `interface`, to which the routes of the clients lead, and `server_gateway` those to which the routes of servers
    without edge nodes lead, on the ports of these; they move with the active depot.
    """

    nodes: Annotated[list[str], Meta(min_length=1)]
    standby: Literal["warm", "hot", "none"] = "warm"
    interval: Duration = field(default_factory=lambda: Duration(0))
    half_open: bool = False
    sync: dict[str, TcpAddress] = {}
    key: LinkKey | None = None
    key_file: str | None = None
    ownership: Literal["keepalived", "etcd", "manual"] = "keepalived"
    gateway: list[InterfaceAddress] = []
    interface: DeviceName | None = None
    server_gateway: Annotated[list[InterfaceAddress], Meta(max_length=64)] = []
    vrid: Annotated[int, Meta(ge=1, le=255)] = 51
    etcd: list[TcpAddress] = []
    announce: Duration = field(default_factory=lambda: Duration.parse("100ms"))
    silence: Duration = field(default_factory=lambda: Duration.parse("300ms"))
    recall: bool = True
    adopt: bool = True
    prefer: str | None = None
    watch: dict[str, DeviceName] = {}

    @property
    def stands_by(self) -> bool:
        """True when a depot of the set has another to take over from it."""
        return len(self.nodes) > 1 and self.standby != "none"

    def part_of(self, node: str, channels: Channels) -> Channels:
        """The channels that a depot of the set gives to sessions: its own of as many parts as the set has depots."""
        return channels.part(self.nodes.index(node), len(self.nodes))


class SessionTimers(Struct, forbid_unknown_fields=True, kw_only=True):
    """Times and bounds of the session tables (patent, pages 8 to 10)."""

    idle: Duration = field(default_factory=lambda: Duration.parse("20min"))
    two_msl: Duration = field(default_factory=lambda: Duration.parse("120s"))
    half_open: Duration = field(default_factory=lambda: Duration.parse("75s"))
    max_sessions: Count = 1_000_000
    max_half_open: Count | None = None
    udp_idle: Duration = field(default_factory=lambda: Duration.parse("60s"))
    reselect: bool = False
    orphan: Literal["drop", "reset"] = "drop"

    @property
    def half_open_bound(self) -> int:
        """The bound of half-open sessions and of unanswered UDP flows: by default 65,536, at most half of the table."""
        if self.max_half_open is not None:
            return self.max_half_open
        return min(_MAX_HALF_OPEN, max(1, self.max_sessions // 2))


class Probing(Struct, forbid_unknown_fields=True, kw_only=True):
    """How the depot watches servers: probes through the ATM path, statistics, and silence."""

    probe: Literal["tcp", "http", "none"] = "tcp"
    interval: Duration = field(default_factory=lambda: Duration.parse("1s"))
    timeout: Duration = field(default_factory=lambda: Duration.parse("1s"))
    rise: Count = 2
    fall: Count = 2
    path: Annotated[str, Meta(max_length=1024, pattern=r"^/[!-~]*$(?!\n)",
                             description="a path from / on, without spaces, of at most 1024 characters")] = "/"
    status: Annotated[int, Meta(ge=100, le=599)] = 200
    statistics: Duration = field(default_factory=lambda: Duration.parse("1s"))
    statistics_timeout: Duration = field(default_factory=lambda: Duration.parse("3s"))
    no_ack: Duration = field(default_factory=lambda: Duration.parse("3s"))
    no_ack_sessions: Annotated[int, Meta(ge=1, le=64)] = 3
