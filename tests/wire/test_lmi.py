"""LMI messages: vectors of Dynamips, the layout, tshark, and messages that are cut short or lie."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire.lmi import (
    ENQUIRY,
    FULL,
    GREATEST_STATUS,
    INTEGRITY,
    SINGLE,
    STATUS,
    LmiError,
    Message,
    PvcStatus,
    next_sequence,
    parse_lmi,
)
from atmdepot.wire.relay_layouts import LMI
from tests.relay_capture import write_frames

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wireshark import Wireshark

_numbers = st.integers(0, 255)
_pvcs = st.lists(st.builds(PvcStatus, st.integers(0, 1023), st.booleans(), st.booleans()), max_size=5).map(tuple)
_messages = st.one_of(
    st.builds(Message, st.just(ENQUIRY), st.sampled_from([FULL, INTEGRITY]), _numbers, _numbers, st.just(())),
    st.builds(Message, st.just(STATUS), st.sampled_from([FULL, INTEGRITY]), _numbers, _numbers, _pvcs),
    st.builds(Message, st.just(STATUS), st.just(SINGLE), st.just(0), st.just(0), _pvcs))
_REPORTS = {FULL: "full_status", INTEGRITY: "link_integrity", SINGLE: "single_pvc"}


def test_an_enquiry_begins_as_dynamips_wants_it() -> None:
    """Its switch compares the first seven octets, and refuses report types above 1."""
    assert Message(ENQUIRY, FULL, 1, 0).pack() == bytes.fromhex("0001 0308 0075 95 010100 03020100")


def test_the_answer_of_dynamips_is_read() -> None:
    """DLCIs in ascending order, all of them active."""
    octets = bytes.fromhex("0001 0308 007d 95 010100 03020102 0703018082 070306a082")
    answer = parse_lmi(octets)
    assert (answer.kind, answer.report, answer.sent, answer.heard) == (STATUS, FULL, 1, 2)
    assert answer.pvcs == (PvcStatus(16), PvcStatus(100))


@given(_messages)
def test_a_message_is_that_of_the_layout(message: Message) -> None:
    fields: dict[str, Any] = {
        "message_type": message.kind, "report": {"type": _REPORTS[message.report]},
        "integrity": {"send_sequence": message.sent, "receive_sequence": message.heard},
        "pvcs": [{"pvc": {"dlci_high": pvc.dlci >> 4, "dlci_low": pvc.dlci & 15, "new": pvc.new, "active": pvc.active}}
                 for pvc in message.pvcs]}
    octets = LMI.build(fields)
    assert message.pack() == octets
    assert parse_lmi(octets) == message
    assert LMI.parse(octets).report.type == _REPORTS[message.report]


def test_sequence_numbers_skip_0() -> None:
    assert [next_sequence(n) for n in (0, 1, 254, 255)] == [1, 2, 255, 1]


def test_all_dlcis_of_a_link_fit_the_greatest_status() -> None:
    pvcs = tuple(PvcStatus(dlci) for dlci in range(16, 992))
    octets = Message(STATUS, FULL, 1, 1, pvcs).pack()
    assert (len(octets), parse_lmi(octets).pvcs) == (GREATEST_STATUS, pvcs)


_WHOLE = Message(STATUS, FULL, 9, 8, (PvcStatus(100),)).pack()


@pytest.mark.parametrize("octets", [
    *(_WHOLE[:cut] for cut in range(len(_WHOLE)) if cut != 14),
    _WHOLE + b"\7", _WHOLE + b"\7\3\0", b"\xfc" + _WHOLE[1:], _WHOLE[:5] + b"\x76" + _WHOLE[6:],
    Message(ENQUIRY, SINGLE).pack(), Message(ENQUIRY, FULL, 1, 1, (PvcStatus(100),)).pack(),
    Message(STATUS, 3, 1, 1).pack(), bytes.fromhex("0001 0308 007d 95 03020101 010100"),
    bytes.fromhex("0001 0308 007d 95 010100 0301 01"), bytes.fromhex("0001 0308 007d 95 010100 03020101 0702 0080"),
    bytes.fromhex("0001 0308 007d 95 010100 03020101 0703 000082")])
def test_messages_that_are_cut_short_or_lie_are_refused(octets: bytes) -> None:
    with pytest.raises(LmiError):
        parse_lmi(octets)


def test_q_933_is_told_by_its_name() -> None:
    with pytest.raises(LmiError, match=r"Q\.933"):
        parse_lmi(bytes.fromhex("0001 0308 0075 51 0100 5302 0100"))


def test_unknown_elements_are_passed_over() -> None:
    assert parse_lmi(_WHOLE + bytes.fromhex("2a03 010203")) == parse_lmi(_WHOLE)


@given(st.binary(max_size=30).map(lambda tail: _WHOLE[:9] + tail) | st.binary(max_size=40))
def test_any_octets_are_a_message_or_refused(octets: bytes) -> None:
    with suppress(LmiError):
        message = parse_lmi(octets)
        assert all(0 <= pvc.dlci < 1024 for pvc in message.pvcs)


@pytest.mark.tshark
def test_tshark_reads_our_messages(tshark: Wireshark, tmp_path: Path) -> None:
    sent = [Message(ENQUIRY, INTEGRITY, 7, 6),
            Message(STATUS, FULL, 6, 7, (PvcStatus(100), PvcStatus(991, False, True))),
            Message(STATUS, SINGLE, pvcs=(PvcStatus(16, False),))]
    text = tshark.tshark(write_frames(tmp_path / "lmi.pcap", [message.pack() for message in sent]), "-V")
    assert "Malformed" not in text
    seen = re.split(r"^Frame \d", text, flags=re.MULTILINE)[1:]
    for frame, words in zip(seen, (
            ("STATUS ENQUIRY (0x75)", "Report type: Link verify (1)", "TX Sequence: 7", "RX Sequence: 6"),
            ("STATUS (0x7d)", "Full Status (0)", "DLCI: 100", "Status: Active (1)", "DLCI: 991", "Status: New (4)"),
            ("STATUS (0x7d)", "Async PVC Status (2)", "DLCI: 16", "Status: Inactive (0)")), strict=True):
        assert [word for word in words if word not in frame] == []
