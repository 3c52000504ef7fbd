"""FRF.8's translation of headers: each form by the octet, there and back, and what has no form."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire.interworking import TranslationError, frame_of_llc, llc_of_frame
from atmdepot.wire.llc import Encapsulation, decapsulate

FORMS = [
    ("03cc", "aaaa03 000000 0800"), ("038e", "aaaa03 000000 86dd"), ("030080 000000 0806", "aaaa03 000000 0806"),
    ("030080 0080c2 0007", "aaaa03 0080c2 0007 0000"), ("030080 0080c2 0001", "aaaa03 0080c2 0001 0000"),
    ("030080 0080c2 000e", "aaaa03 0080c2 000e"), ("0381", "fefe03 81")]


@pytest.mark.parametrize(("field", "llc"), FORMS)
def test_each_form_is_translated_there_and_back(field: str, llc: str) -> None:
    frame, sdu = bytes.fromhex(field) + b"rest", bytes.fromhex(llc) + b"rest"
    assert llc_of_frame(frame) == sdu
    assert frame_of_llc(sdu) == frame


def test_a_pad_before_any_nlpid_is_passed_over() -> None:
    assert llc_of_frame(bytes.fromhex("0300cc45")) == bytes.fromhex("aaaa03000000080045")


@pytest.mark.parametrize("field", ["", "03", "0300", "13cc45", "030080000000", "03008000"])
def test_frames_without_a_whole_header_are_refused(field: str) -> None:
    with pytest.raises(TranslationError):
        llc_of_frame(bytes.fromhex(field))


@pytest.mark.parametrize("sdu", [
    "", "aaaa03", "aaaa0300000008", "fefe03", "4500", "aaaa030080c200070001", "aaaa030080c20007"])
def test_sdus_without_a_whole_header_are_refused(sdu: str) -> None:
    with pytest.raises(TranslationError):
        frame_of_llc(bytes.fromhex(sdu))


@given(st.binary(max_size=40).map(lambda rest: b"\x03" + rest) | st.binary(max_size=20))
def test_what_is_translated_comes_back_as_it_was_but_for_pads(field: bytes) -> None:
    with suppress(TranslationError):
        sdu = llc_of_frame(field)
        assert llc_of_frame(frame_of_llc(sdu)) == sdu


@given(st.binary(min_size=1, max_size=40))
def test_a_translated_packet_is_what_an_atm_end_point_reads(packet: bytes) -> None:
    for header, ethertype in ((b"\x03\xcc", 0x0800), (b"\x03\x8e", 0x86DD)):
        assert decapsulate(llc_of_frame(header + packet), Encapsulation.LLC) == (ethertype, packet)
