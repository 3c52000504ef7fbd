"""OAM payloads and their CRC-10."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire.oam import FaultFunction, OamPayload, OamType, crc10

FAULT = OamType.FAULT_MANAGEMENT
LOOPBACK_FIELD = bytes.fromhex("0100000001") + b"\xFF" * 16
PUBLISHED = {
    "10" + "6a" * 45 + "03b9": OamPayload(FAULT, FaultFunction.AIS, b""),
    "11" + "6a" * 45 + "00af": OamPayload(FAULT, FaultFunction.RDI, b""),
    "14" + "6a" * 45 + "0387": OamPayload(FAULT, FaultFunction.CONTINUITY_CHECK, b""),
    "18" + LOOPBACK_FIELD.hex() + "6a" * 24 + "0309":
        OamPayload(FAULT, FaultFunction.LOOPBACK, LOOPBACK_FIELD),
    "18" + "00" + LOOPBACK_FIELD[1:].hex() + "6a" * 24 + "01f0":
        OamPayload(FAULT, FaultFunction.LOOPBACK, b"\0" + LOOPBACK_FIELD[1:]),
}

nibble = st.integers(0, 15)


def bitwise_crc10(bits: str) -> int:
    """The remainder of x^10 M(x) by x^10 + x^9 + x^5 + x^4 + x + 1, bit by bit."""
    register = 0
    for bit in bits:
        feedback = int(bit) ^ register >> 9
        register = (register << 1 & 0x3FF) ^ (0x233 if feedback else 0)
    return register


def bits_of(octets: bytes) -> str:
    return "".join(f"{octet:08b}" for octet in octets)


def test_the_reference_has_the_published_check_value() -> None:
    assert bitwise_crc10(bits_of(b"123456789")) == 0x199


@given(st.binary(min_size=46, max_size=46))
def test_crc10_covers_374_bits(octets: bytes) -> None:
    assert crc10(octets) == bitwise_crc10(bits_of(octets) + "000000")


@pytest.mark.parametrize("octets", PUBLISHED)
def test_published_cells(octets: str) -> None:
    kind, function, field = PUBLISHED[octets]
    assert OamPayload(kind, function, field).pack().hex() == octets
    assert OamPayload.unpack(bytes.fromhex(octets)) == (kind, function, field.ljust(45, b"\x6A"))


@given(nibble, nibble, st.binary(max_size=45))
def test_round_trip(kind: int, function: int, field: bytes) -> None:
    octets = OamPayload(kind, function, field).pack()
    assert len(octets) == 48
    assert bitwise_crc10(bits_of(octets)) == 0
    assert OamPayload.unpack(octets) == (kind, function, field + b"\x6A" * (45 - len(field)))


@pytest.mark.parametrize(("payload", "told"), [
    (OamPayload(16, 0, b""), "type 16 .*write 0 to 15"), (OamPayload(-1, 0, b""), "type -1 .*write 0 to 15"),
    (OamPayload(0, 16, b""), "function 16 .*write 0 to 15"), (OamPayload(0, -1, b""), "function -1 .*write 0 to 15"),
    (OamPayload(1, 8, bytes(46)), "field has 46 octets: write at most 45")])
def test_values_beyond_their_fields_are_refused(payload: OamPayload, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        payload.pack()


@pytest.mark.parametrize(("payload", "field"), [
    (OamPayload("1", 0, b""), "type"), (OamPayload(1, None, b""), "function"),  # type: ignore[arg-type]
    (OamPayload(1, 0, "ais"), "field")])  # type: ignore[arg-type]
def test_values_of_another_type_are_refused_by_name(payload: OamPayload, field: str) -> None:
    with pytest.raises(TypeError, match=f"^{field} "):
        payload.pack()


@given(st.binary(max_size=100).filter(lambda octets: len(octets) != 48))
def test_other_sizes_are_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match=f"has 48 octets, here are {len(octets)}"):
        OamPayload.unpack(octets)


@given(nibble, nibble, st.binary(min_size=45, max_size=45),
       st.sets(st.integers(0, 383), min_size=1, max_size=3))
def test_up_to_three_wrong_bits_are_found(kind: int, function: int, field: bytes, wrong: set[int]) -> None:
    """Those among the 6 bits in front of the CRC too: it covers them."""
    number = int.from_bytes(OamPayload(kind, function, field).pack(), "big")
    for bit in wrong:
        number ^= 1 << bit
    with pytest.raises(ValueError, match="the CRC-10 is wrong"):
        OamPayload.unpack(number.to_bytes(48, "big"))


@given(st.binary(min_size=48, max_size=48))
def test_random_octets_are_refused_unless_the_crc_is_right(octets: bytes) -> None:
    if bitwise_crc10(bits_of(octets)) == 0:
        assert OamPayload.unpack(octets).field == octets[1:46]
    else:
        with pytest.raises(ValueError, match="the CRC-10 is wrong"):
            OamPayload.unpack(octets)
