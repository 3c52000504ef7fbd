"""A part of a host's set-up."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from atmdepot.net.journal import Entry

if TYPE_CHECKING:
    from atmdepot.config.units import IpAddress


class Part(NamedTuple):
    """A route, a rule or an address that a node needs, as a pyroute2 request, or a part of another kind."""

    what: str
    arguments: dict[str, Any]
    stays: bool
    """True when the part outlives the TUN device."""
    text: str

    @property
    def entry(self) -> Entry:
        """The part's entry in the journal."""
        return Entry(self.what, self.arguments)


def family_of(address: IpAddress) -> int:
    """The socket family of an address."""
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


def bits_of(address: IpAddress) -> int:
    """The length of an address in bits."""
    return len(address.packed) * 8
