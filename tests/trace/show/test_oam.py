"""OAM cells in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.trace.show.oam import function_name, is_good, oam_text
from atmdepot.wire import layouts
from atmdepot.wire.oam import OamPayload
from tests.trace.captures import flipped

AIS = bytes.fromhex("10" + "6A" * 45 + "03B9")
LOOPBACK = bytes.fromhex("180100000001" + "FF" * 16 + "6A" * 24 + "0309")
REPLY = bytes.fromhex("180000000001" + "FF" * 16 + "6A" * 24 + "01F0")


@pytest.mark.parametrize(("payload", "text"), [
    (AIS, "AIS, CRC-10 good"),
    (bytes.fromhex("11" + "6A" * 45 + "00AF"), "RDI, CRC-10 good"),
    (bytes.fromhex("14" + "6A" * 45 + "0387"), "continuity check, CRC-10 good"),
    (LOOPBACK, "loopback request, tag 00000001, at the end point, CRC-10 good"),
    (REPLY, "loopback reply, tag 00000001, at the end point, CRC-10 good")])
def test_vectors(payload: bytes, text: str) -> None:
    """The project's facts, section 4."""
    assert oam_text(payload) == text
    assert oam_text(flipped(payload, 383)) == text.replace("good", "bad")


@pytest.mark.parametrize(("oam_type", "function", "field", "text"), [
    (1, 0, b"\x01", "AIS, defect type 01"), (1, 1, b"\x6a", "RDI"), (1, 1, b"\x00", "RDI, defect type 00"),
    (1, 8, b"\xff\xde\xad\xbe\xef" + bytes(16), f"loopback request, tag deadbeef, at {'00' * 16}"),
    (1, 8, bytes(5) + bytes(range(16)), "loopback reply, tag 00000000, at 000102030405060708090a0b0c0d0e0f"),
    (1, 2, b"", "fault management function 0010"),
    (2, 0, b"", "forward monitoring"), (2, 1, b"", "backward reporting"), (2, 3, b"",
                                                                          "performance management function 0011"),
    (8, 0, b"", "PM activation"), (8, 1, b"", "CC activation"), (8, 2, b"", "activation/deactivation function 0010"),
    (15, 0, b"", "system management function 0000"), (4, 9, b"", "OAM type 0100 function 1001"),
    (5, 0, b"", "group APS"), (5, 1, b"", "individual APS"), (5, 9, b"", "protection switching function 1001")])
def test_functions(oam_type: int, function: int, field: bytes, text: str) -> None:
    assert oam_text(OamPayload(oam_type, function, field).pack()) == f"{text}, CRC-10 good"
    assert text.startswith(function_name(oam_type, function))


@given(st.binary(min_size=46, max_size=46), st.integers(0, 63))
def test_the_crc_covers_the_six_bits_before_it(octets: bytes, reserved: int) -> None:
    """374 bits (I.610 section 10.1), those six among them, whatever they are."""
    bits = int.from_bytes(octets, "big") << 6 | reserved
    whole = (bits << 10 | layouts.crc10(bits.to_bytes(47, "big"))).to_bytes(48, "big")
    assert is_good(whole)
    for bit in (0, 367, 368, 373, 374, 383):
        assert not is_good(flipped(whole, bit))


@given(st.binary(min_size=48, max_size=48))
def test_any_payload_has_a_line(payload: bytes) -> None:
    text = oam_text(payload)
    assert text.isprintable()
    assert text.endswith("CRC-10 good" if is_good(payload) else "CRC-10 bad")
