"""The filter of the watch port, run by a small interpreter of the classic BPF."""

from __future__ import annotations

from ipaddress import ip_address
from struct import iter_unpack

import pytest

from atmdepot.net.watch import bpf_for
from tests.net.nodes import CLIENT, CLIENT6, VIP, VIP6, ping, tcp

INCOMING, OTHER_HOST, OUTGOING = 0, 3, 4


def passes(program: bytes, packet: bytes, packet_type: int = OTHER_HOST) -> int:
    """The result of a program for a packet."""
    instructions = list(iter_unpack("=HBBI", program))
    at = value = 0
    while True:
        code, if_true, if_false, number = instructions[at]
        at += 1
        if code == 0x20:
            value = packet_type if number == 0xFFFFF004 else int.from_bytes(packet[number:number + 4], "big")
        elif code == 0x30:
            value = packet[number]
        elif code == 0x74:
            value >>= number
        elif code == 0x15:
            at += if_true if value == number else if_false
        else:
            assert code == 0x06
            return number


@pytest.fixture(scope="module")
def program() -> bytes:
    return bpf_for([ip_address("10.80.0.7"), ip_address(VIP), ip_address(VIP6)])


@pytest.mark.parametrize("packet", [tcp(CLIENT, 40_000, VIP, 80, 2), tcp(CLIENT6, 40_000, VIP6, 80, 2),
                                    ping(CLIENT, "10.80.0.7")])
def test_packets_for_a_service_address_pass_whole(program: bytes, packet: bytes) -> None:
    assert passes(program, packet) > 65_535
    assert passes(program, packet, INCOMING) > 65_535


@pytest.mark.parametrize("packet", [tcp(VIP, 80, CLIENT, 40_000, 18), tcp(CLIENT, 40_000, "10.80.0.2", 80, 2),
                                    tcp(CLIENT6, 40_000, VIP6[:-1] + "2", 80, 2), tcp(VIP6, 80, CLIENT6, 40_000, 18)])
def test_other_packets_do_not(program: bytes, packet: bytes) -> None:
    assert passes(program, packet) == 0


def test_what_this_host_sends_itself_is_no_copy(program: bytes) -> None:
    assert passes(program, tcp(CLIENT, 40_000, VIP, 80, 2), OUTGOING) == 0
