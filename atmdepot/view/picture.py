"""The drawing of a network: boxes for its nodes and servers, wires between them, and the VPs on each wire.

All of it comes from the VC table alone, in the table's order, so the same table always gives the same picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.pools import Server

CLIENT = "client"


class Box(NamedTuple):
    """A node, a server, or the clients (`kind`), with lines of text that stand below its name."""

    key: str
    """Unique in the picture: a server may have the name of its node."""
    name: str
    kind: str
    lines: tuple[str, ...]
    column: int


class VpOnWire(NamedTuple):
    """A VP (or permanent VC) on a wire: its number there, and the server at its end (empty: none)."""

    name: str
    vpi: int
    server: str
    is_second: bool
    vci: int | None = None

    def __str__(self) -> str:
        """Text such as `web1 VPI 1`, for a permanent VC `news VC 9/100`."""
        number = f"VPI {self.vpi}" if self.vci is None else f"VC {self.vpi}/{self.vci}"
        return f"{self.name} {number}{', protection route' if self.is_second else ''}"


class Wire(NamedTuple):
    """A line between two boxes: a link of the table, or the wires of IP packets (`kind` `ip`)."""

    name: str
    kind: str
    ends: tuple[str, str]
    """The keys of its boxes."""
    vps: tuple[VpOnWire, ...] = ()
    text: str = ""
    """Rate and delay, where the table has them."""


class Picture(NamedTuple):
    """A whole network."""

    name: str
    description: str
    boxes: dict[str, Box]
    wires: tuple[Wire, ...]
    services: dict[str, str]
    """A line of text for each service."""


def picture_of(network: Network) -> Picture:
    """The picture of a network."""
    columns = _columns(network)
    boxes = {box.key: box for box in _boxes(network, columns)}
    wires = (*_wires_of_clients(network), *_links(network), *_wires_of_servers(network))
    return Picture(network.name, network.description, boxes, wires,
                   {name: _service_text(network, name) for name in network.services})


def node_key(name: str) -> str:
    """The key of a node's box."""
    return f"node:{name}"


def server_key(name: str) -> str:
    """The key of a server's box."""
    return f"server:{name}"


def _columns(network: Network) -> dict[str, int]:
    """The column of each node: depots, then what lies between by its distance, and last the nodes of servers."""
    distance = dict.fromkeys(network.depots, 1)
    waiting = list(distance)
    for node in waiting:  # grows while it is walked
        for link in network.links.values():
            if node in link.ends and (far := link.other_end(node)) not in distance:
                distance[far] = distance[node] + 1
                waiting.append(far)
    last = {server.node for server in network.servers.values()} | set(network.edges)
    between = [distance.get(name, 1) for name in network.nodes if name not in last]
    return {name: max(between, default=1) + 1 if name in last else distance.get(name, 2) for name in network.nodes}


def _boxes(network: Network, columns: dict[str, int]) -> Iterator[Box]:
    end = max([*columns.values(), 2])
    yield Box(CLIENT, "clients", "client", (), 0)
    for name, node in network.nodes.items():
        yield Box(node_key(name), name, node.kind, (), columns[name])
    for name, server in network.servers.items():
        services = [service for service, of in network.services.items() if name in of.servers]
        yield Box(server_key(name), name, "server", tuple(_server_lines(server, services)), end + 1)


def _server_lines(server: Server, services: list[str]) -> Iterator[str]:
    if services:
        yield ", ".join(services)
    if server.weight != 1:
        yield f"weight {server.weight}"
    if server.backup:
        yield "backup"


def _wires_of_clients(network: Network) -> Iterator[Wire]:
    for depot in network.depots:
        yield Wire(f"clients-{depot}", "ip", (CLIENT, node_key(depot)))


def _links(network: Network) -> Iterator[Wire]:
    on_link: dict[str, list[VpOnWire]] = {name: [] for name in network.links}
    servers = {server.node: name for name, server in reversed(network.servers.items())}
    for name, vp in network.vps.items():
        server = next((servers[end] for end in network.ends_of(name) if end in servers), "")
        server = server if network.ends_at_depot(vp) else ""
        for number, route in enumerate(network.routes.of(name)):
            for place, vpi in zip(route.links, route.vpis, strict=True):
                on_link[place].append(VpOnWire(name, vpi, server, bool(number)))
    for name, branches in network.routes.trees.items():
        for route in branches.values():
            for place, vpi in zip(route.links, route.vpis, strict=True):
                circuit = VpOnWire(name, vpi, "", False, network.routes.vcis[name])
                on_link[place] += [] if circuit in on_link[place] else [circuit]
    for name, link in network.links.items():
        one, other = link.ends
        text = ", ".join(filter(None, (str(link.rate or ""), str(link.delay or ""))))
        yield Wire(name, link.bearer, (node_key(one), node_key(other)), tuple(on_link[name]), text)


def _wires_of_servers(network: Network) -> Iterator[Wire]:
    for name, server in network.servers.items():
        if not server.stands_alone:
            yield Wire(f"{server.node}-{name}", "ip", (node_key(server.node), server_key(name)))
            continue
        for depot in network.depots:
            yield Wire(server.port or f"{depot}-{name}", server.bearer, (node_key(depot), server_key(name)))


def _service_text(network: Network, name: str) -> str:
    service = network.services[name]
    ports = ", ".join(map(str, service.ports)) or "all"
    return (f"{name}: {', '.join(map(str, service.vip))} port{'s' if len(service.ports) != 1 else ''} {ports}, "
            f"{service.balancing} over {', '.join(service.servers)}")
