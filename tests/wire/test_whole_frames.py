"""Frames that stay whole, against their packets one by one: cutting, cells, and what is read of cells again."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.atm.sar import Reassembler, segment, segment_frame
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.wire import offload
from atmdepot.wire.aal5 import CrcMode
from atmdepot.wire.cell import CELL_SIZE
from atmdepot.wire.llc import Encapsulation
from atmdepot.wire.octets import train_plainly, vc_headers
from atmdepot.wire.offload import cut_plainly, frame_of_plainly, packets_of
from atmdepot.wire.packet import analyse, quick_frame, quick_frame_plainly
from tests.effort import examples
from tests.ip_packets import ACK, CWR, FIN, PSH
from tests.wire.frames import Stream, streams
from tests.wire.test_offload import bursts, changed, hostile_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atmdepot.wire.offload import Frame
    from atmdepot.wire.packet import Packet


class Way(NamedTuple):
    """The functions under test."""

    frame_of: Callable[[bytes], Frame | None]
    analysed: Callable[[Frame], Packet | None]


WAYS = {"plain": Way(frame_of_plainly, quick_frame_plainly)}
IS_COMPILED = offload.cut is not cut_plainly
if IS_COMPILED:
    WAYS["compiled"] = Way(offload.frame_of, quick_frame)

both_ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
compiled_only = pytest.mark.skipif(not IS_COMPILED, reason="nothing is compiled here")
pytestmark = pytest.mark.both_twins
HEADERS = vc_headers(1, 77)
MOST = 64_395
ENCAPSULATIONS = [Encapsulation.VC_MUX, Encapsulation.LLC]


@pytest.fixture(params=["by folding", "by tables"], autouse=True)
def crc_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both ways to compute a CRC, where there are two."""
    if not IS_COMPILED:
        if request.param == "by tables":
            pytest.skip("plain Python has one way")
        yield
        return
    from atmdepot.wire._octets import fold_crc

    if fold_crc(request.param == "by folding") is not (request.param == "by folding"):
        pytest.skip("this processor has no carry-less multiplication")
    yield
    fold_crc(True)


# ── frames and their packets ──

@both_ways
@given(stream=streams())
@example(Stream(data=bytes(65_483)))
@example(Stream(data=bytes(65_503), flags=ACK | CWR, last_flags=FIN | PSH).over_ipv6())
@example(Stream(data=bytes(range(9)), size=8, tcp_options=bytes(40)))
def test_a_frame_is_its_packets(way: Way, stream: Stream) -> None:
    frame = way.frame_of(stream.frame)
    packets = stream.packets
    if len(packets) < 2 or stream.extensions[1]:
        assert frame is None
        return
    assert frame is not None
    assert frame.packets() == packets
    assert (frame.count, frame.size, frame.length) == (len(packets), stream.size, len(stream.whole))
    assert (frame.total(), frame.greatest()) == (sum(map(len, packets)), max(map(len, packets)))
    assert (frame.whole(), frame.octets()) == (stream.whole, stream.frame)


@both_ways
@given(stream=streams())
def test_a_frame_is_read_as_one_packet(way: Way, stream: Stream) -> None:
    frame = way.frame_of(stream.frame)
    if frame is not None and (packet := way.analysed(frame)) is not None:
        assert packet == analyse(stream.whole)


@given(frame=st.one_of(hostile_frames(), st.binary(max_size=120)))
@examples(400)
def test_both_ways_know_the_same_frames(frame: bytes) -> None:
    one, other = frame_of_plainly(frame), offload.frame_of(frame)
    assert (one is None) is (other is None)
    if one is not None and other is not None:
        assert one.packets() == other.packets()


@compiled_only
def test_octets_that_are_no_frame() -> None:
    assert offload.frame_of(b"") is None
    assert offload.frame_of(Stream().frame + bytes(70_000)) is None


def test_a_burst_is_cut() -> None:
    frame = offload.frame_of(Stream().frame)
    assert frame is not None
    assert packets_of([b"one", frame, b"two"]) == [b"one", *Stream().packets, b"two"]


# ── to cells ──

@both_ways
@given(stream=streams(), clp=st.integers(0, 1), llc=st.booleans(), most=st.integers(0, 9000))
@example(Stream(data=bytes(65_483)), 0, False, MOST)
@example(Stream(data=bytes(range(99)), size=8, tcp_options=bytes(40)).over_ipv6(), 1, True, 300)
def test_the_trains_of_a_frame_are_those_of_its_packets(
    way: Way, stream: Stream, clp: int, llc: bool, most: int,
) -> None:
    frame = way.frame_of(stream.frame)
    if frame is None:
        return
    vc = Vc(1, 77, encapsulation=ENCAPSULATIONS[llc])
    each = [segment(packet, vc, clp) for packet in stream.packets]
    assert each == [train_plainly(bytes.fromhex("AAAA03000000" + ("0800" if stream.version == 4 else "86DD")) * llc
                                  + packet, HEADERS, clp) for packet in stream.packets]
    pieces = frame.trains(HEADERS, clp, llc, most)
    assert b"".join(pieces) == b"".join(each)
    assert all(len(piece) <= max(most, len(each[0])) for piece in pieces)
    ends = set()
    at = 0
    for train in each:
        at += len(train)
        ends.add(at)
    assert {sum(map(len, pieces[:n + 1])) for n in range(len(pieces))} <= ends, "no PDU is split"
    assert frame.packets() == stream.packets, "the frame is as before"
    assert frame.octets() == stream.frame


@pytest.mark.parametrize("encapsulation", Encapsulation)
@pytest.mark.parametrize("crc", CrcMode)
def test_every_vc_sends_the_cells_of_the_packets(encapsulation: Encapsulation, crc: CrcMode) -> None:
    frame = offload.frame_of(Stream().frame)
    assert frame is not None
    whole, single = (Vc(1, 77, encapsulation=encapsulation, crc=crc) for _ in range(2))
    for clp in (0, 1):
        made = segment_frame(frame, whole, clp, MOST)
        assert b"".join(made) == b"".join(segment(packet, single, clp) for packet in Stream().packets)
    assert (whole.tx_cells, whole.tx_pdus) == (single.tx_cells, single.tx_pdus)


@compiled_only
def test_a_vc_has_four_headers() -> None:
    frame = offload.frame_of(Stream().frame)
    assert frame is not None
    with pytest.raises(ValueError, match="a VC has four headers"):
        frame.trains(HEADERS[:-1], 0, False, MOST)


# ── of cells ──

class Ends(NamedTuple):
    """A reassembler that keeps frames, another that does not, and the VCs of each."""

    whole: Reassembler
    single: Reassembler

    @classmethod
    def of(cls, encapsulation: Encapsulation, crc: CrcMode = CrcMode.STRICT, max_sdu: int = 2000) -> Ends:
        made = [Reassembler(VcTable(*(Vc(1, vci, encapsulation=encapsulation, crc=crc, max_sdu=max_sdu)
                                      for vci in (77, 78)))) for _ in range(2)]
        made[0].keeps_frames = True
        return cls(*made)

    def compare(self, cells: bytes, now: int = 0) -> list[int]:
        """Give the same cells to both: the counts of the packets in each SDU of the first."""
        got = self.whole.receive(cells, now)
        packets, counts = [], []
        for sdu in got:
            head = b""
            if sdu.frame is not None and sdu.vc.encapsulation is Encapsulation.LLC:
                version = sdu.frame.whole()[0] >> 4
                head = bytes.fromhex("AAAA03000000" + ("0800" if version == 4 else "86DD"))
            octets = [sdu.octets] if sdu.frame is None else [head + packet for packet in sdu.frame.packets()]
            packets += [(sdu.vc.vci, packet, sdu.clp, sdu.congested) for packet in octets]
            counts.append(len(octets))
        assert packets == [(sdu.vc.vci, sdu.octets, sdu.clp, sdu.congested)
                           for sdu in self.single.receive(cells, now)]
        assert self.whole.drops == self.single.drops
        assert self.whole.octets_pending == self.single.octets_pending
        for one, other in zip(self.whole.table, self.single.table, strict=True):
            for name in ("rx_cells", "rx_pdus", "rx_clp1", "rx_efci", "cells_pending", "clp_pending", "discarding"):
                assert getattr(one, name) == getattr(other, name), name
        return counts


@compiled_only
@pytest.mark.parametrize("encapsulation", ENCAPSULATIONS)
@pytest.mark.parametrize("stream", [Stream(data=Random(1).randbytes(60_000)),
                                    Stream(data=Random(2).randbytes(60_001), last_flags=PSH).over_ipv6()],
                         ids=["IPv4", "IPv6"])
def test_cells_of_segments_become_the_frame_they_were_cut_from(stream: Stream, encapsulation: Encapsulation) -> None:
    ends = Ends.of(encapsulation)
    vc = Vc(1, 77, encapsulation=encapsulation)
    cells = b"".join(segment(packet, vc) for packet in stream.packets)
    assert ends.compare(cells) == [42]
    [sdu] = Ends.of(encapsulation).whole.receive(cells, 0)
    assert sdu.frame is not None
    assert (sdu.frame.octets(), sdu.octets) == (stream.frame, b"")
    assert ends.compare(cells[:-CELL_SIZE]) == [41], "the last packet waits for its last cell"
    assert ends.compare(cells[-CELL_SIZE:]) == [1]


@compiled_only
@given(stream=streams(plain=True), llc=st.booleans())
def test_a_frame_that_went_as_cells_comes_back(stream: Stream, llc: bool) -> None:
    """PDUs of a few cells stay single."""
    vc = Vc(1, 77, encapsulation=ENCAPSULATIONS[llc])
    trains = [segment(packet, vc) for packet in stream.packets]
    counts = Ends.of(ENCAPSULATIONS[llc]).compare(b"".join(trains))
    assert counts == [len(trains)] if len(trains[0]) >= 4 * CELL_SIZE else [1] * len(trains)


@st.composite
def cell_trains(draw: st.DrawFn) -> list[bytes]:
    """The trains of bursts on two VCs, with either CLP, EFCI at times, and faults in some cells."""
    vcs = [Vc(1, vci, encapsulation=draw(st.sampled_from(ENCAPSULATIONS))) for vci in (77, 78)]
    trains = []
    vc, clp = vcs[0], 0
    for packet in draw(bursts()):
        if draw(st.integers(0, 9)) == 0:
            vc, clp = draw(st.sampled_from(vcs)), draw(st.integers(0, 1))
        if packet[:1] and packet[0] >> 4 in (4, 6):
            trains.append(segment(packet, vc, clp))
    for _ in range(draw(st.integers(0, 3))):
        if trains:
            at = draw(st.integers(0, len(trains) - 1))
            trains[at] = faulty(draw, trains[at]) if trains[at] else b""
    return trains


def faulty(draw: st.DrawFn, train: bytes) -> bytes:
    """A train with a changed octet, a lost cell or a doubled cell."""
    cell = draw(st.integers(0, len(train) // CELL_SIZE - 1)) * CELL_SIZE
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return train[:cell] + train[cell + CELL_SIZE:]
    if kind == 1:
        return train[:cell + CELL_SIZE] + train[cell:]
    at = cell + draw(st.integers(0, CELL_SIZE - 1))
    return train[:at] + bytes((train[at] ^ 1 << draw(st.integers(0, 7)),)) + train[at + 1:]


@given(trains=cell_trains(), cuts=st.lists(st.integers(0, 400), max_size=3), data=st.data())
@examples(200)
def test_frames_or_not_the_packets_and_counters_are_the_same(
    trains: list[bytes], cuts: list[int], data: st.DataObject,
) -> None:
    cells = b"".join(trains)
    count = len(cells) // CELL_SIZE
    ends = Ends.of(data.draw(st.sampled_from(list(Encapsulation))), data.draw(st.sampled_from(list(CrcMode))),
                   data.draw(st.sampled_from([9188, 2000, 1000, 200])))
    for begin, end in pairwise([0, *sorted(min(cut, count) for cut in cuts), count]):
        ends.compare(cells[begin * CELL_SIZE:end * CELL_SIZE])


@compiled_only
@given(stream=streams(plain=True), which=st.integers(0, 9), data=st.data())
def test_a_packet_that_is_wrong_stays_by_itself(stream: Stream, which: int, data: st.DataObject) -> None:
    """Its sum must not become right by NEEDS_CSUM; what AAL5 carries is right, whatever the packet is."""
    packets = stream.packets
    packets[which % len(packets)] = changed(data.draw, packets[which % len(packets)])
    vc = Vc(1, 77)
    Ends.of(Encapsulation.VC_MUX).compare(b"".join(segment(packet, vc) for packet in packets if packet))


@compiled_only
@pytest.mark.parametrize("wrong", [36, 60, 1499])
def test_wrong_tcp_checksums_are_kept(wrong: int) -> None:
    packets = Stream(data=bytes(8 * 1448)).packets
    packets[4] = packets[4][:wrong] + bytes((packets[4][wrong] ^ 1,)) + packets[4][wrong + 1:]
    vc = Vc(1, 77)
    assert Ends.of(Encapsulation.VC_MUX).compare(b"".join(segment(packet, vc) for packet in packets)) == [4, 1, 3]


@compiled_only
def test_no_frame_is_kept_unless_it_is_wanted() -> None:
    ends = Ends.of(Encapsulation.VC_MUX)
    vc = Vc(1, 77)
    cells = b"".join(segment(packet, vc) for packet in Stream().packets)
    assert [sdu.octets for sdu in ends.single.receive(cells, 0)] == Stream().packets


@compiled_only
@given(cells=st.binary(max_size=700), at=st.integers(-2, 15), end=st.integers(-2, 15), llc=st.booleans())
def test_any_cells_are_no_frame(cells: bytes, at: int, end: int, llc: bool) -> None:
    assert offload.gulp(cells, at, end, 65_535, llc) is None


@compiled_only
def test_buffers_are_used_again() -> None:
    """Many frames at once, and each has its own octets."""
    streams_ = [Stream(data=bytes((n,)) * 5000) for n in range(40)]
    for _ in range(2):
        frames = [offload.frame_of(stream.frame) for stream in streams_]
        assert [frame.octets() for frame in frames if frame is not None] == [stream.frame for stream in streams_]
