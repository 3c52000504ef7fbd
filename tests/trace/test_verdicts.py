"""A receiver's verdict on a PDU, and the number of cells that an IP packet's first cell promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import segment
from atmdepot.atm.vc import Vc
from atmdepot.drops import DropReason
from atmdepot.trace.items import CrcVerdict, Pdu, Place
from atmdepot.trace.verdicts import expected_cells, is_the_same, judge
from atmdepot.wire.aal5 import Aal5Error, CrcMode, cpcs_pdu, parse_cpcs_pdu
from atmdepot.wire.llc import Encapsulation
from tests.aal5 import abort_pdu
from tests.ip_packets import ip, udp
from tests.packets import ip_packets
from tests.trace.captures import flipped

ROUTED = st.sampled_from([Encapsulation.VC_MUX, Encapsulation.LLC])
addresses = st.sampled_from([("10.9.0.2", "10.80.0.1"), ("fd00:9::2", "fd00:80::1")])


def pdu_of(octets: bytes) -> Pdu:
    return Pdu(0, 0, Place("", "l", "in"), bytes(4), 1, 64, octets)


# How many cells.


@given(addresses, st.integers(0, 9000), ROUTED, st.booleans())
def test_the_first_cell_of_a_packet_tells_how_many_there_are(
    ends: tuple[str, str], size: int, encapsulation: Encapsulation, is_told: bool,
) -> None:
    train = segment(udp(ends[0], 1, ends[1], 2, bytes(size)), Vc(1, 64, encapsulation=encapsulation))
    assert expected_cells(train[5:53], encapsulation if is_told else None) == len(train) // 53


@pytest.mark.parametrize("length", [20, 28, 40, 41, 88, 1500, 9180, 65535])
def test_expected_cells_of_some_lengths(length: int) -> None:
    first = ip("10.0.0.1", "10.0.0.2", 17, bytes(length - 20))[:48].ljust(48, b"\0")
    assert expected_cells(first, None) == -(-(length + 8) // 48)


@pytest.mark.parametrize(("first", "encapsulation"), [
    ("00" * 48, None), ("FF" * 48, None), ("AAAA030000000806" + "00" * 40, None),
    ("AAAA03000000884745000028" + "00" * 36, Encapsulation.LLC),  # an EtherType that is not IP's
    ("45000028" + "00" * 44, Encapsulation.LLC), ("00" * 48, Encapsulation.VC_MUX),
    ("45000013" + "00" * 44, None), ("45000000" + "00" * 44, None),  # shorter than an IP header
    ("AAAA0300000008004500FFFF" + "00" * 36, None), ("60000000FFFF" + "00" * 42, None),  # more than AAL5 can carry
    ("AAAA030080C200070000" + "45" * 38, None), ("0000" + "45" * 46, Encapsulation.VC_MUX_BRIDGED)])
def test_other_payloads_promise_no_number_of_cells(first: str, encapsulation: Encapsulation | None) -> None:
    assert expected_cells(bytes.fromhex(first), encapsulation) == 0


@given(st.binary(min_size=48, max_size=48) | ip_packets.map(lambda octets: octets[:48].ljust(48, b"\0")),
       st.none() | st.sampled_from(Encapsulation))
def test_promised_cells_are_within_a_pdus_bounds(payload: bytes, encapsulation: Encapsulation | None) -> None:
    assert 0 <= expected_cells(payload, encapsulation) <= 1366


# Verdicts.


@given(st.one_of(st.binary(max_size=150), st.binary(min_size=1, max_size=150).map(cpcs_pdu),
                 st.builds(lambda sdu, bit: flipped(cpcs_pdu(sdu), bit), st.binary(min_size=1, max_size=30),
                           st.integers(0, 383)),
                 st.binary(min_size=1, max_size=150).map(lambda sdu: cpcs_pdu(sdu, crc=CrcMode.DYNAMIPS)),
                 st.just(abort_pdu())),
       st.none() | st.sampled_from(CrcMode))
def test_a_verdict_is_the_receivers(octets: bytes, mode: CrcMode | None) -> None:
    """Without a known rule, that of the most lenient receiver which still checks the CRC."""
    pdu = pdu_of(octets)
    judge(pdu, mode)
    try:
        sdu, problem = parse_cpcs_pdu(octets, crc=mode or CrcMode.DYNAMIPS).sdu, None
    except Aal5Error as error:
        sdu, problem = b"", error.reason
    assert (pdu.sdu, pdu.problem) == (sdu, problem)
    if problem is DropReason.CRC_ERROR:
        assert pdu.crc is CrcVerdict.BAD
    elif mode is not CrcMode.IGNORE and problem is None:
        assert pdu.crc in (CrcVerdict.GOOD, CrcVerdict.DYNAMIPS)
    assert pdu.length == (int.from_bytes(octets[-6:-4], "big") if len(octets) >= 8 else -1)


@given(st.binary(min_size=1, max_size=150))
def test_crc_verdicts(sdu: bytes) -> None:
    def verdict(octets: bytes, mode: CrcMode | None = None) -> CrcVerdict:
        pdu = pdu_of(octets)
        judge(pdu, mode)
        return pdu.crc

    right, dynamips = cpcs_pdu(sdu), cpcs_pdu(sdu, crc=CrcMode.DYNAMIPS)
    complement = dynamips[:-4] + bytes(octet ^ 0xFF for octet in dynamips[-4:])
    for mode in (None, *CrcMode):
        assert verdict(right, mode) is CrcVerdict.GOOD
        expected = CrcVerdict.BAD if mode is CrcMode.STRICT else CrcVerdict.DYNAMIPS
        assert verdict(dynamips, mode) is verdict(complement, mode) is expected
        assert verdict(flipped(right, 0), mode) is CrcVerdict.BAD


@pytest.mark.parametrize("count", range(8))
def test_octets_too_few_for_a_trailer_are_a_length_error(count: int) -> None:
    pdu = pdu_of(bytes(count))
    judge(pdu, None)
    assert (pdu.problem, pdu.length, pdu.pad) == (DropReason.LENGTH_ERROR, -1, -1)


# The same PDU.


@given(st.binary(min_size=1, max_size=150), st.integers(0, 192), st.integers(0, 383))
def test_twins_are_found_despite_another_crc_or_a_cut(sdu: bytes, kept: int, bit: int) -> None:
    octets = cpcs_pdu(sdu)
    pdu, kept = pdu_of(octets), min(kept, len(octets))
    assert is_the_same(pdu, octets[:kept], len(octets) - kept)
    assert is_the_same(pdu, octets[:-4] + b"\1\2\3\4", 0)
    assert not is_the_same(pdu, octets[:kept], len(octets) - kept + 48)
    damaged = flipped(octets, bit)
    in_what_is_compared = bit // 8 < min(kept, len(octets) - 4)
    assert is_the_same(pdu, damaged[:kept], len(octets) - kept) == (not in_what_is_compared)
