"""The needs of a depot with servers on Ethernet on its host: the kernel must not forward the servers' answers, too.

A packet socket sees a frame before the kernel's own stack, which would then route the same packet to the client. A
table of nftables drops it at the interface's ingress, after the socket has seen it.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from atmdepot.config.server_gateways import server_gateways

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.config.model import Network


def sources_at(network: Network, port: str) -> list[str]:
    """The networks from which the depot takes packets at an interface: the VIPs, and what its servers may send for."""
    allowed = [str(text) for server in network.servers.values() if server.port == port for text in server.allow]
    return list(dict.fromkeys([*(f"{vip}/{len(vip.packed) * 8}" for vip in network.vips), *allowed]))


def moving_at(network: Network, depot: str, port: str) -> list[bytes]:
    """The addresses at an interface, in octets, that move with the active depot."""
    return [ip_address(address.host).packed
            for address in server_gateways(network, network.set_of(depot)).get(port, ())]


def table_name(network: Network, depot: str, port: str) -> str:
    """The name of the table of nftables for an interface: nft knows letters, digits and '_' in a name."""
    return re.sub(r"\W", "_", f"atmdepot_{network.name}_{depot}_{port}", flags=re.ASCII)


def rules(network: Network, depot: str, port: str) -> str:
    """The input of nft that makes the table anew."""
    name = f"netdev {table_name(network, depot, port)}"
    lines = "\n".join(_drops(sources_at(network, port)))
    return (f"add table {name}\ndelete table {name}\n"
            f"table {name} {{\n    chain answers {{\n"
            f"        type filter hook ingress device \"{port}\" priority -500; policy accept;\n{lines}\n    }}\n}}\n")


def _drops(sources: list[str]) -> Iterator[str]:
    for version, family in ((4, "ip"), (6, "ip6")):
        found = [source for source in sources if (":" in source) == (version == 6)]
        if found:
            yield f"        {family} saddr {{ {', '.join(found)} }} counter drop"
