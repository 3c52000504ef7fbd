"""Caching proxies of the lab: squid at each node that is a proxy, and the origin from which they fetch (figure 9).

The origin is a web server on a LAN of its own with the proxies, under the name `origin`. Neither the client nor the
depot is on that LAN: what comes from the origin came through a proxy. Each squid has a cache in memory alone.
"""

from __future__ import annotations

import ipaddress
from itertools import islice
from typing import TYPE_CHECKING

from atmdepot import build
from atmdepot.errors import EnvironmentLacks
from atmdepot.lab.lans import Member, clients_lan
from atmdepot.lab.pages import ORIGIN
from atmdepot.lab.servers import ethernets
from atmdepot.paths import find_program

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from atmdepot.config.model import Network

ORIGIN_LAN = "lan.origin"
"""The node that bridges the LAN of origin and proxies; no node of a table has a dot in its name."""

NETWORKS = ("198.51.100.0/24", "2001:db8:51::/64")
"""The networks of that LAN (RFC 5737, RFC 3849); the origin has the first address of each."""

FILES = ("squid.conf", "hosts", "squid.pid")
"""Files that a proxy's home has."""

_SQUID = """\
{ports}
visible_hostname {name}
pid_filename {home}/squid.pid
hosts_file {home}/hosts
# Of root's processes; an ordinary user's has no other user to be.
cache_effective_user nobody
cache_mem 64 MB
maximum_object_size_in_memory 16 MB
memory_cache_shared off
access_log none
cache_log /dev/null
coredump_dir none
dns_nameservers 127.0.0.1
netdb_filename none
pinger_enable off
logfile_rotate 0
shutdown_lifetime 0 seconds
# Who asks for the counters: the edge node beside the proxy, or the depot.
acl asker src {askers}
acl intranet src {intranet}
http_access allow manager asker
http_access deny manager
http_access allow intranet
http_access allow asker
http_access deny all
# A page tells which proxy it came through, as a page of a web server of the lab tells its server.
reply_header_access X-Served-By deny all
reply_header_add X-Served-By {name} all
"""


def proxies(network: Network) -> dict[str, str]:
    """The caching proxies that the lab runs, each with its node."""
    return {name: server.node for name, server in network.servers.items() if name in network.proxies
            and (server.stands_alone or network.nodes[server.node].kind == "edge")}


def origin_lan(network: Network) -> list[Member]:
    """The origin and the proxies' nodes on their LAN, each by its interface `origin`; empty without proxies."""
    nodes = list(dict.fromkeys(proxies(network).values()))
    if not nodes:
        return []
    networks = _networks(network)
    hosts = [islice(lan.hosts(), len(nodes) + 1) for lan in networks]
    prefixes = [lan.prefixlen for lan in networks]
    return [Member(node, ORIGIN, tuple(f"{host}/{prefix}" for host, prefix in zip(own, prefixes, strict=True)))
            for node, own in zip((ORIGIN, *nodes), zip(*hosts, strict=True), strict=True)]


def lay_out(home: Path, network: Network, name: str, ports: Iterable[int]) -> list[str]:
    """Write a proxy's configuration; return the command that runs it. Raises EnvironmentLacks without squid."""
    if find_program("squid") is None:
        raise EnvironmentLacks("the table has caching proxies, and squid is not installed: install squid")
    home.mkdir(exist_ok=True)
    (home / "squid.conf").write_text(_SQUID.format(
        ports="\n".join(f"http_port {port}" for port in ports), name=name, home=home,
        askers=" ".join(_askers(network)), intranet=" ".join(network.lab.networks)), encoding="ascii")
    origin = [next(iter(lan.hosts())) for lan in _networks(network)]
    (home / "hosts").write_text("".join(f"{address} {ORIGIN}\n" for address in origin), encoding="ascii")
    return build.python("-m", "atmdepot.lab.squid", str(home))


def _networks(network: Network) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks of the origin's LAN: those of the IP versions that the clients have."""
    versions = {ipaddress.ip_network(text).version for text in network.lab.networks}
    return [lan for lan in map(ipaddress.ip_network, NETWORKS) if lan.version in versions]


def _askers(network: Network) -> list[str]:
    """The addresses from which proxies are asked for their counters: the VIPs at an edge node, else the depots' own."""
    members = [*clients_lan(network), *(member for lan in ethernets(network).values() for member in lan)]
    own = [str(ipaddress.ip_interface(address).ip) for member in members if member.node in network.depots
           for address in member.addresses]
    own += [str(address) for depot in network.depots for address in network.nodes[depot].address]
    # Where headers are rewritten, these stand for all who ask, clients too.
    own += [str(address) for server in network.servers.values() for address in server.pool or ()]
    return list(dict.fromkeys((*map(str, network.vips), *own)))
