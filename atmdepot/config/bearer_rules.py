"""The rules of each bearer for the servers behind it: a row for each, by its name in the VC table (`bearer`).

A new bearer takes its row here, its name and keys in `config/pools.py`, and its row in `bearer/registry.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.pools import REWRITE_PORT
from atmdepot.config.problem import Problem, list_of
from atmdepot.config.rewrite_rules import names_taken, rewrite_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.config.model import Network
    from atmdepot.config.pools import BearerName, Server

_KEYS_OF: dict[str, tuple[BearerName, ...]] = {
    "port": ("ethernet", "rewrite"), "mac": ("ethernet",), "source": ("rewrite",), "pool": ("rewrite",),
    "listen_port": ("rewrite",)}
"""The keys of a server that only some bearers have."""


def server_problems(network: Network) -> Iterator[Problem]:
    """Every mistake in the servers' bearers, and in their nodes and other keys that depend on these."""
    behind: dict[str, str] = {}
    yield from names_taken(network, REWRITE_PORT)
    for name, server in network.servers.items():
        for key, bearers in _KEYS_OF.items():
            if getattr(server, key) is not None and server.bearer not in bearers:
                have = " or ".join(f"\"{bearer}\"" for bearer in bearers)
                yield Problem(("servers", name, key), f"only a server with bearer = {have} has it, and this one's is "
                                                      f"\"{server.bearer}\": leave it out")
        if server.stands_alone:
            yield from _alone(network, name, server)
        else:
            yield from _behind_a_node(network, name, server, behind)
        yield from RULES[server.bearer](network, name, server)


def _alone(network: Network, name: str, server: Server) -> Iterator[Problem]:
    if server.node != name:
        yield Problem(("servers", name, "node"), f"a server with bearer = \"{server.bearer}\" has no edge node: leave "
                                                 "it out")
    elif name in network.nodes:
        yield Problem(("servers", name), f"there is a node \"{name}\", and this server has no edge node: write another "
                                         "name")


def _behind_a_node(network: Network, name: str, server: Server, behind: dict[str, str]) -> Iterator[Problem]:
    path = ("servers", name, "node")
    node = network.nodes.get(server.node)
    if node is None:
        yield Problem(path, f"there is no node \"{server.node}\": {list_of('nodes', network.nodes)}" if server.node else
                      "the server stands behind an edge node: name it, or write another bearer")
    elif node.kind in ("depot", "switch"):
        what = f"a {node.kind}"
        yield Problem(path, f"\"{server.node}\" is {what}: a server stands behind an edge node")
    if server.node in behind:
        yield Problem(path, f"the server \"{behind[server.node]}\" is already behind \"{server.node}\": give this "
                            "one an edge node of its own")
    behind[server.node] = name


def _ethernet(network: Network, name: str, server: Server) -> Iterator[Problem]:
    if server.port is None:
        yield Problem(("servers", name, "port"), "a server with bearer = \"ethernet\" is at an interface of the "
                                                 "depot's: write port = \"eth1\"")
    elif server.port in network.links:
        yield Problem(("servers", name, "port"), f"a link has the name \"{server.port}\" too: write another name "
                                                 "for the link")
    elif any(server.port == network.nodes[depot].device for depot in network.depots):
        yield Problem(("servers", name, "port"), f"\"{server.port}\" is the depot's TUN device: write the interface "
                                                 "that leads to the server")
    if server.mac is not None:
        if int(server.mac[:2], 16) & 1 or set(server.mac) <= set("0:"):
            yield Problem(("servers", name, "mac"), f"{server.mac} is no station's address: write that of the "
                                                    "server's interface")
    elif not server.address:
        yield Problem(("servers", name, "address"), "the depot finds the server by its own address on the Ethernet: "
                                                    "write address = [\"192.0.2.10\"], or its mac")


RULES: dict[BearerName, Callable[[Network, str, Server], Iterator[Problem]]] = {
    "atm": lambda *_: iter(()), "ethernet": _ethernet, "frame-relay": lambda *_: iter(()), "rewrite": rewrite_problems}
"""By `servers.X.bearer`. What a server behind ATM needs, the rules of VPs check (`config/rules.py`); behind Frame
Relay, those of its links and PVCs (`config/relay_rules.py`)."""
