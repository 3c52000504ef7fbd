"""The parts of a VC table in which the depots of a set must agree before one can take the other's sessions over.

Weights, probing, timers and bounds may differ: so a table can be reloaded at one depot after the other.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from atmdepot.config.model import Network

MOST_PARTS = 800
"""Parts that are told one by one; of more a single digest is told, since all go into one message."""


def agreement(network: Network, of: str) -> dict[str, Any]:
    """The values that the depots of the set `of` must have alike, by its place in the VC table, as plain values."""
    depots = network.sets[of]
    parts: dict[str, Any] = {f"depots.{of}.nodes": depots.nodes}
    for name, service in network.services.items():
        parts[f"services.{name}"] = [sorted(map(str, service.vip)), service.ports, sorted(service.offered)]
    for name, server in network.servers.items():
        if any(network.serves(depot, name) for depot in depots.nodes):
            channels = {str(network.session_channels(depot, name)) for depot in depots.nodes
                        if network.serves(depot, name)}
            parts[f"servers.{name}"] = [server.node, sorted(channels)]
    return parts


def digest_of(parts: dict[str, Any]) -> dict[str, str]:
    """A short digest of each part, by which two depots find the part in which they differ."""
    if len(parts) > MOST_PARTS:
        parts = {"set, services or servers": parts}
    return {place: blake2b(msgspec.json.encode(value), digest_size=4).hexdigest() for place, value in parts.items()}


def difference(own: dict[str, str], other: dict[str, str]) -> str:
    """The first part in which two digests differ, and how; empty without a difference."""
    for place in own | other:
        if place not in other:
            return f"it has no {place}"
        if place not in own:
            return f"it has {place}, which is not here"
        if own[place] != other[place]:
            return f"it has another {place}"
    return ""
