"""Messages of client and server of `bench failover`: in pieces of any size, and only on their own connection."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.bench.failover.talk import CHUNK, PACE, Answers, Chunks, Requests, WrongAnswer, chunk, request
from tests.effort import examples


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    return [octets[start:end] for start, end in pairwise(ends)]


CUTS = st.lists(st.integers(0, 400), max_size=8)


@examples(100)
@given(st.integers(1, 20), CUTS, CUTS)
def test_each_request_is_answered_in_order(many: int, here: list[int], there: list[int]) -> None:
    server, client = Requests(42), Answers()
    asked = b"".join(request(number) for number in range(1, many + 1))
    told = b"".join(server.feed(piece)[0] for piece in pieces(asked, here))
    assert sum(client.feed(piece) for piece in pieces(told, there)) == many
    assert client.number == many


def test_answers_of_another_connection_are_wrong() -> None:
    client = Answers()
    client.feed(Requests(1).feed(request(1))[0])
    other = Requests(2)
    other.feed(request(1))
    with pytest.raises(WrongAnswer, match="connection 2"):
        client.feed(other.feed(request(2))[0])


def test_a_server_that_begins_to_count_anew_is_wrong() -> None:
    client = Answers()
    client.feed(Requests(1).feed(request(1))[0])
    with pytest.raises(WrongAnswer):
        client.feed(Requests(1).feed(request(2))[0])


@examples(20)
@given(st.integers(1, 4), CUTS)
def test_a_download_is_read_chunk_by_chunk(many: int, cuts: list[int]) -> None:
    reader = Chunks()
    sent = b"".join(map(chunk, range(many)))
    assert sum(map(reader.feed, pieces(sent, cuts))) == many


def test_a_download_with_a_hole_is_wrong() -> None:
    reader = Chunks()
    reader.feed(chunk(0))
    with pytest.raises(WrongAnswer, match="chunk 1"):
        reader.feed(chunk(2))
    assert len(chunk(7)) == CHUNK


def test_a_download_is_asked_for() -> None:
    assert Requests(1).feed(request(0, PACE)) == (b"", True)


@examples(50)
@given(st.binary(min_size=8, max_size=64))
def test_other_octets_are_no_requests(octets: bytes) -> None:
    if octets[:4] not in (b"ASK?", b"PACE"):
        with pytest.raises(WrongAnswer):
            Requests(1).feed(octets)
