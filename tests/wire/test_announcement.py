"""Messages on the management VC: octets and values, and everything that is none."""

from __future__ import annotations

from typing import Any

import pytest
from construct import ConstructError
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire import layouts
from atmdepot.wire.announcement import (
    MOST_AGE,
    MOST_PERIOD,
    MOST_TERM,
    Announcement,
    Claim,
    Flows,
    Message,
    Recall,
    ToldFlow,
    is_message,
    read,
)
from atmdepot.wire.statistics import is_statistics
from tests.effort import examples

short, word = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
names = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)
claims = st.sampled_from([Claim.NOTHING, Claim.ACTIVE, Claim.HANDING_OVER, Claim.ACTIVE | Claim.HANDING_OVER])
announcements = st.builds(Announcement, names, names, st.integers(1, MOST_TERM), st.integers(1, MOST_PERIOD), claims)
recalls = st.builds(Recall, word, word)
ages = st.integers(0, MOST_AGE)
v4 = st.builds(ToldFlow, st.binary(min_size=13, max_size=13), short, ages, st.booleans())
v6 = st.builds(ToldFlow, st.binary(min_size=37, max_size=37), short, ages, st.booleans())
flows = st.builds(lambda number, index, last, four, six: Flows(number, index, last, four + six),
                  word, word, st.booleans(), st.lists(v4, max_size=8), st.lists(v6, max_size=8))
messages: st.SearchStrategy[Message] = announcements | recalls | flows
ANNOUNCED = Announcement("main", "depot2", 7, 100)
KEY = bytes((6, 10, 9, 0, 2, 0x13, 0x88, 10, 80, 0, 1, 0, 80))


@given(messages)
def test_message_is_read_as_it_was_written(message: Message) -> None:
    octets = message.pack()
    assert read(octets) == message
    assert is_message(octets)
    assert not is_statistics(octets)


def test_octets_of_the_messages() -> None:
    assert ANNOUNCED.pack().hex(" ", -4) == (
        "4144414e 01010001 00000000 00000007 00000064 04066d61 696e6465 706f7432")
    assert Recall(9, 1500).pack().hex(" ", -4) == "4144414e 01020000 00000009 000005dc"
    assert Flows(9, 2, True, [ToldFlow(KEY, 64, 3)]).pack().hex(" ", -4) == (
        "4144414e 01040001 00000009 00000002 00010000 060a0900 0213880a 50000100 50004000 000003")
    assert ToldFlow(KEY, 64, 3, is_half_open=True).pack()[-4:].hex() == "80000003"


def test_usual_announcement_takes_a_single_cell() -> None:
    assert len(ANNOUNCED.pack()) <= 40


@given(messages, st.integers(2, 255), st.binary(max_size=50))
def test_message_of_a_later_version_is_read_as_far_as_it_is_known(message: Message, version: int, more: bytes) -> None:
    octets = message.pack()
    assert read(octets[:4] + bytes((version,)) + octets[5:] + more) == message


@given(messages, st.binary(min_size=1, max_size=9))
def test_message_of_this_version_has_nothing_behind_it(message: Message, more: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(names|recall|flows): the message has \d+ octets by its fields, here are "):
        read(message.pack() + more)


@given(messages, st.data())
def test_message_cut_short_is_none(message: Message, data: st.DataObject) -> None:
    octets = message.pack()
    with pytest.raises(ValueError, match=r"^(head|announcement|names|recall|flows): "):
        read(octets[:data.draw(st.integers(0, len(octets) - 1))])


@pytest.mark.parametrize(("at", "octets", "told"), [
    (0, b"ADST", "head: a message begins b'ADAN' and version 1 or later, not b'ADST' and 1"),
    (4, b"\0", "head: a message begins b'ADAN' and version 1 or later, not b'ADAN' and 0"),
    (5, b"\x09", "type: 9 is of another build of atmdepot, and none of 1, 2, 4"),
    (8, bytes(8), "term: it is 1 to 9223372036854775807, not 0"),
    (8, b"\xff" * 8, "term: it is 1 to 9223372036854775807, not 18446744073709551615"),
    (16, bytes(4), "period: it is 1 to 60000 ms, not 0"),
    (16, b"\xff" * 4, "period: it is 1 to 60000 ms, not 4294967295"),
    (20, b"\0", "set: a name has 1 to 32 octets, not 0"),
    (21, b"\x21", "node: a name has 1 to 32 octets, not 33"),
    (22, b"m\xffin", "set: a name has letters, digits, '_' and '-', not b'm\\xffin'"),
    (26, b"d\nepot", "node: a name has letters, digits, '_' and '-', not b'd\\nepot'")])
def test_announcement_with_a_wrong_field_is_none(at: int, octets: bytes, told: str) -> None:
    whole = bytearray(ANNOUNCED.pack())
    whole[at:at + len(octets)] = octets
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        read(bytes(whole))
    assert str(error.value) == told


@pytest.mark.parametrize("wrong", [
    Announcement("", "d", 1, 1), Announcement("s" * 33, "d", 1, 1), Announcement("s", "d", 0, 1),
    Announcement("s", "d", 1, MOST_PERIOD + 1), Announcement("ü", "d", 1, 1)])
def test_wrong_announcement_is_not_packed(wrong: Announcement) -> None:
    with pytest.raises(ValueError, match=r"^(set|term|period): "):
        wrong.pack()


def test_flags_of_later_versions_are_ignored() -> None:
    octets = bytearray(ANNOUNCED.pack())
    octets[6:8] = b"\xff\xfd"
    assert read(bytes(octets)) == ANNOUNCED


@given(st.binary(max_size=120) | st.binary(max_size=100).map(lambda rest: b"ADAN\1" + rest))
def test_only_value_error_escapes(octets: bytes) -> None:
    try:
        message = read(octets)
    except ValueError:
        return
    assert read(message.pack()) == message


# The layout.


def fields_of(message: Message) -> dict[str, Any]:
    """A message's fields as the layout has them."""
    if isinstance(message, Announcement):
        return {"type": "announcement", "flags": {"active": bool(message.claim & Claim.ACTIVE),
                                                  "handing_over": bool(message.claim & Claim.HANDING_OVER)},
                "message": {"term": message.term, "period": message.period, "set": message.of.encode(),
                            "node": message.node.encode()}}
    if isinstance(message, Recall):
        return {"type": "recall", "flags": {}, "message": message._asdict()}
    told = [{"key": flow.key, "channel": flow.channel, "time": {"is_half_open": flow.is_half_open, "age": flow.age}}
            for flow in message.flows]
    return {"type": "flows", "flags": {"last": message.is_last},
            "message": {"number": message.number, "part": message.part,
                        "v4_flows": [flow for flow in told if len(flow["key"]) == 13],
                        "v6_flows": [flow for flow in told if len(flow["key"]) == 37]}}


@given(messages)
def test_layout_builds_the_same_octets(message: Message) -> None:
    octets = message.pack()
    assert layouts.ANNOUNCEMENT.build(fields_of(message)) == octets
    seen = layouts.ANNOUNCEMENT.parse(octets)
    assert layouts.ANNOUNCEMENT.build(seen) == octets


@examples(300)
@given(messages, st.data())
def test_layout_agrees_with_the_codec_on_what_is_a_message(message: Message, data: st.DataObject) -> None:
    octets = bytearray(message.pack())
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] = data.draw(st.integers(0, 255))
    whole = bytes(octets[:data.draw(st.integers(len(octets) - 2, len(octets)))])
    try:
        seen = read(whole)
    except ValueError:
        with pytest.raises((ConstructError, ValueError)):
            layouts.ANNOUNCEMENT.parse(whole)
    else:
        told = layouts.ANNOUNCEMENT.parse(whole)
        assert str(told.type) == type(seen).__name__.lower()
