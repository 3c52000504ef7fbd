"""Records of the replication link: whole however they are cut, refused when they were changed, bounded."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.wire import sync_link
from atmdepot.wire.sync_link import BadRecord, RecordReader, RecordWriter
from tests.effort import examples

KEY = bytes(range(32))
keys = st.sampled_from([b"", KEY])
payloads = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=8)


def ends(key: bytes) -> tuple[RecordReader, RecordWriter]:
    reader, writer = RecordReader(), RecordWriter()
    reader.key = writer.key = key
    return reader, writer


def read(reader: RecordReader, octets: bytes, cuts: list[int]) -> list[tuple[int, bytes]]:
    found = []
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    for at, end in itertools.pairwise(places):
        reader.feed(octets[at:end])
        while (record := reader.next()) is not None:
            found.append(record)
    return found


@examples(100)
@given(keys, payloads, st.lists(st.integers(0), max_size=6))
def test_records_come_as_they_went_however_they_are_cut(
    key: bytes, sent: list[tuple[int, bytes]], cuts: list[int],
) -> None:
    reader, writer = ends(key)
    assert read(reader, b"".join(writer.record(*record) for record in sent), cuts) == sent


@examples(100)
@given(payloads.filter(bool), st.integers(0), st.integers(1, 255))
def test_a_changed_octet_is_never_taken_where_there_is_a_key(
    sent: list[tuple[int, bytes]], at: int, change: int,
) -> None:
    reader, writer = ends(KEY)
    octets = bytearray(b"".join(writer.record(*record) for record in sent))
    octets[at % len(octets)] ^= change
    try:
        found = read(reader, bytes(octets), [])
    except BadRecord:
        return
    assert found == sent[:len(found)]
    assert len(found) < len(sent)


def test_records_that_change_places_are_refused() -> None:
    reader, writer = ends(KEY)
    first, second = writer.record(2, b"one"), writer.record(2, b"two")
    with pytest.raises(BadRecord, match="tag"):
        read(reader, second + first, [])


@pytest.mark.parametrize("length", [0, sync_link.MAX_PAYLOAD + 2, 2**32 - 1])
def test_a_length_that_no_record_has_is_refused_before_octets_are_kept(length: int) -> None:
    reader, _ = ends(b"")
    reader.feed(length.to_bytes(4, "big") + b"\x03")
    with pytest.raises(BadRecord, match=f"length is {length}: it is 1 to 65541"):
        reader.next()


def test_a_proof_is_good_for_its_sender_its_key_and_both_hellos_only() -> None:
    proof = sync_link.proof_of(KEY, "depot1", b"mine", b"yours")
    assert sync_link.is_proof(KEY, "depot1", b"mine", b"yours", proof)
    for others in ((KEY[::-1], "depot1", b"mine", b"yours"), (KEY, "depot2", b"mine", b"yours"),
                   (KEY, "depot1", b"mine", b"older"), (KEY, "depot1", b"yours", b"mine"),
                   (KEY, "depot1", b"min", b"eyours")):
        assert not sync_link.is_proof(*others, proof)
    assert sync_link.key_of_direction(KEY, "depot1", b"mine", b"yours") != proof
