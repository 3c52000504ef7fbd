"""The addresses that move with the active depot, on an interface of this host: set, taken away, told to the neighbours.

For some, which stand for clients, the host only answers: packets to them go on into the TUN device. keepalived does
this by itself on the clients' side; `manual` and `etcd` do it by this module.
"""

from __future__ import annotations

import fcntl
import logging
import socket
import struct
from typing import TYPE_CHECKING

from atmdepot.net import proxies
from atmdepot.net.guard import ANSWERS_FOR, set_address, set_answering
from atmdepot.wire.arp import REQUEST, Arp
from atmdepot.wire.discovery import ADVERTISEMENT, ALL_NODES, Discovery, mac_of_group
from atmdepot.wire.ethernet import BROADCAST, Frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.config.units import InterfaceAddress, IpAddress

_SIOCGIFHWADDR = 0x8927
_ARP, _IPV6 = 0x0806, 0x86DD

log = logging.getLogger("atmdepot")


class Gateway:
    """The addresses of a set on an interface."""

    def __init__(
        self, interface: str, addresses: Sequence[InterfaceAddress], answers_for: Sequence[IpAddress] = (),
    ) -> None:
        """Hold addresses for an interface, which may not be there yet, and those for which the host answers there."""
        self.interface, self.addresses, self.answers_for = interface, list(addresses), list(answers_for)
        self.is_here = False
        """True when the addresses are to be here; where `trouble` says so, they may not be yet, or still be."""
        self.trouble = ""
        """The reason why an address could not be set or taken away; empty when it could."""

    def plan(self) -> list[tuple[str, str, int]]:
        """The addresses as a guard takes them away."""
        return [*((self.interface, *_split(address)) for address in self.addresses),
                *((self.interface, str(address), ANSWERS_FOR) for address in self.answers_for)]

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
        for own in self.answers_for:
            try:
                set_answering(index, own, there=here)
                if here:
                    proxies.allow(self.interface, [own])
            except OSError as error:
                failed.append(f"{own} on {self.interface}: {error.strerror or error}")
        return failed

    def _told(self) -> list[str]:
        try:
            self.announce()
        except OSError as error:
            return [self._words(error)]
        return []

    def _words(self, error: OSError) -> str:
        every = ", ".join((*self.addresses, *self.answers_for))
        return f"{every} on {self.interface}: {error.strerror or error}"

    def announce(self) -> None:
        """Tell all neighbours where the addresses are: gratuitous ARP, and unsolicited advertisements. Raises OSError.

        They may miss it, so it is to be repeated.
        """
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as port:
            port.bind((self.interface, 0))
            mac = _mac_of(port, self.interface)
            for address in (*self.addresses, *self.answers_for):
                port.send(announcement(address, mac))


def announcement(address: str, mac: bytes) -> bytes:
    """The frame that tells all neighbours the MAC address that an address has now (RFC 5227 3, RFC 4861 7.2.6)."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address.partition("/")[0])
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
