"""Look-up of addresses in networks, with a step for each prefix length."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Networks:
    """IPv4 and IPv6 networks, written as `192.0.2.0/24`."""

    __slots__ = ("_by_mask",)

    def __init__(self, networks: Iterable[str]) -> None:
        self._by_mask: dict[tuple[int, int], set[int]] = {}
        for text in networks:
            network = ipaddress.ip_network(text)
            # The length of an address tells an IPv4 mask from an IPv6 mask of the same number.
            key = len(network.network_address.packed), int(network.netmask)
            self._by_mask.setdefault(key, set()).add(int(network.network_address))

    def hold(self, address: bytes) -> bool:
        """True when an address (4 or 16 octets) lies in a network of the set."""
        number = int.from_bytes(address, "big")
        return any(size == len(address) and number & mask in values
                   for (size, mask), values in self._by_mask.items())
