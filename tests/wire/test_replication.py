"""The stream between depots: frames and values, octets in pieces, and what a hostile or later sender may send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire import layouts
from atmdepot.wire.replication import HEAD_SIZE, OUTSIDE, Frame, FrameReader, Kind, octets_at, octets_at_plainly
from atmdepot.wire.replication_control import ROLES, Ack, Heartbeat, Hello, Snapshot, Turnover
from atmdepot.wire.replication_entries import (
    CLOSED_BY,
    Gone,
    State,
    Told,
    hash_of_key,
    hash_of_key_plainly,
    put_session,
    put_session_plainly,
    put_state,
    put_state_plainly,
)
from atmdepot.wire.replication_servers import Name, Position, ServerTold, TurnsTold, servers_frame, servers_told
from tests.effort import examples

octet, short, word, long = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
signed = st.integers(-2**63, 2**63 - 1)
run, offset = st.integers(0, 2**63 - 1), st.integers(0, 2**60 - 1)
term = st.integers(0, 2**63 - 2**32 - 1)
printable = st.text(st.characters(codec="utf-8").filter(str.isprintable), max_size=256)
state, scale, reason = st.integers(0, 10), st.integers(0, 15), st.integers(0, len(CLOSED_BY) - 1)
keys = st.builds(lambda protocol, rest: bytes((protocol,)) + rest, st.sampled_from((6, 17)),
                 st.binary(min_size=12, max_size=12) | st.binary(min_size=36, max_size=36))
def sessions(key: bytes) -> st.SearchStrategy[Told]:
    """SESSIONs of a key, with the flow of their answers or without it."""
    answers = st.just(b"") | st.binary(min_size=len(key) - 1, max_size=len(key) - 1).map(lambda rest: key[:1] + rest)
    return st.builds(Told, st.just(key), short, short, octet, reason, st.booleans(), state, state, scale, scale,
                     word, word, word, word, answers)


VALUES: dict[Kind, tuple[Any, Any]] = {
    Kind.SESSION: (Told, keys.flatmap(sessions)),
    Kind.STATE: (State, st.builds(State, keys, state, state, reason, word)),
    Kind.GONE: (Gone, st.builds(Gone, keys, octet)),
    Kind.NAME: (Name, st.builds(Name, st.integers(0, 1), short, st.text(max_size=40))),
    Kind.TURNS: (TurnsTold, st.builds(TurnsTold, short, short, st.lists(st.builds(Position, short, signed, signed)))),
    Kind.HEARTBEAT: (Heartbeat, st.builds(Heartbeat, term, long, long, word, st.integers(0, len(ROLES) - 1), octet,
                                          short)),
    Kind.SNAPSHOT: (Snapshot, st.builds(Snapshot, run, offset, long, word)),
    Kind.ACK: (Ack, st.builds(Ack, run, offset)),
    Kind.HELLO: (Hello, st.builds(
        Hello, network=printable, set=printable, node=printable, run=run, term=term, sessions=run,
        table=st.dictionaries(printable, printable, max_size=3), role=st.sampled_from(ROLES),
        applied=st.tuples(word, word), servers=st.lists(st.text(), max_size=3))),
}
told = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind][1]))


def read(octets: bytes) -> list[Frame]:
    return list(FrameReader().feed(octets))


@given(told)
@examples(200)
def test_value_is_read_as_it_was_written_and_as_the_layout_has_it(one: tuple[Kind, Any]) -> None:
    kind, value = one
    octets = value.pack()
    (frame,) = read(octets)
    assert frame.kind == kind
    assert frame.pack() == octets
    assert VALUES[kind][0].unpack(frame) == value
    parsed = layouts.REPLICATION.parse(octets)
    assert str(parsed.type) == kind.name.lower()
    assert layouts.REPLICATION.build(parsed) == octets
    if kind is Kind.SESSION:
        body = parsed.body
        assert (body.key, body.server, body.channel, body.time_left, body.age, body.client_isn, body.server_isn) == (
            value.key, value.server, value.channel, value.time_left, value.age, value.client_isn, value.server_isn)
        assert (body.answers or b"") == value.answers
        assert (int(body.states.client), int(body.states.server)) == (value.client_state, value.server_state)


def test_octets_of_frames_are_those_of_the_design() -> None:
    key4, key6 = b"\x06" + bytes(12), b"\x11" + bytes(36)
    assert [len(Told(key, 1, 64, 0, 0, False, 4, 4, 7, 7, 0, 0, 1, 2).pack()) for key in (key4, key6)] == [43, 67]
    assert [len(Told(key, 1, 0, 0, 0, False, 4, 4, 7, 7, 0, 0, 1, 2, key).pack()) for key in (key4, key6)] == [56, 104]
    assert [len(State(key, 4, 4, 0, 0).pack()) for key in (key4, key6)] == [23, 47]
    assert [len(Gone(key).pack()) for key in (key4, key6)] == [18, 42]
    assert len(Heartbeat(1, 2, 3, 4, 3, 2, 100).pack()) == HEAD_SIZE + 32


@given(st.lists(st.builds(ServerTold, short, octet, octet, word), max_size=20))
def test_conditions_of_servers_are_read_as_they_were_written(servers: list[ServerTold]) -> None:
    octets = servers_frame(servers)
    (frame,) = read(octets)
    assert servers_told(frame) == servers
    assert len(layouts.REPLICATION.parse(octets).body) == len(servers)


@given(st.lists(told, max_size=6), st.data())
@examples(100)
def test_stream_may_be_cut_anywhere(values: list[tuple[Kind, Any]], data: st.DataObject) -> None:
    stream = b"".join(value.pack() for _, value in values)
    reader, frames, at = FrameReader(), [], 0
    while at < len(stream):
        cut = data.draw(st.integers(at + 1, len(stream)))
        frames += list(reader.feed(stream[at:cut]))
        at = cut
    assert [frame.kind for frame in frames] == [kind for kind, _ in values]
    assert b"".join(frame.pack() for frame in frames) == stream


@given(told, st.binary(min_size=1, max_size=30))
def test_tail_that_a_later_version_appends_is_ignored(one: tuple[Kind, Any], tail: bytes) -> None:
    kind, value = one
    if kind in (Kind.NAME, Kind.TURNS, Kind.HELLO):  # these take all octets; a HELLO grows by keys
        return
    (frame,) = read(value.pack())
    assert VALUES[kind][0].unpack(frame._replace(body=frame.body + tail)) == value


def test_hello_of_a_later_version_may_have_more_keys() -> None:
    octets = b'{"network":"n","set":"main","node":"depot1","run":1,"term":2,"role":"active","colour":"red"}'
    assert Hello.unpack(Frame(Kind.HELLO, OUTSIDE, octets)).node == "depot1"


def hello(**values: object) -> bytes:
    """The body of a HELLO."""
    return json.dumps({"network": "", "set": "", "node": "", "run": 0, "term": 0, "role": "active"} | values).encode()


@pytest.mark.parametrize(("frame", "said"), [
    (Frame(Kind.SESSION, 0, bytes(38)), "SESSION has at least 39 octets, here are 38"),
    (Frame(Kind.SESSION, 2, bytes(39)), "SESSION has at least 63 octets, here are 39"),
    (Frame(Kind.SESSION, 0, bytes(39)), "the protocol of a key is 6 or 17, here is 0"),
    (Frame(Kind.SESSION, 0, b"\0\x06" + bytes(24) + b"\x06" + bytes(12)), "closed by is below 6, here is 6"),
    (Frame(Kind.SESSION, 0, b"\0\0\xb0" + bytes(23) + b"\x06" + bytes(12)), "client's state is below 11, here is 11"),
    (Frame(Kind.SESSION, 0, b"\x02" + bytes(25) + b"\x06" + bytes(24)), "SESSION has at least 52 octets, here are 51"),
    (Frame(Kind.SESSION, 0, b"\x02" + bytes(25) + b"\x06" + bytes(12) + b"\x11" + bytes(12)),
     "answers have the protocol of the key, 6, here is 17"),
    (Frame(Kind.STATE, 0, b"\x0f" + bytes(5) + b"\x06" + bytes(12)), "server's state is below 11, here is 15"),
    (Frame(Kind.GONE, 0, b"\0"), "GONE has at least 14 octets, here are 1"),
    (Frame(Kind.NAME, 0, b"\x02\0\0x"), "kind is below 2, here is 2"),
    (Frame(Kind.NAME, 0, b"\0\0\0\xff"), "utf-8"),
    (Frame(Kind.TURNS, 0, bytes(5)), "TURNS has items of 18 octets, here are 1"),
    (Frame(Kind.HEARTBEAT, 0, bytes(28) + b"\x05" + bytes(3)), "role is below 5, here is 5"),
    (Frame(Kind.ACK, 0, bytes(15)), "ACK has at least 16 octets, here are 15"),
    (Frame(Kind.SNAPSHOT, 0, bytes(27)), "SNAPSHOT has at least 28 octets"),
    (Frame(Kind.SNAPSHOT, 0, b"\x80" + bytes(27)), "run is below 9223372036854775808"),
    (Frame(Kind.ACK, 0, bytes(8) + b"\xff" * 8), "offset is below 1152921504606846976"),
    (Frame(Kind.NAME, 0, bytes(3) + b"x" * 1025), "length of a name is below 1025, here is 1025"),
    (Frame(Kind.BYE, 0, b""), "BYE has at least 16 octets"),
    (Frame(Kind.HELLO, 0, b"[]"), "HELLO: Expected `object`"),
    (Frame(Kind.HELLO, 0, b"\xff"), "HELLO: "),
    (Frame(Kind.HELLO, 0, b'{"network":"","set":"","node":"","run":0,"term":0,"role":"king"}'), "role 'king'"),
    (Frame(Kind.HEARTBEAT, 0, b"\xff" * 28 + bytes(4)), "term is below 9223372032559808512"),
    (Frame(Kind.HELLO, 0, hello(term=2**63)), "term, run or sessions are out of range"),
    (Frame(Kind.HELLO, 0, hello(term=-1)), "term, run or sessions are out of range"),
    (Frame(Kind.HELLO, 0, hello(run=2**63)), "term, run or sessions are out of range"),
    (Frame(Kind.HELLO, 0, hello(sessions=10**30)), "term, run or sessions are out of range"),
    (Frame(Kind.HELLO, 0, hello(node="depot1\n<3>forged")), "is too long, or no text for the log"),
    (Frame(Kind.HELLO, 0, hello(version="9" * 257)), "is too long, or no text for the log"),
    (Frame(Kind.HELLO, 0, hello(table={"\x1b[2J": ""})), "is too long, or no text for the log"),
])
def test_wrong_frame_is_answered_with_the_field(frame: Frame, said: str) -> None:
    readers: dict[int, Any] = {int(kind): reader for kind, (reader, _) in VALUES.items()} | {Kind.BYE: Turnover}
    with pytest.raises(ValueError, match=said):
        readers[frame.kind].unpack(frame)


def test_list_of_servers_ends_with_a_whole_item() -> None:
    with pytest.raises(ValueError, match="SERVERS has items of 8 octets, here are 9"):
        servers_told(Frame(Kind.SERVERS, 0, bytes(9)))


def test_body_has_a_greatest_length() -> None:
    with pytest.raises(ValueError, match="at most 65535 octets"):
        Frame(Kind.HELLO, 0, bytes(65_536)).pack()


@given(st.binary(max_size=200))
@examples(200)
def test_only_value_error_escapes_from_any_octets(octets: bytes) -> None:
    for frame in read(octets):
        for reader, _ in VALUES.values():
            try:
                reader.unpack(frame)
            except ValueError:
                continue


@given(VALUES[Kind.SESSION][1], long, st.sampled_from((0, OUTSIDE)))
@examples(100)
def test_compiled_frames_and_hashes_are_those_of_plain_python(one: Told, seed: int, outside: int) -> None:
    state = State(one.key, one.client_state, one.server_state, one.closed_by, one.time_left)
    compiled, plain = bytearray(b"before"), bytearray(b"before")
    put_session(compiled, *one, outside)
    put_session_plainly(plain, *one, outside)
    put_state(compiled, *state)
    put_state_plainly(plain, *state)
    assert compiled == plain
    for at, most in ((0, 6), (3, 40), (len(plain) - 1, 9), (len(plain) + 1, 9)):
        assert octets_at(compiled, at, most) == octets_at_plainly(plain, at, most)
    assert hash_of_key(one.key, seed) == hash_of_key_plainly(one.key, seed)
