"""The values of a VC table, the file that describes a network and the part of each process in it (see `reading`)."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from atmdepot.config.contract import Contract
from atmdepot.config.relay import Dlcis, Lmi
from atmdepot.config.routes import Joint, Place, Routes, find_routes
from atmdepot.config.units import (
    CellRate,
    Duration,
    InterfaceAddress,
    IpAddress,
    IpNetwork,
    LinkKey,
    TcpAddress,
    UdpAddress,
    Vci,
    VciRange,
)

Ratio = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""A count. Its bound leaves room for sums in the C types that hold it (int, long long, 32-bit Py_ssize_t)."""

CountOrNone = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""A count in which 0 means no bound."""

Balancing = Literal[
    "round-robin", "weighted-round-robin", "least-connections", "weighted-least-connections", "least-load",
    "random-of-two", "source-hash", "maglev"]
"""The balancing criteria; `depot/balancing.py` has a class for each name."""

BearerName = Literal["atm", "ethernet", "frame-relay", "rewrite"]
"""The bearers, by which packets get to a server; `bearer/registry.py` has a row for each name."""

REWRITE_PORT = "rewrite"
"""The port of the bearer of that name: packets go back to the depot's own host, so it is no interface."""

QueueName = Literal["CBR", "rt-VBR", "nrt-VBR", "GFR", "UBR"]
"""The queues of a link, by service category; `atm/scheduler.py` has them as `QueueClass`."""

_WAIT_TO_RESTORE = Duration.parse("5min")

Weight = Annotated[int, Meta(ge=1, le=1000)]

# The kernel's names of devices have 15 characters at most. `$` alone would match before a final newline, too.
DeviceName = Annotated[str, Meta(min_length=1, max_length=15, pattern=r"^[A-Za-z0-9_.-]+$(?!\n)",
                                 description="1 to 15 letters, digits, '_', '.' or '-', in quotes")]

Encapsulation = Literal["vc-mux", "llc", "vc-mux-bridged", "llc-bridged"]
"""The encapsulations of RFC 2684; `wire/llc.py` has them."""

_HEADERS: dict[Encapsulation, int] = {"vc-mux": 0, "llc": 8, "vc-mux-bridged": 16, "llc-bridged": 24}
_MAX_HALF_OPEN = 65_536
_FIRST_LABEL = 16  # a label has 20 bits; 0 to 15 are reserved (RFC 3032)
Mtu = Annotated[int, Meta(ge=576, le=65527)]
"""Octets of an IP packet; 65527 and the 8 octets of LLC make the greatest AAL5 SDU."""
LEAST_BURST = 64
"""Least burst of a line after a late wake-up, in cells: a quarter of the capacity of a Dynamips socket."""


class Node(Struct, forbid_unknown_fields=True, kw_only=True):
    """A process of the network, or gear that is not ours (`external`, such as a router in GNS3)."""

    kind: Literal["depot", "switch", "edge", "interworking", "external"]
    tun: DeviceName = "atm0"
    # In place of the TUN device: Ethernet frames of a bridged VP as they are.
    tap: DeviceName | None = None
    mtu: Mtu = 9180
    address: list[IpAddress] = []
    configure: bool = True
    metrics: TcpAddress | None = None
    # OAM's location identifier (I.610): 16 octets in hexadecimal digits.
    location: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{32}$(?!\n)", description="32 hexadecimal digits, in quotes")
                        ] | None = None

    @property
    def device(self) -> str:
        """The kernel's name of its TUN or TAP device."""
        return self.tun if self.tap is None else self.tap


class Line(Struct, forbid_unknown_fields=True, kw_only=True):
    """Rate, delay and impairments of a direction of a link. In `from`, the link's values fill in for keys left out."""

    rate: CellRate | None = None
    delay: Duration | None = None
    jitter: Duration | None = None
    queue: Count | None = None
    burst: Count | None = None
    cell_loss: Ratio | None = None
    header_bit_errors: Ratio | None = None
    payload_bit_errors: Ratio | None = None
    misinsertion: Ratio | None = None
    reordering: Ratio | None = None
    # The integers of TOML have 64 bits.
    seed: Annotated[int, Meta(ge=-2**63, le=2**63 - 1)] | None = None

    @property
    def impaired(self) -> bool:
        """True when cells may be lost, damaged, misinserted or reordered."""
        return any((self.cell_loss, self.header_bit_errors, self.payload_bit_errors, self.misinsertion,
                    self.reordering))

    @property
    def timed(self) -> bool:
        """True when cells are paced or delayed."""
        return self.rate is not None or bool(self.delay or self.jitter)


class Link(Line, forbid_unknown_fields=True, kw_only=True):
    """A UDP-emulated link, of ATM by default: a UDP address for each end; values of `Line` hold for both directions."""

    ends: dict[str, UdpAddress]
    bearer: Literal["atm", "frame-relay"] = "atm"
    lmi: Lmi = field(default_factory=Lmi)
    cells: Annotated[int, Meta(ge=1, le=1235)] = 27  # 1235 cells and a tag fit UDP's 65,507 octets over IPv4
    interface: Literal["uni", "nni"] = "uni"
    source_check: Literal["strict", "loose"] = "strict"
    format: Literal["cells", "pwe3"] = "cells"
    # None where the table has no `label`, since the rules refuse it beside `format = "cells"`.
    own_label: Annotated[int, Meta(ge=_FIRST_LABEL, le=2**20 - 1)] | None = field(name="label", default=None)
    key: LinkKey | None = None
    key_file: str | None = None
    queues: dict[QueueName, Count] = {}
    weights: dict[QueueName, Weight] = {}
    overbook: bool = False
    supervise: Duration | None = None
    ilmi: bool = False
    # `from` is a keyword of Python.
    from_: dict[str, Line] = field(name="from", default={})

    def line_from(self, node: str, live: Line | None = None) -> Line:
        """The direction in which `node` sends: its live values, else its own `from` values, else the link's."""
        layers = (live or Line(), self.from_.get(node, Line()), self)
        line = Line(**{name: next((value for layer in layers if (value := getattr(layer, name)) is not None), None)
                       for name in Line.__struct_fields__})
        if line.rate and not line.burst:
            line.burst = self._default_burst(line.rate)
        return line

    def _default_burst(self, rate: CellRate) -> int:
        """Cells that may leave together after a late wake-up: few where each is a datagram, else 2 ms at the rate."""
        return LEAST_BURST if self.cells == 1 else max(LEAST_BURST, int(rate) // 500)

    @property
    def label(self) -> int:
        """The pseudowire's MPLS label: that of the table, or 16, the least that is not reserved (RFC 3032)."""
        return _FIRST_LABEL if self.own_label is None else self.own_label

    @property
    def has_key(self) -> bool:
        """True when the link's datagrams have a tag."""
        return self.key is not None or self.key_file is not None

    def other_end(self, node: str) -> str:
        """The node at the far end."""
        return next(name for name in self.ends if name != node)


def octets_before(encapsulation: Encapsulation, *, fcs: bool) -> int:
    """Octets that an encapsulation adds to a packet (RFC 2684 sections 5 and 6), with those of Ethernet."""
    return _HEADERS[encapsulation] + (4 if fcs and "bridged" in encapsulation else 0)


class Vp(Struct, forbid_unknown_fields=True, kw_only=True):
    """A virtual path between the depot and an edge node, or two edge nodes, and the VCIs in it.

    `via` and `protect` are the switches of its route and of its second route, in order from the first end.
    """

    ends: list[str]
    vpi: Annotated[int, Meta(ge=0, le=4095)]  # 12 bits at an NNI; the rules check the 8 bits of a UNI
    default_vci: Vci = field(default_factory=lambda: Vci(32))
    management_vci: Vci | None = None
    session_vcis: VciRange | None = None
    shared_vcs: dict[str, Vci] = {}
    encapsulation: Encapsulation = "vc-mux"
    fcs: Literal["auto", "yes", "no"] = "auto"
    crc: Literal["strict", "dynamips", "ignore"] = "strict"
    mtu: Mtu = 9180
    via: list[str] = []
    protect: list[str] | None = None
    # None where the table lacks the key, since the rules refuse both without `protect`.
    own_protection: Literal["1+1", "1:1"] | None = field(name="protection", default=None)
    own_wait_to_restore: Duration | None = field(name="wait_to_restore", default=None)
    contract: str | None = None
    continuity_check: bool | None = None
    segments: list[str] = []
    performance_monitoring: Literal[128, 256, 512, 1024] | None = None
    networks: dict[str, list[IpNetwork]] = {}

    @property
    def header_octets(self) -> int:
        """Octets that the encapsulation adds to a packet; those of an FCS too, if there may be one."""
        return octets_before(self.encapsulation, fcs=self.fcs != "no")

    @property
    def protection(self) -> Literal["1+1", "1:1"]:
        """The use of a protected VP's routes (I.630): both carry cells (1+1), or the one in use (1:1)."""
        return self.own_protection or "1+1"

    @property
    def wait_to_restore(self) -> Duration:
        """The time for which the working route must have been good before the VP goes back to it."""
        return _WAIT_TO_RESTORE if self.own_wait_to_restore is None else self.own_wait_to_restore

    @property
    def agreed(self) -> Contract | None:
        """The contract of the whole VP; raises ValueError for a text that is none."""
        return None if self.contract is None else Contract.parse(self.contract, self.header_octets)

    @property
    def checks_continuity(self) -> bool:
        """True when both ends send CC cells and expect them: as the table says, else where the VP is protected."""
        return self.protect is not None if self.continuity_check is None else self.continuity_check

    @property
    def statistics_vci(self) -> int:
        """The VCI of the management VC: `management_vci`, or the least free VCI of the VP from 32 up."""
        if self.management_vci is not None:
            return self.management_vci
        taken = {int(self.default_vci), *map(int, self.shared_vcs.values())}
        own = self.session_vcis
        # The rules leave at least one VCI free.
        return next(vci for vci in range(32, 65536) if vci not in taken and not (own and own.holds(vci)))


class PermanentVc(Struct, forbid_unknown_fields=True, kw_only=True):
    """A permanent VC from its root, the first of `ends`, to another end, or to several (point to multipoint).

    `networks` has the destinations that each end sends on it; with several ends only the root sends.
    """

    ends: list[str]
    vpi: Annotated[int, Meta(ge=0, le=4095)]
    vci: Vci
    contract: str | None = None
    encapsulation: Encapsulation = "vc-mux"
    fcs: Literal["auto", "yes", "no"] = "auto"
    crc: Literal["strict", "dynamips", "ignore"] = "strict"
    mtu: Mtu = 9180
    networks: dict[str, list[IpNetwork]] = {}

    @property
    def header_octets(self) -> int:
        """Octets that the encapsulation adds to a packet; those of an FCS too, if there may be one."""
        return octets_before(self.encapsulation, fcs=self.fcs != "no")

    @property
    def agreed(self) -> Contract | None:
        """The contract of the VC; raises ValueError for a text that is none."""
        return None if self.contract is None else Contract.parse(self.contract, self.header_octets)


class CrossConnect(Struct, forbid_unknown_fields=True, kw_only=True):
    """A cross-connect of a switch beside those that routes make; `atmdepot vc save` writes them.

    What comes in at `from` (`LINK VPI` or `LINK VPI/VCI`) leaves at each place of `to`.
    """

    switch: str
    # `from` is a keyword of Python.
    from_: str = field(name="from")
    to: Annotated[list[str], Meta(min_length=1)]
    contract: str | None = None

    @property
    def place(self) -> Place:
        """The place at which its cells come in; raises ValueError for a text that is no place."""
        return Place.parse(self.from_)

    @property
    def leaves(self) -> tuple[Place, ...]:
        """The places at which its cells leave; raises ValueError for a text that is no place."""
        return tuple(map(Place.parse, self.to))

    @property
    def agreed(self) -> Contract | None:
        """Its contract; raises ValueError for a text that is none."""
        return None if self.contract is None else Contract.parse(self.contract)


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
    """A set of depots: a single one is active, and the others stand by to take its sessions over (patent, page 16).

    `interval` is the patent's period of a warm standby; 0 sends each change as it happens. `gateway` are the addresses,
    on `interface`, to which the routes of the clients lead; they move with the active depot.
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

    def part_of(self, node: str, vcis: VciRange) -> VciRange:
        """The VCIs that a depot of the set gives to sessions: its own of as many parts as the set has depots."""
        return vcis.part(self.nodes.index(node), len(self.nodes))


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
    """Watch over the condition of servers: probes through the ATM path, statistics, and silence."""

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


class Reassembly(Struct, forbid_unknown_fields=True, kw_only=True):
    """Bounds on PDUs whose last cell has not come: their age, and the octets of all of them on a link."""

    timeout: Duration = field(default_factory=lambda: Duration.parse("2s"))
    # At least the greatest PDU: 1366 payloads, 65,568 octets.
    octets: Annotated[int, Meta(ge=65_600, le=2**31 - 1)] = 64 * 2**20


class Qos(Struct, forbid_unknown_fields=True, kw_only=True):
    """Changes to the default map of DSCP to service category, and the contract of each category."""

    dscp: dict[str, str] = {}
    contracts: dict[str, str] = {}


class Lab(Struct, forbid_unknown_fields=True, kw_only=True):
    """Values for the lab alone: the networks between client and depot."""

    networks: Annotated[list[str], Meta(max_length=16)] = field(default_factory=lambda: ["10.9.0.0/24", "fd00:9::/64"])


# `dict` gives its objects a `__dict__`, in which `cached_property` keeps the values.
class Network(Struct, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A whole VC table; it is not changed once it is made, so what is often looked up is kept."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$(?!\n)",
                              description="1 to 32 letters, digits, '_' or '-', in quotes")]
    description: str = ""
    nodes: dict[str, Node]
    links: dict[str, Link] = {}
    vps: dict[str, Vp] = {}
    vcs: dict[str, PermanentVc] = {}
    dlcis: dict[str, Dlcis] = {}
    connects: dict[str, CrossConnect] = {}
    servers: dict[str, Server]
    services: dict[str, Service]
    own_sets: dict[str, DepotSet] = field(name="depots", default={})
    sessions: SessionTimers = field(default_factory=SessionTimers)
    probing: Probing = field(default_factory=Probing)
    reassembly: Reassembly = field(default_factory=Reassembly)
    qos: Qos = field(default_factory=Qos)
    lab: Lab = field(default_factory=Lab)

    def __post_init__(self) -> None:
        for name, server in self.servers.items():
            if not server.node and server.stands_alone:
                server.node = name

    @cached_property
    def depots(self) -> list[str]:
        """The names of the depots."""
        return self._of_kind("depot")

    @property
    def depot(self) -> str:
        """The name of the first depot, for tools that work with a single one."""
        return self.depots[0]

    @cached_property
    def sets(self) -> dict[str, DepotSet]:
        """The sets of depots, by name; a depot that the table has in no set is a set of its own name."""
        placed = {node for of in self.own_sets.values() for node in of.nodes}
        return self.own_sets | {name: DepotSet(nodes=[name]) for name in self.depots if name not in placed}

    def name_of_set_of(self, depot: str) -> str:
        """The name of a depot's set."""
        return next(name for name, of in self.sets.items() if depot in of.nodes)

    def set_of(self, depot: str) -> DepotSet:
        """The set of a depot."""
        return self.sets[self.name_of_set_of(depot)]

    def ends_at_depot(self, vp: Vp) -> bool:
        """True for a VP of sessions, between a depot and an edge node."""
        return any(end in self.depots for end in vp.ends)

    @property
    def edges(self) -> list[str]:
        """The names of our edge nodes."""
        return self._of_kind("edge")

    @property
    def switches(self) -> list[str]:
        """The names of our switches."""
        return self._of_kind("switch")

    def _of_kind(self, kind: str) -> list[str]:
        return [name for name, node in self.nodes.items() if node.kind == kind]

    @cached_property
    def proxies(self) -> frozenset[str]:
        """The names of the servers that are caching proxies."""
        return frozenset(name for service in self.services.values() if service.proxies for name in service.servers)

    @property
    def vips(self) -> list[IpAddress]:
        """All service addresses, without duplicates."""
        return list(dict.fromkeys(vip for service in self.services.values() for vip in service.vip))

    def links_of(self, node: str, bearer: BearerName = "atm") -> dict[str, Link]:
        """The links of a bearer with an end at the node."""
        return {name: link for name, link in self.links.items() if node in link.ends and link.bearer == bearer}

    def knows_recall(self, node: str) -> bool:
        """True for an edge node of ours that answers when a depot asks for its flows: those on links of ATM."""
        return self.nodes[node].kind == "edge" and self.bearer_at(node) == "atm"

    def bearer_at(self, edge: str) -> BearerName:
        """The bearer by which an edge node is reached: that of its first link."""
        return next(iter(self.bearers_at.get(edge, ())), "atm")

    @cached_property
    def bearers_at(self) -> dict[str, dict[BearerName, None]]:
        """The bearers of the links at each node, in the table's order."""
        found: dict[str, dict[BearerName, None]] = {}
        for link in self.links.values():
            for node in link.ends:
                found.setdefault(node, {})[link.bearer] = None
        return found

    def vps_of(self, node: str) -> dict[str, Vp]:
        """The VPs with an end at the node."""
        return {name: vp for name, vp in self.vps.items() if node in vp.ends}

    def dlcis_of(self, node: str) -> dict[str, Dlcis]:
        """The PVCs of Frame Relay with an end at the node."""
        return {name: dlcis for name, dlcis in self.dlcis.items() if node in dlcis.ends}

    def ends_of(self, vp: str) -> list[str]:
        """The ends of a VP; in place of an interworking function stands the edge node to which its PVCs lead."""
        behind = self._behind.get(vp)
        return self.vps[vp].ends if behind is None else [behind.get(end, end) for end in self.vps[vp].ends]

    @cached_property
    def _behind(self) -> dict[str, dict[str, str]]:
        """Of each VP that goes on as PVCs, the interworking function and the node behind it."""
        return {of.vp: {end: of.other_end(end)} for of in self.dlcis.values() if of.vp is not None
                for end in of.ends if end in self.nodes and self.nodes[end].kind == "interworking"}

    def relay_links(self, name: str) -> dict[str, str]:
        """The link of PVCs at each of their ends: a single link, or two with gear between them (`via`)."""
        dlcis = self.dlcis[name]
        return {end: link for end in dlcis.ends for link, settings in self.links_of(end, "frame-relay").items()
                if settings.other_end(end) == (dlcis.via or dlcis.other_end(end))}

    def lmi_network(self, link: str) -> str:
        """The end of a link that answers in the LMI: that of the table, or the end nearer to a network than a depot."""
        settings = self.links[link]
        rank = {"external": 0, "switch": 1, "interworking": 1, "edge": 2, "depot": 3}
        return settings.lmi.network or min(settings.ends, key=lambda end: rank[self.nodes[end].kind])

    def vp_between(self, depot: str, node: str) -> str:
        """The name of the VP from a depot to a node; raises KeyError where there is none."""
        return self._vps_between[frozenset((depot, node))]

    def link_between(self, depot: str, node: str) -> str:
        """A depot's link that carries its VP to a node; raises KeyError where there is none."""
        return self.routes.working[self.vp_between(depot, node)].link_at(depot)

    def port_towards(self, depot: str, server: str) -> str | None:
        """The depot's port by which packets go to a server; None where no way leads from this depot to it."""
        settings = self.servers[server]
        if settings.bearer == "rewrite":
            return REWRITE_PORT
        if settings.stands_alone:
            return settings.port or ""
        if settings.bearer == "frame-relay":
            name = self._dlcis_between.get(frozenset((depot, settings.node)))
            return None if name is None else self.relay_links(name)[depot]
        return self.link_between(depot, settings.node) if self.serves(depot, server) else None

    def serves(self, depot: str, server: str) -> bool:
        """True when a way leads from a depot to a server: for one behind an edge node, VP or PVCs to its node."""
        settings = self.servers[server]
        ways = self._dlcis_between if settings.bearer == "frame-relay" else self._vps_between
        return settings.stands_alone or frozenset((depot, settings.node)) in ways

    def bearers_of(self, depot: str) -> list[BearerName]:
        """The bearers of a depot: those of the servers that it serves, and that of its VPs and permanent VCs."""
        found = dict.fromkeys(server.bearer for name, server in self.servers.items() if self.serves(depot, name))
        has_circuits = bool(self.vps_of(depot)) or any(depot in vc.ends for vc in self.vcs.values())
        return list(found | ({"atm": None} if has_circuits or not found else {}))

    @cached_property
    def routes(self) -> Routes:
        """The routes of VPs and permanent VCs, and the mistakes met on the way."""
        joints = {}
        for name, link in self.links.items():
            if link.bearer != "atm":
                continue
            one, other = link.ends
            delay = sum(int(link.line_from(end).delay or 0) for end in link.ends)
            joints[name] = Joint((one, other), delay, 255 if link.interface == "uni" else 4095)
        return find_routes(joints, self.switches, self.vps, self.vcs)

    @cached_property
    def _vps_between(self) -> dict[frozenset[str], str]:
        # Reversed, so that the first of two VPs with the same ends wins.
        return {frozenset(self.ends_of(name)): name for name in reversed(self.vps)}

    @cached_property
    def _dlcis_between(self) -> dict[frozenset[str], str]:
        return {frozenset(dlcis.ends): name for name, dlcis in self.dlcis.items()}
