"""Cells as text: what a line says, and where a PDU ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atmdepot import CellHeader, CrcMode, Encapsulation, OamPayload, Vc, segment
from atmdepot.trace.text import CellPrinter, packet_text

SYN = bytes.fromhex("4500002800004000400600000a0900020a50000103e8005000000064000000005002ffff00000000")


def lines(cells: bytes, printer: CellPrinter | None = None) -> list[str]:
    return [line.text.split("  ", 1)[1] for line in (printer or CellPrinter()).lines(0, "to-web1", "out", cells)]


def test_a_packet_of_one_cell() -> None:
    assert lines(segment(SYN, Vc(1, 64))) == [
        "to-web1 out  1/64     CLP 0  last  cell 1",
        ("to-web1 out  1/64     AAL5 PDU of 1 cell, length 40, padding 0, CRC "
        f"{segment(SYN, Vc(1, 64))[-4:].hex()} correct: "
        "IPv4 10.9.0.2:1000 > 10.80.0.1:80 TCP S seq 100 ack 0 length 0")]


def test_cells_of_two_vcs_are_kept_apart() -> None:
    one, other = segment(bytes(60), Vc(1, 64)), segment(bytes(60), Vc(1, 65), clp=1)
    told = lines(one[:53] + other[:53] + one[53:] + other[53:])
    assert [" ".join(line.split()) for line in told if "PDU" not in line] == [
        "to-web1 out 1/64 CLP 0 more cell 1", "to-web1 out 1/65 CLP 1 more cell 1",
        "to-web1 out 1/64 CLP 0 last cell 2", "to-web1 out 1/65 CLP 1 last cell 2"]
    assert sum("AAL5 PDU of 2 cells, length 60" in line for line in told) == 2


def test_wrong_crcs_and_headers_are_told() -> None:
    train = bytearray(segment(SYN, Vc(1, 64)))
    train[20] ^= 1
    assert lines(bytes(train))[-1].endswith("AAL5 PDU of 1 cell: crc-error: the CRC-32 is wrong")
    mended = bytes((train[0] ^ 0x80, *train[1:]))
    assert lines(mended)[0].endswith("cell 1  HEC bad, corrected")
    beyond = bytes((train[0] ^ 0xC0, *train[1:]))
    assert lines(beyond) == [lines(beyond)[0]]
    assert lines(beyond)[0].endswith("HEC bad")


def test_dynamips_crc_is_accepted_but_not_called_correct() -> None:
    cells = segment(SYN, Vc(1, 64, crc=CrcMode.DYNAMIPS))
    assert " accepted (dynamips): IPv4" in lines(cells, CellPrinter(crc=CrcMode.DYNAMIPS))[-1]
    assert "crc-error" in lines(cells)[-1]


def test_encapsulation_is_looked_through() -> None:
    cells = segment(SYN, Vc(1, 64, encapsulation=Encapsulation.LLC))
    assert ": IPv4 10.9.0.2:1000" in lines(cells, CellPrinter(encapsulation=Encapsulation.LLC))[-1]
    assert "is neither IPv4 nor IPv6" in lines(cells)[-1]


def test_cells_that_are_no_user_data() -> None:
    oam = CellHeader(1, 64, pti=5).pack() + OamPayload(1, 0, b"").pack()
    assert lines(oam) == ["to-web1 out  1/64     CLP 0  OAM F5 end-to-end"]


@given(st.binary(max_size=300))
def test_any_octets_have_a_line(octets: bytes) -> None:
    assert packet_text(octets)
    assert "\n" not in packet_text(octets)


@given(st.binary(min_size=53, max_size=53 * 4).map(lambda octets: octets[:len(octets) // 53 * 53]))
def test_any_cells_have_lines(cells: bytes) -> None:
    assert len(lines(cells)) >= len(cells) // 53
