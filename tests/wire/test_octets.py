"""Cells in bulk, plainly and compiled (its CRC by either way), against cells that are put together one by one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

import fastcrc
import pytest
from crcmod.predefined import mkCrcFun
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.wire import octets
from atmdepot.wire.aal5 import MAX_SDU, Aal5Error, cells_needed, cpcs_pdu, parse_cpcs_pdu, to_cells
from atmdepot.wire.cell import CellHeader, Interface
from atmdepot.wire.octets import (
    header_at_plainly,
    headers_of_plainly,
    payloads_plainly,
    run_end_plainly,
    sdu_of_cells_plainly,
    sdu_of_pdu_plainly,
    train_plainly,
    user_word_at_plainly,
    user_word_plainly,
    vc_headers_plainly,
)
from tests.aal5 import abort_pdu
from tests.atm.plain_reassembler import plain_hec
from tests.effort import examples
from tests.packets import cell_headers, cells, sdus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

try:
    from atmdepot.wire._octets import fold_crc
except ImportError:
    def fold_crc(wanted: bool) -> bool:
        return False

crcmod_crc32 = mkCrcFun("crc-32-bzip2")
pytestmark = pytest.mark.both_twins


class Way(NamedTuple):
    """The functions under test, and how the compiled ones compute CRCs."""

    vc_headers: Callable[[int, int], bytes]
    train: Callable[[bytes, bytes, int], bytes]
    headers_of: Callable[[bytes], octets.Headers]
    header_at: Callable[[octets.Headers, int], bytes]
    user_word_at: Callable[[octets.Headers, int, bool], int]
    run_end: Callable[[octets.Headers, int, int], int]
    payloads: Callable[[bytes, int, int], bytes]
    sdu_of_cells: Callable[[bytes, int, int, int], bytes | None]
    sdu_of_pdu: Callable[[bytes, int], bytes | None]
    folds: bool = False


WAYS = {"plain": Way(vc_headers_plainly, train_plainly, headers_of_plainly, header_at_plainly,
                     user_word_at_plainly, run_end_plainly,
                     payloads_plainly, sdu_of_cells_plainly, sdu_of_pdu_plainly)}
if octets.train is not train_plainly:
    WAYS["tables"] = Way(octets.vc_headers, octets.train, octets.headers_of, octets.header_at,
                         octets.user_word_at, octets.run_end,
                         octets.payloads, octets.sdu_of_cells, octets.sdu_of_pdu)
    if fold_crc(True):
        WAYS["folding"] = WAYS["tables"]._replace(folds=True)
PLAIN = WAYS["plain"]

HEADERS = vc_headers_plainly(1, 64)
FAR_CELLS = 1 << 62
"""So many cells that their octets are more than 64 bits can number."""
trains = st.lists(cells, max_size=12)
lengths = st.one_of(st.integers(1, 400), st.integers(1, 65535),
                    st.integers(1, 1365).flatmap(lambda n: st.integers(48 * n - 10, 48 * n + 2)))


@pytest.fixture(params=list(WAYS), scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    chosen = WAYS[request.param]
    assert fold_crc(chosen.folds) is chosen.folds
    yield chosen
    fold_crc(True)


def octets_of(length: int) -> bytes:
    """Octets that look random, the same each time."""
    return random.Random(length).randbytes(length)


def train_of(sdu: bytes, clp: int = 0) -> bytes:
    """The train of an SDU, cell by cell; its CRC is crcmod's."""
    body = sdu + bytes(-(len(sdu) + 8) % 48) + b"\0\0" + len(sdu).to_bytes(2, "big")
    pdu = body + crcmod_crc32(body).to_bytes(4, "big")
    chunks = [pdu[at:at + 48] for at in range(0, len(pdu), 48)]
    return b"".join(CellHeader(1, 64, int(n == len(chunks)), clp).pack() + chunk for n, chunk in enumerate(chunks, 1))


def pdu_of(cells: bytes) -> bytes:
    return b"".join(cells[at + 5:at + 53] for at in range(0, len(cells), 53))


def with_crc(body: bytes) -> bytes:
    """A PDU with the right CRC over whatever stands before it."""
    return body + fastcrc.crc32.bzip2(body).to_bytes(4, "big")


def at_every_alignment(octets: bytes) -> list[bytes]:
    """The same octets at 16 places that are not all aligned alike: a bytes object's own are always at 32 mod 16."""
    return [bytes(n) + octets for n in range(16)]


# ── headers ──

@given(st.sampled_from(Interface), st.data())
def test_headers_of_a_vc(way: Way, interface: Interface, data: st.DataObject) -> None:
    vpi = data.draw(st.integers(0, 255 if interface is Interface.UNI else 4095))
    vci = data.draw(st.integers(0, 65535))
    assert way.vc_headers(vpi, vci) == b"".join(
        CellHeader(vpi, vci, pti, clp).pack(interface) for clp in (0, 1) for pti in (0, 1))


# ── trains out ──

def test_trains_of_every_length(way: Way) -> None:
    """The CRCs of crcmod and fastcrc are the same; a train's cells hold it for every length, and so every pad."""
    for length in range(1, 2049):
        sdu = octets_of(length)
        train = way.train(sdu, HEADERS, length & 1)
        assert train == train_of(sdu, length & 1)
        pdu = pdu_of(train)
        assert int.from_bytes(pdu[-4:], "big") == fastcrc.crc32.bzip2(pdu[:-4])


@given(length=lengths, clp=st.integers(0, 1))
@example(length=65535, clp=1)
@examples(60)
def test_trains_of_any_length(way: Way, length: int, clp: int) -> None:
    sdu = octets_of(length)
    train = way.train(sdu, HEADERS, clp)
    assert len(train) == 53 * cells_needed(length)
    assert train == to_cells(cpcs_pdu(sdu), HEADERS[10 * clp:10 * clp + 5], HEADERS[10 * clp + 5:10 * clp + 10])


@given(sdu=sdus)
def test_trains_of_other_buffers(way: Way, sdu: bytes) -> None:
    """At any alignment: a view into a buffer is as good as octets of its own."""
    for at, buffer in enumerate(at_every_alignment(sdu)):
        assert way.train(memoryview(bytearray(buffer))[at:], HEADERS, 0) == train_of(sdu)


@pytest.mark.parametrize("length", [0, MAX_SDU + 1, 10 * MAX_SDU])
def test_no_train_of_another_length(way: Way, length: int) -> None:
    with pytest.raises(ValueError, match=f"an AAL5 SDU has 1 to 65535 octets, this one has {length}"):
        way.train(bytes(length), HEADERS, 0)


# ── trains in ──

@given(header=cell_headers(), is_nni=st.booleans(), bits=st.lists(st.integers(0, 39), max_size=2, unique=True))
def test_only_good_headers_of_user_cells_have_a_word(
        way: Way, header: CellHeader, is_nni: bool, bits: list[int]) -> None:
    """By what `CellHeader` and the bitwise HEC say of the same octets."""
    number = int.from_bytes(header.pack(), "big")
    for bit in bits:
        number ^= 1 << bit
    octets_of_it = number.to_bytes(5, "big")
    fields = CellHeader.unpack(octets_of_it, Interface.NNI if is_nni else Interface.UNI)
    good = plain_hec(octets_of_it) == octets_of_it[4] and fields.is_user_data
    expected = fields.vpi << 20 | fields.vci << 4 | fields.pti << 1 | fields.clp if good else -1
    headers = way.headers_of(bytes(53) + octets_of_it + bytes(48))
    assert way.user_word_at(headers, 1, is_nni) == expected
    assert octets.user_word(octets_of_it, is_nni) == user_word_plainly(octets_of_it, is_nni) == expected
    assert not bits or len(bits) > 1 or expected == -1



@given(train=trains)
def test_headers_and_payloads_of_a_train(way: Way, train: list[bytes]) -> None:
    whole = b"".join(train)
    headers = way.headers_of(whole)
    assert [way.header_at(headers, n) for n in range(len(train))] == [cell[:5] for cell in train]
    for first in range(len(train) + 1):
        for count in range(len(train) - first + 1):
            expected = b"".join(cell[5:] for cell in train[first:first + count])
            assert way.payloads(whole, first, count) == expected


@given(runs=st.lists(st.tuples(st.sampled_from([HEADERS[n:n + 5] for n in (0, 5, 10)] + [
    bytes(flipped ^ (n == place) for n, flipped in enumerate(HEADERS[:5])) for place in range(5)]),
    st.integers(1, 4)), min_size=1, max_size=6), stop=st.integers(-1, 30))
def test_runs_of_equal_headers(way: Way, runs: list[tuple[bytes, int]], stop: int) -> None:
    """Each of the five octets counts, and nothing is looked at from `stop` on."""
    in_order = [header for header, count in runs for _ in range(count)]
    headers = way.headers_of(b"".join(header + bytes(48) for header in in_order))
    stop = min(stop, len(in_order))
    for at, header in enumerate(in_order):
        end = at + 1
        while end < stop and in_order[end] == header:
            end += 1
        assert way.run_end(headers, at, stop) == end


def test_cells_that_are_not_there(way: Way) -> None:
    for count in (0, 1, 3):
        headers = way.headers_of(bytes(53 * count))
        for at in (count, count + 1, FAR_CELLS):
            assert way.header_at(headers, at) == b""
            assert way.user_word_at(headers, at, False) == -1
            with pytest.raises(IndexError):
                way.run_end(headers, at, at + 1)


@pytest.mark.skipif("tables" not in WAYS, reason="plain Python sees to it by itself")
@pytest.mark.parametrize(("first", "count"), [
    (0, 3), (3, 0), (2, 1), (1, 2), (-1, 1), (0, -1), (FAR_CELLS, 1), (1, FAR_CELLS), (FAR_CELLS, FAR_CELLS)])
def test_compiled_code_does_not_read_beyond_the_cells(first: int, count: int) -> None:
    compiled = WAYS["tables"]
    with pytest.raises(IndexError):
        compiled.payloads(bytes(53 * 2 + 52), first, count)
    with pytest.raises(IndexError):
        compiled.sdu_of_cells(bytes(53 * 2 + 52), first, count, MAX_SDU)


@pytest.mark.skipif("tables" not in WAYS, reason="plain Python sees to it by itself")
@pytest.mark.parametrize("wrong", [None, "text", 7, bytearray(53)])
def test_compiled_code_refuses_other_types(wrong: Any) -> None:
    compiled = WAYS["tables"]
    calls: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (compiled.headers_of, (wrong,)), (compiled.header_at, (wrong, 0)), (compiled.user_word_at, (wrong, 0, False)),
        (compiled.run_end, (wrong, 0, 1)),
        (compiled.payloads, (wrong, 0, 1)), (compiled.sdu_of_cells, (wrong, 0, 1, 1)),
        (compiled.sdu_of_pdu, (wrong, 1)), (compiled.train, (b"octets", wrong, 0))]
    for call, arguments in calls:
        with pytest.raises(TypeError):
            call(*arguments)


@pytest.mark.skipif("tables" not in WAYS, reason="plain Python sees to it by itself")
@pytest.mark.parametrize("size", [0, 10, 19, 21])
def test_compiled_code_refuses_other_than_four_headers(size: int) -> None:
    with pytest.raises(ValueError, match="four headers"):
        WAYS["tables"].train(b"octets", bytes(size), 0)


# ── SDUs ──

def test_sdus_of_every_length(way: Way) -> None:
    for length in range(1, 2049):
        sdu = octets_of(length)
        train = train_of(sdu)
        assert way.sdu_of_cells(train, 0, len(train) // 53, length) == sdu
        assert way.sdu_of_pdu(pdu_of(train), length) == sdu
        assert way.sdu_of_pdu(pdu_of(train), length - 1) is None


@given(sdu=sdus, before=st.integers(0, 3), after=st.integers(0, 3))
def test_sdu_among_other_cells(way: Way, sdu: bytes, before: int, after: int) -> None:
    """Its cells are 53 octets apart, so that each begins at another alignment."""
    train = train_of(sdu)
    octets = b"\xAA" * 53 * before + train + b"\x55" * 53 * after
    assert way.sdu_of_cells(octets, before, len(train) // 53, MAX_SDU) == sdu


@given(length=lengths)
@examples(40)
def test_sdu_of_any_length(way: Way, length: int) -> None:
    train = way.train(octets_of(length), HEADERS, 0)
    assert way.sdu_of_cells(train, 0, len(train) // 53, MAX_SDU) == octets_of(length)


def test_every_wrong_bit_is_found(way: Way) -> None:
    for sdu in (b"one", octets_of(60), octets_of(200)):
        train = train_of(sdu)
        count = len(train) // 53
        for cell in range(count):
            for bit in range(40, 424):
                wrong = bytearray(train)
                wrong[53 * cell + bit // 8] ^= 1 << bit % 8
                assert way.sdu_of_cells(bytes(wrong), 0, count, MAX_SDU) is None
                assert way.sdu_of_pdu(pdu_of(wrong), MAX_SDU) is None


def standard_sdu(pdu: bytes, max_sdu: int) -> bytes | None:
    try:
        return parse_cpcs_pdu(pdu, max_sdu=max_sdu).sdu
    except Aal5Error:
        return None


@given(count=st.integers(1, 5), length=st.one_of(st.integers(0, 260), st.integers(0, 65535)), uu=st.integers(0, 65535),
       max_sdu=st.one_of(st.just(MAX_SDU), st.integers(0, 260)))
def test_lengths_that_lie(way: Way, count: int, length: int, uu: int, max_sdu: int) -> None:
    """A PDU is good when its Length fits, whatever UU, CPI and pad hold: as the parser that gives reasons says."""
    body = octets_of(48 * count - 8) + uu.to_bytes(2, "big") + length.to_bytes(2, "big")
    pdu = with_crc(body)
    expected = standard_sdu(pdu, max_sdu)
    assert way.sdu_of_pdu(pdu, max_sdu) == expected
    assert way.sdu_of_cells(to_cells(pdu, HEADERS[:5], HEADERS[5:10]), 0, count, max_sdu) == expected


def test_every_length_of_short_pdus(way: Way) -> None:
    for count in (1, 2, 3):
        for length in range(48 * count + 50):
            pdu = with_crc(octets_of(48 * count - 6) + length.to_bytes(2, "big"))
            assert way.sdu_of_pdu(pdu, MAX_SDU) == (pdu[:length] if length and cells_needed(length) == count else None)


def test_no_sdu_in_an_aborted_pdu_or_in_none(way: Way) -> None:
    assert way.sdu_of_pdu(abort_pdu(), MAX_SDU) is None
    assert way.sdu_of_pdu(b"", MAX_SDU) is None
    assert way.sdu_of_cells(bytes(53), 0, 0, MAX_SDU) is None


@given(octets=st.one_of(st.binary(max_size=200), sdus.map(cpcs_pdu), sdus.map(cpcs_pdu).map(lambda pdu: pdu[:-1]),
                        sdus.map(cpcs_pdu).map(lambda pdu: b"\0" + pdu)), max_sdu=st.integers(-1, 700))
def test_any_octets_are_a_pdu_or_none(way: Way, octets: bytes, max_sdu: int) -> None:
    assert way.sdu_of_pdu(octets, max_sdu) == standard_sdu(octets, max_sdu)


# ── compiled against plain ──

@given(octets=st.one_of(st.binary(max_size=53 * 8), trains.map(b"".join), sdus.map(train_of)).map(
           lambda octets: octets[:len(octets) // 53 * 53]),
       at=st.integers(0, 9), stop=st.integers(-2, 10), count=st.integers(0, 9), max_sdu=st.integers(-1, 700))
@examples(300)
def test_any_octets_bounds_and_numbers_mean_the_same(
        way: Way, octets: bytes, at: int, stop: int, count: int, max_sdu: int) -> None:
    there = len(octets) // 53
    headers, plain_headers = way.headers_of(octets), headers_of_plainly(octets)
    if at < there:
        stop = min(stop, there)
        assert way.header_at(headers, at) == header_at_plainly(plain_headers, at)
        assert way.run_end(headers, at, stop) == run_end_plainly(plain_headers, at, stop)
    if at <= there and count <= there - at:
        assert way.payloads(octets, at, count) == payloads_plainly(octets, at, count)
        assert way.sdu_of_cells(octets, at, count, max_sdu) == sdu_of_cells_plainly(octets, at, count, max_sdu)
    if octets:
        assert way.train(octets, HEADERS, at & 1) == train_plainly(octets, HEADERS, at & 1)


def test_long_random_pdus(way: Way) -> None:
    for length in (9180, 20_000, 65535):
        pdu = cpcs_pdu(octets_of(length))
        assert crcmod_crc32(pdu[:-4]) == fastcrc.crc32.bzip2(pdu[:-4]) == int.from_bytes(pdu[-4:], "big")
        assert way.sdu_of_pdu(pdu, MAX_SDU) == octets_of(length)
        assert way.train(octets_of(length), HEADERS, 0) == train_of(octets_of(length))
