"""Values by IP network, found by the longest prefix of an address, as routes are (RFC 1812 section 5.2.4.3)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


class PrefixTable(Generic[T]):
    """A value for each network. A look-up asks for each prefix length in the table once, the longest first."""

    def __init__(self, entries: Iterable[tuple[str, T]] = ()) -> None:
        """Enter networks, written `192.0.2.0/24`, with their values; of two equal networks the first counts."""
        found: dict[int, dict[int, dict[int, T]]] = {}
        for text, value in entries:
            network = ipaddress.ip_network(text)
            size, shift = network.max_prefixlen // 8, network.max_prefixlen - network.prefixlen
            of_length = found.setdefault(size, {}).setdefault(shift, {})
            of_length.setdefault(int(network.network_address) >> shift, value)
        self._by_size = {size: sorted(lengths.items()) for size, lengths in found.items()}

    def __bool__(self) -> bool:
        return bool(self._by_size)

    def find(self, address: bytes) -> T | None:
        """The value of the longest network that holds an address of 4 or 16 octets, or None."""
        number = int.from_bytes(address, "big")
        for shift, values in self._by_size.get(len(address), ()):
            value = values.get(number >> shift)
            if value is not None:
                return value
        return None
