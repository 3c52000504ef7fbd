"""The table of two depots of a set, which reach an edge node on a link each, for tests of sets."""

from __future__ import annotations

LOOPBACK = "127.0.0.1:5501", "127.0.0.1:5502", "127.0.0.1:5503", "127.0.0.1:5504"
"""The ends of both links: depot1's and the edge node's, depot2's and the edge node's."""


def two_depots(settings: str, more: str = "", *, name: str = "two", ends: tuple[str, str, str, str] = LOOPBACK,
               ports: int = 80) -> str:
    """The text of the table, with these settings of the set `main`, and more tables at its end."""
    return f"""
name = "{name}"
nodes.depot1.kind = "depot"
nodes.depot2.kind = "depot"
nodes.web1.kind = "edge"
servers.web1.node = "web1"
[depots.main]
nodes = ["depot1", "depot2"]
{settings}
[links.one]
ends = {{ depot1 = "{ends[0]}", web1 = "{ends[1]}" }}
[links.two]
ends = {{ depot2 = "{ends[2]}", web1 = "{ends[3]}" }}
[vps.one]
ends = ["depot1", "web1"]
vpi = 1
session_vcis = "64-1000"
[vps.two]
ends = ["depot2", "web1"]
vpi = 1
session_vcis = "64-1000"
[services.web]
vip = ["10.80.0.1"]
ports = [{ports}]
servers = ["web1"]
{more}"""
