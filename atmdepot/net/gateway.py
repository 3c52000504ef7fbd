"""The addresses that move with the active depot, on an interface of this host: set, taken away, told to the neighbours.

keepalived does this by itself; `manual` and `etcd` do it by this module.
"""

from __future__ import annotations

import fcntl
import logging
import socket
import struct
from typing import TYPE_CHECKING

from atmdepot.net.guard import set_address
from atmdepot.wire.arp import REQUEST, Arp
from atmdepot.wire.discovery import ADVERTISEMENT, ALL_NODES, Discovery, mac_of_group
from atmdepot.wire.ethernet import BROADCAST, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.config.units import InterfaceAddress

_SIOCGIFHWADDR = 0x8927
_ARP, _IPV6 = 0x0806, 0x86DD

log = logging.getLogger("atmdepot")


class Gateway:
    """The addresses of a set on an interface."""

    def __init__(self, interface: str, addresses: Sequence[InterfaceAddress]) -> None:
        """Hold addresses for an interface, which may not be there yet."""
        self.interface, self.addresses = interface, list(addresses)
        self.is_here = False
        """True when the addresses are to be here; where `trouble` says so, they may not be yet, or still be."""
        self.trouble = ""
        """The reason why an address could not be set or taken away; empty when it could."""

    def plan(self) -> list[tuple[str, str, int]]:
        """The addresses as a guard takes them away."""
        return [(self.interface, *_split(address)) for address in self.addresses]

    def has_interface(self) -> bool:
        """True while the interface is there."""
        try:
            return socket.if_nametoindex(self.interface) > 0
        except OSError:
            return False

    def is_to_be_set(self, here: bool) -> bool:
        """True where `set` has something to change, or has failed the last time."""
        return self.is_here != here or self.trouble != ""

    def set(self, here: bool) -> None:
        """Set the addresses and tell the neighbours, or take them away: each that can be, whatever becomes of another.

        What has failed is to be tried again: an address that stays would have two owners.
        """
        self.is_here = here
        failed: list[str] = []
        try:
            index = socket.if_nametoindex(self.interface)
        except OSError as error:
            failed.append(self._words(error))
        else:
            failed += self._set(index, here)
        if here and not failed:
            failed += self._told()
        trouble = "; ".join(failed)
        if trouble and trouble != self.trouble:
            log.error("%s", trouble)
        self.trouble = trouble

    def _set(self, index: int, here: bool) -> list[str]:
        """Set all addresses, or take them away; return what has failed, in words."""
        failed = []
        for address in self.addresses:
            try:
                set_address(index, *_split(address), there=here)
            except OSError as error:
                failed.append(f"{address} on {self.interface}: {error.strerror or error}")
        return failed

    def _told(self) -> list[str]:
        try:
            self.announce()
        except OSError as error:
            return [self._words(error)]
        return []

    def _words(self, error: OSError) -> str:
        return f"{', '.join(self.addresses)} on {self.interface}: {error.strerror or error}"

    def announce(self) -> None:
        """Tell all neighbours where the addresses are: gratuitous ARP, and unsolicited advertisements. Raises OSError.

        They may miss it, so it is to be repeated.
        """
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as port:
            port.bind((self.interface, 0))
            mac = _mac_of(port, self.interface)
            for address in self.addresses:
                port.send(announcement(address, mac))


def announcement(address: InterfaceAddress, mac: bytes) -> bytes:
    """The frame that tells all neighbours the MAC address that an address has now (RFC 5227 3, RFC 4861 7.2.6)."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, _split(address)[0])
    if len(packed) == 4:
        return Frame(BROADCAST, mac, _ARP, Arp(REQUEST, mac, packed, bytes(6), packed).pack()).pack()
    told = Discovery(ADVERTISEMENT, packed, ALL_NODES, packed, mac, override=True)
    return Frame(mac_of_group(ALL_NODES), mac, _IPV6, told.pack()).pack()


def _split(address: InterfaceAddress) -> tuple[str, int]:
    host, _, bits = address.partition("/")
    return host, int(bits)


def _mac_of(port: socket.socket, interface: str) -> bytes:
    told: bytes = fcntl.ioctl(port.fileno(), _SIOCGIFHWADDR, struct.pack("256s", interface.encode()[:15]))
    return told[18:24]
