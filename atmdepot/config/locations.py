"""OAM locations: 16 octets that name a node in OAM cells (ITU-T I.610, loopback location identifier)."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atmdepot.config.model import Network

_OWN_FORM = b"\x01"
"""The first octet of a location that is made here; all ones and 6A have meanings of their own."""
_DIGEST = 15


def location_of(network: Network, node: str) -> bytes:
    """The location of a node: `nodes.X.location`, or 01 and 15 octets of BLAKE2b of the network's and node's names."""
    given = network.nodes[node].location
    if given is not None:
        return bytes.fromhex(given)
    return _OWN_FORM + blake2b(f"{network.name}/{node}".encode(), digest_size=_DIGEST).digest()


def nodes_by_location(network: Network) -> dict[bytes, str]:
    """The names of all nodes by location."""
    return {location_of(network, node): node for node in network.nodes}
