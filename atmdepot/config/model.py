"""The values of a VC table, the file that describes a network and the part of each process in it (see `reading`)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct, field

from atmdepot.config.links import CrossConnect, Link, PermanentVc, Vp  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.config.pools import REWRITE_PORT, BearerName, DepotSet, Probing, Server, Service, SessionTimers
from atmdepot.config.relay import Dlcis  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.config.routes import Joint, Routes, find_routes
from atmdepot.config.units import Duration, IpAddress, TcpAddress
from atmdepot.config.values import DeviceName, Mtu  # noqa: TC001 - msgspec reads the annotations at run time

if TYPE_CHECKING:
    from atmdepot.config.units import NumberRange


class Node(Struct, forbid_unknown_fields=True, kw_only=True):
    """A node: a process of atmdepot, or other equipment (`external`, such as a router in GNS3)."""

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
    """Values for the lab only.

    `networks` are those between client and depot; for the services of `without_web` the lab runs no web server.
    """

    networks: Annotated[list[str], Meta(max_length=16)] = field(default_factory=lambda: ["10.9.0.0/24", "fd00:9::/64"])
    without_web: list[str] = []


# `dict` gives its objects a `__dict__`, in which `cached_property` keeps the values.
class Network(Struct, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A VC table: the whole network. It is not changed once it is made, so what is often looked up is kept."""

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
        """True for an edge node of ours, which answers when a depot asks for its flows."""
        return self.nodes[node].kind == "edge"

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

    def depot_of_dlcis(self, name: str) -> str:
        """The depot of PVCs: an end of theirs, or of the VP that they go on from."""
        dlcis = self.dlcis[name]
        return next(end for end in (self.vps[dlcis.vp] if dlcis.vp else dlcis).ends if end in self.depots)

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

    def session_channels(self, depot: str, server: str) -> NumberRange | None:
        """The channels for sessions between a depot and a server that it serves: VCIs or DLCIs; None without any."""
        settings = self.servers[server]
        ends = frozenset((depot, settings.node))
        if settings.bearer == "frame-relay":
            return self.dlcis[self._dlcis_between[ends]].session_dlcis
        return None if settings.stands_alone else self.vps[self._vps_between[ends]].session_vcis

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
