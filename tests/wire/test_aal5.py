"""The CPCS-PDU of AAL5, and cutting it into cells."""

from __future__ import annotations

import random
import zlib
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atmdepot.drops import DropReason
from atmdepot.wire.aal5 import (
    Aal5Error,
    CpcsPdu,
    CrcMode,
    cells_needed,
    cpcs_pdu,
    crc32,
    parse_cpcs_pdu,
    to_cells,
)
from tests.aal5 import abort_pdu
from tests.effort import examples
from tests.packets import octet, sdus

HEADER, LAST = b"head0", b"last1"
lengths = st.one_of(st.integers(1, 400), st.integers(1, 65535),
                    st.integers(1, 1365).flatmap(lambda n: st.integers(48 * n - 10, 48 * n - 6)))


def octets_of(length: int) -> bytes:
    """Octets that look random, the same each time."""
    return random.Random(length).randbytes(length)


def with_crc(body: bytes) -> bytes:
    """A PDU with the right CRC over whatever stands before it."""
    return body + crc32(body).to_bytes(4, "big")


def pdu_of(sdu: bytes, pad: bytes, length: int) -> bytes:
    return with_crc(sdu + pad + bytes(2) + length.to_bytes(2, "big"))


def reason_of(pdu: bytes, **options: object) -> DropReason:
    with pytest.raises(Aal5Error) as caught:
        parse_cpcs_pdu(pdu, **options)  # type: ignore[arg-type]
    return caught.value.reason


def invert(pdu: bytes, bits: set[int]) -> bytes:
    number = int.from_bytes(pdu, "big")
    for bit in bits:
        number ^= 1 << bit
    return number.to_bytes(len(pdu), "big")


# ── published vectors ──

def test_crc_check_value() -> None:
    assert crc32(b"123456789") == 0xFC891918


@pytest.mark.parametrize(("sdu", "crc"), [
    (bytes(40), "864d7f99"), (b"\xFF" * 40, "c55e457a"), (bytes(range(1, 41)), "bf671ed0")])
def test_published_pdus(sdu: bytes, crc: str) -> None:
    assert cpcs_pdu(sdu) == sdu + bytes.fromhex("00000028" + crc)


@pytest.mark.parametrize(("length", "count"), [
    (1, 1), (40, 1), (41, 2), (88, 2), (89, 3), (1500, 32), (9180, 192), (65535, 1366)])
def test_cells_of_a_packet(length: int, count: int) -> None:
    assert cells_needed(length) == count
    assert len(cpcs_pdu(octets_of(length))) == count * 48


@pytest.mark.parametrize("length", [-1, 0, 65536])
def test_no_cells_of_another_length(length: int) -> None:
    with pytest.raises(ValueError, match=f"^length {length} .*: write 1 to 65535"):
        cells_needed(length)


@pytest.mark.parametrize("wrong", [-1, 256, 300])
@pytest.mark.parametrize("field", ["uu", "cpi"])
def test_a_trailer_field_that_does_not_fit_is_named_with_its_range(field: str, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"^{field} {wrong} .*: write 0 to 255"):
        cpcs_pdu(b"sdu", **{field: wrong})  # type: ignore[arg-type]


# ── round trips ──

@pytest.mark.parametrize("crc", CrcMode)
def test_every_short_length_round_trips(crc: CrcMode) -> None:
    for length in range(1, 201):
        sdu = octets_of(length)
        assert parse_cpcs_pdu(cpcs_pdu(sdu, crc=crc), crc=crc) == CpcsPdu(sdu, 0, 0)


@given(lengths, octet, octet, st.sampled_from(CrcMode))
@examples(60)
def test_any_length_round_trips(length: int, uu: int, cpi: int, crc: CrcMode) -> None:
    sdu = octets_of(length)
    pdu = cpcs_pdu(sdu, uu=uu, cpi=cpi, crc=crc)
    assert len(pdu) == 48 * cells_needed(length)
    assert pdu[:length] == sdu
    assert not any(pdu[length:-8])
    assert pdu[-8:-4] == bytes((uu, cpi)) + length.to_bytes(2, "big")
    assert parse_cpcs_pdu(pdu, crc=crc) == CpcsPdu(sdu, uu, cpi)


@pytest.mark.parametrize("length", [0, 65536])
def test_no_pdu_of_another_length(length: int) -> None:
    with pytest.raises(ValueError, match=f"an AAL5 SDU has 1 to 65535 octets, this one has {length}"):
        cpcs_pdu(bytes(length))


@given(sdus, st.data())
def test_a_pad_may_hold_any_octets(sdu: bytes, data: st.DataObject) -> None:
    size = -(len(sdu) + 8) % 48
    pad = data.draw(st.binary(min_size=size, max_size=size))
    assert parse_cpcs_pdu(pdu_of(sdu, pad, len(sdu))).sdu == sdu


# ── errors ──

@pytest.mark.parametrize("crc", CrcMode)
def test_length_0_is_an_abort(crc: CrcMode) -> None:
    assert len(abort_pdu()) == 48
    assert reason_of(abort_pdu(), crc=crc) is DropReason.ABORTED
    assert reason_of(with_crc(bytes(48 * 5 - 4)), crc=crc) is DropReason.ABORTED


@given(sdus)
def test_every_wrong_length_field_is_an_error(sdu: bytes) -> None:
    pad = bytes(-(len(sdu) + 8) % 48)
    room = len(sdu) + len(pad)
    for length in (room + 1, room + 48, 65535, room - 48, room - 49, 1):
        if length >= 1 and not room - 47 <= length <= room:
            assert reason_of(pdu_of(sdu, pad, length)) is DropReason.LENGTH_ERROR


def test_the_pad_is_0_to_47_octets() -> None:
    for length in range(1, 200):
        for count in range(1, 6):
            pdu = pdu_of(bytes(count * 48 - 8), b"", length)
            if cells_needed(length) == count:
                assert parse_cpcs_pdu(pdu).sdu == bytes(length)
            else:
                assert reason_of(pdu) is DropReason.LENGTH_ERROR


@given(st.binary(max_size=200))
def test_octets_that_are_no_whole_cells(octets: bytes) -> None:
    assume(len(octets) % 48 or not octets)
    for crc in CrcMode:
        assert reason_of(octets, crc=crc) is DropReason.LENGTH_ERROR


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_max_sdu(length: int, max_sdu: int) -> None:
    pdu = cpcs_pdu(octets_of(length))
    if length > max_sdu:
        assert reason_of(pdu, max_sdu=max_sdu) is DropReason.OVERSIZE
    else:
        assert parse_cpcs_pdu(pdu, max_sdu=max_sdu).sdu == octets_of(length)


@given(st.binary(min_size=1, max_size=200), st.sampled_from(CrcMode))
def test_every_truncation_is_an_error(sdu: bytes, crc: CrcMode) -> None:
    pdu = cpcs_pdu(sdu, crc=crc)
    for size in range(len(pdu)):
        # Without a CRC, whole cells of a PDU may look like another.
        with suppress(Aal5Error) if crc is CrcMode.IGNORE and size % 48 == 0 else pytest.raises(Aal5Error):
            parse_cpcs_pdu(pdu[:size], crc=crc)


@given(st.integers(0, 10).flatmap(lambda n: st.binary(min_size=48 * n, max_size=48 * n)),
       st.sampled_from(CrcMode))
def test_random_octets_are_an_error_or_a_pdu(octets: bytes, crc: CrcMode) -> None:
    try:
        pdu = parse_cpcs_pdu(octets, crc=crc)
    except Aal5Error as error:
        assert error.reason in (DropReason.CRC_ERROR, DropReason.LENGTH_ERROR, DropReason.ABORTED)  # noqa: PT017
    else:
        assert octets.startswith(pdu.sdu)
        assert cells_needed(len(pdu.sdu)) * 48 == len(octets)


# A CRC-32 finds up to 3 wrong bits in PDUs of this size, and every burst of up to 32.

@given(sdus, st.data())
def test_up_to_three_wrong_bits_are_found(sdu: bytes, data: st.DataObject) -> None:
    pdu = cpcs_pdu(sdu)
    wrong = data.draw(st.sets(st.integers(0, len(pdu) * 8 - 1), min_size=1, max_size=3))
    assert reason_of(invert(pdu, wrong)) is DropReason.CRC_ERROR


@given(sdus, st.integers(1, 0xFFFFFFFF), st.data())
def test_every_burst_of_32_bits_is_found(sdu: bytes, burst: int, data: st.DataObject) -> None:
    pdu = cpcs_pdu(sdu)
    shift = data.draw(st.integers(0, len(pdu) * 8 - 32))
    assert reason_of(invert(pdu, {n + shift for n in range(32) if burst >> n & 1})) is DropReason.CRC_ERROR


@given(st.binary(min_size=41, max_size=400), sdus, st.sampled_from(CrcMode))
def test_a_lost_last_cell_merges_two_pdus_into_an_error(first: bytes, second: bytes, crc: CrcMode) -> None:
    """Also where the CRC is not looked at: the merged PDU has more cells than its Length."""
    merged = cpcs_pdu(first, crc=crc)[:-48] + cpcs_pdu(second, crc=crc)
    expected = DropReason.LENGTH_ERROR if crc is CrcMode.IGNORE else DropReason.CRC_ERROR
    assert reason_of(merged, crc=crc) is expected


# ── the CRC that a VC writes and accepts ──

def crcs_of(body: bytes) -> dict[str, int]:
    computed = zlib.crc32(body)
    return {"right": crc32(body), "bridge": computed, "pa-a1": computed ^ 0xFFFFFFFF, "none": 0x12345678}


ACCEPTED = {CrcMode.STRICT: {"right"}, CrcMode.DYNAMIPS: {"right", "bridge", "pa-a1"},
            CrcMode.IGNORE: {"right", "bridge", "pa-a1", "none"}}


@given(sdus, st.sampled_from(CrcMode))
def test_a_crc_mode_may_be_given_by_its_value(sdu: bytes, crc: CrcMode) -> None:
    assert cpcs_pdu(sdu, crc=crc.value) == cpcs_pdu(sdu, crc=crc)
    assert parse_cpcs_pdu(cpcs_pdu(sdu, crc=crc), crc=crc.value).sdu == sdu


@pytest.mark.parametrize("wrong", ["foo", "STRICT", None])
def test_another_crc_mode_is_refused_with_those_there_are(wrong: str) -> None:
    for call in (cpcs_pdu, parse_cpcs_pdu):
        with pytest.raises(ValueError, match=r"^crc .*: write one of strict, dynamips, ignore$"):
            call(bytes(48), crc=wrong)  # type: ignore[operator]


def test_dynamips_published_pdu() -> None:
    assert cpcs_pdu(bytes(40), crc=CrcMode.DYNAMIPS).hex() == "00" * 40 + "00000028" + "b691cee6"


@given(sdus, st.sampled_from(CrcMode))
def test_which_crcs_a_vc_accepts(sdu: bytes, crc: CrcMode) -> None:
    body = cpcs_pdu(sdu)[:-4]
    for name, written in crcs_of(body).items():
        pdu = body + written.to_bytes(4, "big")
        if name in ACCEPTED[crc]:
            assert parse_cpcs_pdu(pdu, crc=crc).sdu == sdu
        else:
            assert reason_of(pdu, crc=crc) is DropReason.CRC_ERROR


@given(sdus)
def test_which_crc_a_vc_writes(sdu: bytes) -> None:
    crcs = crcs_of(cpcs_pdu(sdu)[:-4])
    written = {crc: int.from_bytes(cpcs_pdu(sdu, crc=crc)[-4:], "big") for crc in CrcMode}
    assert written == {CrcMode.STRICT: crcs["right"], CrcMode.IGNORE: crcs["right"],
                       CrcMode.DYNAMIPS: crcs["bridge"]}


# ── cells ──

@given(lengths)
@examples(40)
def test_a_pdu_becomes_a_train_of_cells(length: int) -> None:
    pdu = cpcs_pdu(octets_of(length))
    train = to_cells(pdu, HEADER, LAST)
    chunks = [pdu[at:at + 48] for at in range(0, len(pdu), 48)]
    assert train == b"".join(HEADER + chunk for chunk in chunks[:-1]) + LAST + chunks[-1]
