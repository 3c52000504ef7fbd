"""VC tables of Frame Relay for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.config.reading import parse
from tests.network_in_memory import VIP4, VIP6

if TYPE_CHECKING:
    from atmdepot.config.model import Network


def relay_table(
        *, servers: int = 2, dlcis: str = 'session_dlcis = "200-991"', lmi: str = "", tables: str = "",
        via: bool = False, name: str = "relay",
) -> str:
    """A depot and `servers` edge nodes, on a link each, or on the ports of a foreign switch (`via`)."""
    names = [f"web{n + 1}" for n in range(servers)]
    lines = [f'name = "{name}"', '[nodes.depot]', 'kind = "depot"', 'address = ["10.255.0.1", "fd00:255::1"]']
    if via:
        lines += ["[nodes.frsw]", 'kind = "external"', *_link("depot", "frsw", 6000, lmi)]
    for number, node in enumerate(names, 1):
        lines += [f"[nodes.{node}]", 'kind = "edge"', f'address = ["10.255.0.{number + 1}"]',
                  *_link("frsw" if via else "depot", node, 6000 + 10 * number, lmi),
                  f"[dlcis.{node}]", f'ends = ["depot", "{node}"]', f"dlci = {99 + number}", dlcis,
                  *(['via = "frsw"', f"management_dlci = {20 + number}"] if via else []),
                  f"[servers.{node}]", 'bearer = "frame-relay"', f'node = "{node}"']
    lines += ["[services.web]", f'vip = ["{VIP4}", "{VIP6}"]', "ports = [80]", 'protocols = ["tcp", "udp"]',
              f"servers = {names}", tables]
    return "\n".join(lines)


def _link(one: str, other: str, port: int, lmi: str) -> list[str]:
    ends = f'ends = {{ {one} = "127.0.0.1:{port}", {other} = "127.0.0.1:{port + 1}" }}'
    return [f"[links.{one}-{other}]", 'bearer = "frame-relay"', ends, lmi]


def relay_network(**values: Any) -> Network:
    """The network of `relay_table`."""
    return parse(relay_table(**values), "relay.toml")
