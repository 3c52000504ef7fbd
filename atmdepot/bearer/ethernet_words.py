"""Questions and answers about MAC addresses on an Ethernet: ARP and neighbour discovery."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.wire.arp import REPLY, REQUEST, Arp, parse_arp
from atmdepot.wire.discovery import (
    ADVERTISEMENT,
    SOLICITATION,
    Discovery,
    group_of,
    is_discovery,
    mac_of_group,
    parse_discovery,
)
from atmdepot.wire.ethernet import BROADCAST, HEADER_SIZE, Frame
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV6

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_MAC, _NO_IP = bytes(6), bytes(4)


class Word(NamedTuple):
    """The word that a station is at a MAC address; `answers` a question of ours."""

    address: bytes
    mac: bytes
    answers: bool


def is_word(octets: bytes) -> bool:
    """True for a frame of ARP or neighbour discovery."""
    ethertype = int.from_bytes(octets[12:HEADER_SIZE], "big")
    return ethertype == ETHERTYPE_ARP or (ethertype == ETHERTYPE_IPV6 and is_discovery(octets[HEADER_SIZE:]))


def word_in(octets: bytes, mac: bytes, own: Mapping[int, bytes]) -> Word | None:
    """The word in a frame of ARP or neighbour discovery; None when it names no MAC address.

    `mac` and `own` are the MAC and IP addresses (by length) of the port at which it came.

    Raises ArpError or DiscoveryError.
    """
    is_ours, payload = octets[:6] == mac, octets[HEADER_SIZE:]
    if int.from_bytes(octets[12:HEADER_SIZE], "big") == ETHERTYPE_ARP:
        told = parse_arp(payload)
        return Word(told.sender, told.sender_mac,
                    is_ours and told.operation == REPLY and told.target == own.get(4, _NO_IP))
    message = parse_discovery(payload)
    if message.kind == ADVERTISEMENT:
        # An answer to a single node need not repeat the MAC address to which it was asked.
        return Word(message.target, message.mac or octets[6:12], is_ours and message.solicited)
    return None if message.mac is None else Word(message.source, message.mac, answers=False)


def question_of(port: bytes, own: Mapping[int, bytes], address: bytes, mac: bytes | None) -> Frame:
    """A question for a station's address: to all, or to the MAC address at which it was last; `port` is the port's."""
    mine = own.get(len(address), _NO_IP)
    if len(address) == len(_NO_IP):
        message = Arp(REQUEST, port, mine, _NO_MAC, address)
        return Frame(BROADCAST if mac is None else mac, port, ETHERTYPE_ARP, message.pack())
    group = group_of(address)
    asked = Discovery(SOLICITATION, mine, group if mac is None else address, address, port)
    return Frame(mac_of_group(group) if mac is None else mac, port, ETHERTYPE_IPV6, asked.pack())
