"""The block reader: every octet once and in order, whatever a file gives at a time; and gzip'd files."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.trace.capture.octets import BLOCK, OctetReader

if TYPE_CHECKING:
    from collections.abc import Iterator


class Trickle(io.RawIOBase):
    """A file that gives its octets in pieces of given sizes, again and again."""

    def __init__(self, octets: bytes, sizes: list[int]) -> None:
        self._octets = octets
        self._sizes = sizes
        self._turn = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        given, self._octets = self._octets[:size], self._octets[size:]
        return given


def reader_of(octets: bytes, sizes: list[int] | None = None) -> OctetReader:
    file = io.BytesIO(octets) if sizes is None else Trickle(octets, sizes)
    reader = OctetReader(file)  # type: ignore[arg-type]
    reader.unpack()
    return reader


def all_of(reader: OctetReader, step: int = 1000) -> bytes:
    taken = []
    while reader.want(step) or reader.left:
        taken.append(reader.data[reader.at:reader.at + step])
        reader.at += len(taken[-1])
    return b"".join(taken)


sizes = st.lists(st.integers(1, 50), min_size=1, max_size=5)


@given(st.binary(max_size=300), sizes, st.lists(st.tuples(st.booleans(), st.integers(0, 80))))
def test_reads_and_skips_go_in_order(
        octets: bytes, sizes: list[int], steps: list[tuple[bool, int]]) -> None:
    reader = OctetReader(Trickle(octets, sizes))  # type: ignore[arg-type]
    at = 0
    for skips, count in steps:
        if skips:
            assert reader.skip(count) == (at + count <= len(octets))
            at = min(at + count, len(octets))
        else:
            assert reader.want(count) == (at + count <= len(octets))
            there = reader.data[reader.at:reader.at + count]
            assert there == octets[at:at + count]
            reader.at += len(there)
            at += len(there)
        assert reader.offset == at


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4), sizes, st.integers(0, 40))
def test_members_of_a_gzip_file_and_padding(members: list[bytes], sizes: list[int], padding: int) -> None:
    packed = b"".join(gzip.compress(member, 1) for member in members) + bytes(padding)
    reader = reader_of(packed, sizes)
    assert reader.unpacked
    assert all_of(reader) == b"".join(members)
    assert reader.broken == ""


@given(st.binary(min_size=1, max_size=500), sizes)
def test_uncompressed_octets_stay_unchanged(octets: bytes, sizes: list[int]) -> None:
    octets = b"\0" + octets
    reader = reader_of(octets, sizes)
    assert not reader.unpacked
    assert all_of(reader) == octets


def test_every_cut_of_a_gzip_file_is_told() -> None:
    packed = gzip.compress(bytes(range(256)) * 20)
    for cut in range(2, len(packed)):
        reader = reader_of(packed[:cut])
        assert (bytes(range(256)) * 20).startswith(all_of(reader))
        assert reader.broken == "the compressed file is cut short"


def test_damage_in_compressed_octets_is_told() -> None:
    packed = bytearray(gzip.compress(bytes(5000)))
    packed[-5] ^= 1
    reader = reader_of(bytes(packed))
    all_of(reader)
    assert "what is compressed is damaged" in reader.broken
    reader = reader_of(gzip.compress(b"x") + b"rubbish")
    all_of(reader)
    assert "what is compressed is damaged" in reader.broken


def test_an_error_of_the_system_is_told() -> None:
    class Failing(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    reader = OctetReader(Failing())  # type: ignore[arg-type]
    assert not reader.want(1)
    assert reader.broken == "Input/output error"


def packed_zeros(megabytes: int) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    for _ in range(megabytes):
        yield packer.compress(bytes(1 << 20))
    yield packer.flush()


@pytest.mark.parametrize("count", [BLOCK // 2, 100])
def test_a_bomb_is_unpacked_a_block_at_a_time(count: int) -> None:
    bomb = b"".join(packed_zeros(40))
    assert len(bomb) < 60_000
    tracemalloc.start()
    try:
        reader = reader_of(bomb)
        total = 0
        while reader.want(count):
            total += reader.left
            reader.at = len(reader.data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total + reader.left == 40 << 20
    assert peak < 6 * BLOCK
