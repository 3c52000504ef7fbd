"""The VC table of a contender's lab: the given table under the lab's name, with the changes for a measurement."""

from __future__ import annotations

import re
import tomllib
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from msgspec import Struct

from atmdepot.config.reading import parse
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.config.pools import Service

BULK_SERVICE = "bench-bulk"
IDLE_SERVICE = "bench-idle"
BULK_PORT = 5201
"""The port of iperf3."""

IDLE_ENDS = ("127.0.0.1:5598", "127.0.0.1:5599")
"""The ends of the link for idle sessions: the depot's end, and the end of the process that plays their server."""

# Probes and statistics must not take CPU time from the measurement.
_QUIET = '\n[probing]\nprobe = "none"\nstatistics = "0s"\n'

# iperf3 needs all connections of a test at a single server, and its port for itself.
_BULK = """
[services.{service}]
vip = ["{vip}"]
ports = [{port}]
servers = ["{server}"]
"""

_NO_WEB = f'without_web = ["{BULK_SERVICE}"]'

_IDLE = """
[nodes.bench-idle]
kind = "external"

[links.bench-idle]
ends = {{ {depot} = "{ends[0]}", bench-idle = "{ends[1]}" }}

[vps.bench-idle]
ends = ["{depot}", "bench-idle"]
vpi = 200
session_vcis = "64-65535"

[servers.bench-idle]
node = "bench-idle"

[services.{service}]
vip = ["{vip}"]
servers = ["bench-idle"]

[sessions]
idle = "24h"
max_sessions = {sessions}
"""


class Server(Struct, frozen=True):
    """A server as the depot's node reaches it over its link, without cells; `gateway` is the link's depot end.

    A server without an edge node is reached at its own address, and has no gateway here.
    """

    node: str
    address: str
    gateway: str


class Addresses(Struct, frozen=True):
    """The addresses that all contenders share: the service, the service for bulk, and the servers."""

    vip: str
    port: int
    bulk_vip: str
    servers: tuple[Server, ...]

    @property
    def bulk_server(self) -> Server:
        """The server of bulk transfers."""
        return self.servers[0]


def table_for(text: str, name: str, cells: int | None = None, idle_sessions: int | None = None) -> str:
    """The VC table of a lab.

    Args:
        text: a VC table.
        name: the lab's name, which becomes the network's.
        cells: cells in a datagram, on all links; without it, the table's numbers stay.
        idle_sessions: with a number, adds a service and a server for this many idle sessions.

    Raises:
        AtmdepotError: the table cannot be changed like this, or has no service to measure.

    """
    network = parse(text)
    service = _service_of(network)
    vip = _free_vip(network, 1)
    # Changed as text, so that the rest of the table stays as it was written.
    changed = re.sub(r"(?m)^name\s*=.*$", f'name = "{name}"', text, count=1)
    if cells is not None:
        changed = re.sub(r"(?m)^cells\s*=.*\n", "", changed)
        changed = re.sub(r"(?m)^(\[links\.[^].]+\]).*$", rf"\1\ncells = {cells}", changed)
    changed = re.sub(r"(?m)^(cir|bc|be|police)\s*=.*\n", "", changed)  # a rate would be measured in place of the way
    changed = re.sub(r"(?m)^(\[lab\]).*$", rf'\1\n{_NO_WEB}', changed) if "lab" in tomllib.loads(text) else (
        changed + f"\n[lab]\n{_NO_WEB}\n")
    changed += _BULK.format(service=BULK_SERVICE, vip=vip, port=BULK_PORT, server=service.servers[0])
    if "probing" not in tomllib.loads(text):  # a table's own [probing] is kept
        changed += _QUIET
    if idle_sessions is not None:
        changed += _IDLE.format(depot=network.depot, ends=IDLE_ENDS, vip=_free_vip(network, 2), service=IDLE_SERVICE,
                                sessions=idle_sessions + 1_000_000)  # and room for the load's connections
    made = parse(changed)  # checked, since a pattern may have found no line
    if made.name != name or (cells is not None and any(link.cells != cells for link in made.links.values())):
        raise AtmdepotError("the table cannot be changed for the benchmark: write `name` and each link's `cells` "
                            "on lines of their own, the latter below [links.NAME]")
    return changed


def addresses_of(network: Network) -> Addresses:
    """The addresses of a lab whose table was made by `table_for`."""
    service = _service_of(network)
    servers = []
    for name in service.servers:
        server = network.servers[name]
        node = server.node
        if server.stands_alone:
            servers.append(Server(node, str(server.address[0]), ""))
            continue
        ends = network.links[network.port_towards(network.depot, name) or ""].ends
        servers.append(Server(node, str(ends[node].host), str(ends[network.depot].host)))
    return Addresses(_ipv4_of(service), service.ports[0] if service.ports else 80,
                     _ipv4_of(network.services[BULK_SERVICE]), tuple(servers))


def idle_vip_of(network: Network) -> str:
    """The address of the service for idle sessions."""
    return _ipv4_of(network.services[IDLE_SERVICE])


def _service_of(network: Network) -> Service:
    """The first service with an IPv4 address and all its servers in the lab; raises AtmdepotError without it."""
    for service in network.services.values():
        servers = [network.servers[name] for name in service.servers]
        if any(vip.version == 4 for vip in service.vip) and all(
                server.address if server.stands_alone else network.nodes[server.node].kind == "edge"
                for server in servers):
            return service
    raise AtmdepotError(f"{network.name} has no service with an IPv4 address and all its servers behind edge nodes, or "
                        "on Ethernet with an address, as the benchmark needs it")


def _ipv4_of(service: Service) -> str:
    return str(next(vip for vip in service.vip if vip.version == 4))


def _free_vip(network: Network, number: int) -> IPv4Address:
    """The address `number` after the service's, or a later address if it is a VIP already."""
    address = IPv4Address(_ipv4_of(_service_of(network))) + number
    while str(address) in map(str, network.vips):
        address += number
    return address
