"""The filter of a packet port, run by a plain interpreter of its few instructions."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.net.packet_filter import WHOLE, program
from atmdepot.wire.arp import REPLY, Arp
from atmdepot.wire.discovery import ADVERTISEMENT, Discovery
from atmdepot.wire.ethernet import Frame, mac_of
from atmdepot.wire.frame_records import TAGGED
from atmdepot.wire.llc import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from tests.effort import examples
from tests.ip_packets import ACK, tcp

US, SERVER = mac_of("depot"), mac_of("web1")
VIPS = ["10.80.0.1/32", "fd00:80::1/128"]


def run(code: bytes, frame: bytes, *, tagged: bool = False) -> int:
    """The result of a program for a frame; a load beyond the frame drops it, as in the kernel."""
    steps = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    at = value = 0
    while True:
        operation, yes, no, number = steps[at]
        at += 1
        match operation:
            case 0x06:
                return number
            case 0x15:
                at += yes if value == number else no
            case 0x54:
                value &= number
            case _:
                size = {0x20: 4, 0x28: 2, 0x30: 1}[operation]
                if number >= 0xFFFFF000:
                    value = int(tagged)
                elif number + size > len(frame):
                    return 0
                else:
                    value = int.from_bytes(frame[number:number + size], "big")


def frame(source: str) -> bytes:
    client = "fd00:9::2" if ":" in source else "10.9.0.2"
    ethertype = ETHERTYPE_IPV6 if ":" in source else ETHERTYPE_IPV4
    return Frame(US, SERVER, ethertype, tcp(source, 80, client, 4000, ACK)).pack()


@pytest.mark.parametrize("source", ["10.80.0.1", "fd00:80::1"])
def test_answers_are_taken_and_nothing_else_of_ip(source: str) -> None:
    assert run(program(VIPS), frame(source)) == WHOLE
    assert run(program(VIPS), frame("10.60.0.11" if "." in source else "fd00:60::11")) == 0


def test_a_tagged_answer_is_cut_to_less_than_a_header() -> None:
    assert run(program(VIPS), frame("10.80.0.1"), tagged=True) == TAGGED


def test_words_about_addresses_are_taken() -> None:
    arp = Arp(REPLY, SERVER, bytes((10, 60, 0, 11)), US, bytes((10, 60, 0, 1)))
    assert run(program(VIPS), Frame(US, SERVER, ETHERTYPE_ARP, arp.pack()).pack()) == WHOLE
    told = Discovery(ADVERTISEMENT, bytes(15) + b"\1", bytes(15) + b"\2", bytes(15) + b"\1", SERVER, True, True)
    assert run(program(VIPS), Frame(US, SERVER, ETHERTYPE_IPV6, told.pack()).pack()) == WHOLE


@examples(200)
@given(networks=st.lists(st.ip_addresses(), min_size=1, max_size=8), bits=st.integers(0, 32), source=st.ip_addresses(),
       inside=st.booleans())
def test_networks_are_matched_as_ipaddress_does(
    networks: list[ipaddress.IPv4Address | ipaddress.IPv6Address], bits: int,
    source: ipaddress.IPv4Address | ipaddress.IPv6Address, inside: bool,
) -> None:
    found = [ipaddress.ip_network((address, min(bits * (1 + 3 * (address.version == 6)), address.max_prefixlen)),
                                  strict=False) for address in networks]
    source = found[0][0] if inside else source
    wanted = any(source in network for network in found)
    assert run(program(map(str, found)), frame(str(source))) == (WHOLE if wanted else 0)


def test_more_networks_than_a_jump_spans_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        program([f"10.{number}.0.0/16" for number in range(100)])


@given(st.binary(max_size=80))
def test_any_octets_end_the_program(octets: bytes) -> None:
    assert run(program(VIPS), octets) in (0, WHOLE)
