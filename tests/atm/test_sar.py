"""Segmentation and reassembly: what must come out whatever happens to cells on the way."""

from __future__ import annotations

import copy
import pickle
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.sar import Reassembler, segment
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.drops import DropReason
from atmdepot.wire.aal5 import MAX_SDU, CrcMode, cpcs_pdu, to_cells
from atmdepot.wire.cell import CellHeader, HecMode, Interface
from atmdepot.wire.llc import Encapsulation, EncapsulationError
from tests.atm.plain_reassembler import plain_pdu
from tests.effort import examples

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

IDS = [(0, 32), (1, 64), (1, 65), (2, 64), (255, 65535)]


class Cell(NamedTuple):
    """A cell on its way: which of its PDU's cells it is, and its octets."""

    vc: tuple[int, int]
    pdu: int
    position: int
    count: int
    octets: bytes
    intact: bool = True


def cut(train: bytes) -> list[bytes]:
    return [train[at:at + 53] for at in range(0, len(train), 53)]


def flip(octets: bytes, bit: int) -> bytes:
    return (int.from_bytes(octets, "big") ^ 1 << len(octets) * 8 - 1 - bit).to_bytes(len(octets), "big")


@st.composite
def traffic(draw: st.DrawFn) -> tuple[dict[tuple[int, int], list[bytes]], list[Cell]]:
    """Packets on several VCs, each unlike all others, and their cells interleaved in any order."""
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True))
    sent: dict[tuple[int, int], list[bytes]] = {}
    queues = []
    for number, key in enumerate(ids):
        sizes = draw(st.lists(st.integers(0, 300), min_size=1, max_size=4))
        sent[key] = [bytes((number, n, 7)) + draw(st.sampled_from([b"\0", b"\xFF", b"\x5A"])) * size
                     for n, size in enumerate(sizes)]
        queues.append([
            Cell(key, n, position, len(cells), cell)
            for n, sdu in enumerate(sent[key])
            for cells in [cut(segment(sdu, Vc(*key), draw(st.integers(0, 1))))]
            for position, cell in enumerate(cells)])
    random = draw(st.randoms(use_true_random=False))
    order = []
    while queues := [queue for queue in queues if queue]:
        order.append(random.choice(queues).pop(0))
    return sent, order


def receive_all(
        cells: list[bytes], pieces: int = 1, **options: int) -> tuple[Reassembler, dict[tuple[int, int], list[bytes]]]:
    receiver = Reassembler(VcTable(*(Vc(*key) for key in IDS)), **options)
    got: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    for at in range(0, len(cells), pieces):
        for sdu in receiver.receive(b"".join(cells[at:at + pieces]), now=0):
            got[sdu.vc.vpi, sdu.vc.vci].append(sdu.octets)
    return receiver, got


@given(traffic(), st.integers(1, 200))
def test_every_packet_comes_out_in_its_vcs_order_however_cells_are_interleaved(
        made: tuple[dict[tuple[int, int], list[bytes]], list[Cell]], pieces: int) -> None:
    sent, cells = made
    receiver, got = receive_all([cell.octets for cell in cells], pieces)
    assert got == sent
    assert not +receiver.drops
    assert receiver.octets_pending == 0


@st.composite
def suffered(draw: st.DrawFn, cells: list[Cell]) -> list[Cell]:
    """Cells lost, doubled, damaged, moved (within their VC too), and strays put between them."""
    arriving = list(cells)
    for _ in range(draw(st.integers(1, 6))):
        if not arriving:
            break
        at = draw(st.integers(0, len(arriving) - 1))
        cell = arriving[at]
        match draw(st.sampled_from(["lose", "double", "header", "header2", "payload", "move", "stray"])):
            case "lose":
                del arriving[at]
            case "double":
                arriving.insert(draw(st.integers(0, len(arriving))), cell)
            case "header":
                arriving[at] = cell._replace(octets=flip(cell.octets, draw(st.integers(0, 39))), intact=False)
            case "header2":
                bits = draw(st.lists(st.integers(0, 39), min_size=2, max_size=2, unique=True))
                arriving[at] = cell._replace(octets=flip(flip(cell.octets, bits[0]), bits[1]), intact=False)
            case "payload":
                arriving[at] = cell._replace(octets=flip(cell.octets, draw(st.integers(40, 423))), intact=False)
            case "move":
                arriving.insert(draw(st.integers(0, len(arriving) - 1)), arriving.pop(at))
            case "stray":
                # A cell of another VC, or noise, under the header of this one. (The only cell of a PDU would be that
                # VC's packet delivered here: AAL5 has no means against it, so it is no stray.)
                other = draw(st.sampled_from(cells))
                payload = other.octets[5:] if other.count > 1 else draw(st.binary(min_size=48, max_size=48))
                arriving.insert(at, Cell(cell.vc, -1, 0, 0, cell.octets[:5] + payload, intact=False))
    return arriving


def must_arrive(arriving: list[Cell]) -> dict[tuple[int, int], set[int]]:
    """The PDUs whose cells all came in order, undamaged, nothing between them, after an undamaged last cell."""
    due: dict[tuple[int, int], set[int]] = defaultdict(set)
    by_vc: dict[tuple[int, int], list[Cell]] = defaultdict(list)
    for cell in arriving:
        by_vc[cell.vc].append(cell)
    for key, cells in by_vc.items():
        for at, first in enumerate(cells):
            run = cells[at:at + first.count]
            whole = first.count and [(c.pdu, c.position, c.intact) for c in run] == [
                (first.pdu, n, True) for n in range(first.count)]
            before = cells[at - 1] if at else None
            if whole and (before is None or (before.intact and before.position == before.count - 1)):
                due[key].add(first.pdu)
    return due


@examples(400)
@given(st.data())
def test_no_wrong_sdu_is_delivered_and_no_undamaged_one_is_lost(data: st.DataObject) -> None:
    sent, cells = data.draw(traffic())
    arriving = data.draw(suffered(cells))
    receiver, got = receive_all([cell.octets for cell in arriving], data.draw(st.integers(1, 40)))
    for key, packets in got.items():
        assert all(packet in sent[key] for packet in packets), "a packet that was never sent on this VC"
    for key, numbers in must_arrive(arriving).items():
        assert all(sent[key][number] in got[key] for number in numbers)
    receiver.expire(now=receiver.timeout)
    assert receiver.octets_pending == 0
    assert receiver.next_timer() is None


@given(traffic(), st.randoms(use_true_random=False))
def test_lost_last_cell_never_joins_two_packets_into_one(
        made: tuple[dict[tuple[int, int], list[bytes]], list[Cell]], random: Random) -> None:
    """I.363.5 section 8.2: the joined PDU shows as an error, and the packet after it arrives."""
    sent, cells = made
    lost = {(c.vc, c.pdu) for c in cells if random.random() < 0.4}
    receiver, got = receive_all(
        [c.octets for c in cells if c.position < c.count - 1 or (c.vc, c.pdu) not in lost])
    for key, packets in sent.items():
        # A packet goes down with the one before it only where cells of that one came.
        expected = [packet for n, packet in enumerate(packets) if (key, n) not in lost and not (
            n and (key, n - 1) in lost and _cells_kept(cells, key, n, lost))]
        assert got[key] == expected
    assert sum(receiver.drops.values()) == sum(
        1 for key, packets in sent.items() for n in range(len(packets))
        if (key, n) not in lost and n and (key, n - 1) in lost and _cells_kept(cells, key, n, lost))


def _cells_kept(cells: list[Cell], key: tuple[int, int], n: int, lost: set[tuple[tuple[int, int], int]]) -> bool:
    """True when any cell of the lost packets right before packet `n` came."""
    before = n - 1
    while before >= 0 and (key, before) in lost:
        if any(c.vc == key and c.pdu == before and c.count > 1 for c in cells):
            return True
        before -= 1
    return False


@given(st.binary(max_size=53 * 30).map(lambda octets: octets[:len(octets) // 53 * 53]),
       st.lists(st.tuples(st.sampled_from([(1, 64), (1, 65), (1, 3), (0, 0), (5, 99)]), st.integers(0, 7),
                          st.integers(0, 1), st.integers(0, 15), st.binary(min_size=48, max_size=48))),
       st.sampled_from(Interface))
def test_random_octets_raise_nothing_and_fill_nothing(
        noise: bytes, made: list[tuple[tuple[int, int], int, int, int, bytes]], interface: Interface) -> None:
    table = VcTable(Vc(1, 64, interface=interface, max_sdu=200), Vc(1, 65, interface=interface, crc=CrcMode.IGNORE))
    receiver = Reassembler(table, interface=interface, max_octets=960)
    uni = interface is Interface.UNI
    with_headers = b"".join(CellHeader(*key, pti, clp, gfc if uni else 0).pack(interface) + payload
                            for key, pti, clp, gfc, payload in made)
    for octets in (noise, with_headers):
        receiver.receive(octets, now=0)
        assert receiver.octets_pending <= 960
        assert len(receiver._partial) + len(receiver._discarding) <= len(table)
    receiver.expire(now=receiver.timeout)
    assert receiver.octets_pending == 0


@given(traffic(), st.integers(0, 48 * 12))
def test_the_unfinished_pdus_do_not_depend_on_how_cells_arrive(
        made: tuple[dict[tuple[int, int], list[bytes]], list[Cell]], max_octets: int) -> None:
    """A whole PDU in one burst pushes out what its cells would have pushed out one by one."""
    _, cells = made
    outcomes = []
    for pieces in (1, 3, len(cells)):
        receiver, got = receive_all([cell.octets for cell in cells], pieces, max_octets=max_octets)
        outcomes.append((got, receiver.drops, receiver.octets_pending, receiver.next_timer()))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@given(st.integers(1, 105).filter(lambda n: n % 53))
def test_octets_that_are_no_whole_cells_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="no whole number"):
        Reassembler(VcTable()).receive(bytes(length), now=0)


def test_burst_of_equal_bad_headers_is_mended_once() -> None:
    """In detection mode the second cell is dropped, also when it comes in the same burst (I.432.1 figure 3)."""
    vc = Vc(1, 64)
    train = bytearray(segment(bytes(range(200)), Vc(1, 64)))
    for cell in range(3):
        train[cell * 53 + 1] ^= 0x04
    receiver = Reassembler(VcTable(vc))
    assert receiver.receive(bytes(train), now=0) == []
    assert (receiver.hec.corrected, receiver.hec.discarded) == (1, 2)
    assert receiver.drops[DropReason.HEC_ERROR] == 2
    assert vc.rx_cells == 3


def test_good_header_known_before_restores_correction_mode() -> None:
    """A header found in the cache is a good header: after it one wrong bit is mended again."""
    receiver = Reassembler(VcTable(Vc(1, 64)))
    whole = segment(bytes(100), Vc(1, 64))
    bad = flip(whole[:53], 9) + whole[53:]
    for _ in range(3):
        assert [sdu.octets for sdu in receiver.receive(whole, now=0)] == [bytes(100)]
        assert [sdu.octets for sdu in receiver.receive(bad, now=0)] == [bytes(100)]
    assert (receiver.hec.corrected, receiver.hec.discarded) == (3, 0)
    assert receiver.hec.mode is HecMode.CORRECTION


def test_bad_header_after_bad_header_is_dropped() -> None:
    receiver = Reassembler(VcTable(Vc(1, 64)))
    one = segment(b"one", Vc(1, 64))
    assert len(receiver.receive(flip(one, 9) + flip(one, 20) + one + flip(one, 20), now=0)) == 3
    assert receiver.drops == {DropReason.HEC_ERROR: 1}


@pytest.mark.parametrize("marked", [None, 0, 1, 2])
def test_clp_of_an_sdu_is_the_or_of_its_cells_and_congestion_that_of_the_last(marked: int | None) -> None:
    pdu = plain_pdu(bytes(100))
    headers = [CellHeader(1, 64, (n == 2) | (n == marked) << 1, int(n == marked)).pack() for n in range(3)]
    octets = b"".join(header + pdu[48 * n:48 * n + 48] for n, header in enumerate(headers))
    vc = Vc(1, 64)
    receiver = Reassembler(VcTable(vc))
    for times in (1, 2):  # the second time all headers are known
        first, second = receiver.receive(octets + segment(b"after", Vc(1, 64)), now=0)
        assert (first.clp, first.congested) == (int(marked is not None), marked == 2)
        assert (second.clp, second.congested) == (0, False)
        assert (vc.rx_clp1, vc.rx_efci) == (times * (marked is not None), times * (marked == 2))


def test_clp_of_a_packet_given_up_does_not_taint_the_next() -> None:
    vc = Vc(1, 64, max_sdu=88)
    receiver = Reassembler(VcTable(vc))
    far = Vc(1, 64)
    assert receiver.receive(segment(bytes(500), far, 1), now=0) == []
    assert receiver.receive(segment(bytes(500), far, 1)[:106], now=0) == []
    receiver.expire(now=receiver.timeout)
    assert [sdu.clp for sdu in receiver.receive(segment(bytes(80), far), now=0)] == [0]
    assert receiver.drops == {DropReason.OVERSIZE: 1, DropReason.REASSEMBLY_TIMEOUT: 1}


def test_timeout_is_that_of_the_first_cell_and_the_late_rest_is_an_error() -> None:
    receiver = Reassembler(VcTable(Vc(1, 64)), timeout=100)
    cells = cut(segment(bytes(100), Vc(1, 64)))
    receiver.receive(cells[0], now=10)
    receiver.receive(cells[1], now=90)
    assert receiver.next_timer() == 110
    receiver.expire(now=109)
    assert receiver.octets_pending == 96
    receiver.expire(now=110)
    assert (receiver.octets_pending, receiver.next_timer()) == (0, None)
    assert receiver.receive(cells[2], now=120) == []
    assert receiver.drops == {DropReason.REASSEMBLY_TIMEOUT: 1, DropReason.CRC_ERROR: 1}


def test_packet_given_up_is_dropped_to_its_end_but_not_for_ever() -> None:
    """The rest of a PDU that was too great is not taken for a PDU; without an end, the timer ends it."""
    receiver = Reassembler(VcTable(Vc(1, 64, max_sdu=40)), timeout=100)
    far = Vc(1, 64)
    long, short = segment(bytes(400), far), segment(b"short", far)
    assert [sdu.octets for sdu in receiver.receive(long + short, now=0)] == [b"short"]
    assert receiver.receive(long[:-53] + short, now=0) == []
    assert receiver.receive(long[:-53], now=0) == []
    assert receiver.next_timer() == 100
    receiver.expire(now=100)
    assert [sdu.octets for sdu in receiver.receive(short, now=100)] == [b"short"]
    assert receiver.drops == {DropReason.OVERSIZE: 3}


def test_oldest_goes_when_too_many_octets_wait() -> None:
    vcs = [Vc(1, vci) for vci in range(64, 68)]
    receiver = Reassembler(VcTable(*vcs), max_octets=48 * 4)
    trains = [segment(bytes((n,)) * 90, Vc(1, vc.vci)) for n, vc in enumerate(vcs)]  # 3 cells each
    for train in trains:
        receiver.receive(train[:106], now=0)
        assert receiver.octets_pending <= 48 * 4
    assert receiver.drops == {DropReason.REASSEMBLY_OVERFLOW: 2}
    finished = [sdu.octets[0] for train in trains for sdu in receiver.receive(train[106:], now=0)]
    assert finished == [2, 3]
    assert receiver.octets_pending == 0


def test_octets_that_wait_are_at_most_the_bound_after_every_cell() -> None:
    vcs = [Vc(1, vci) for vci in range(64, 69)]
    receiver = Reassembler(VcTable(*vcs), max_octets=48 * 4)
    trains = [cut(segment(bytes(200), Vc(1, vc.vci))) for vc in vcs]
    for position in range(4):
        for train in trains:
            receiver.receive(train[position], now=0)
            assert receiver.octets_pending == 48 * sum(len(vc.pieces) for vc in vcs) <= 48 * 4
    assert receiver.drops == {DropReason.REASSEMBLY_OVERFLOW: 4}


def test_one_burst_that_outgrows_all_that_may_wait_frees_it_all() -> None:
    vcs = [Vc(1, vci) for vci in range(64, 69)]
    receiver = Reassembler(VcTable(*vcs), max_octets=48 * 4)
    for vc in vcs[:4]:
        receiver.receive(segment(bytes(80), Vc(1, vc.vci))[:53], now=0)
    receiver.receive(segment(bytes(500), Vc(1, 68))[:53 * 4], now=0)
    assert receiver.octets_pending == 48 * 4
    assert receiver.drops == {DropReason.REASSEMBLY_OVERFLOW: 4}


@pytest.mark.parametrize("pieces", [1, 3, 100])
def test_too_great_a_packet_in_one_burst_pushes_out_what_its_cells_would_one_by_one(pieces: int) -> None:
    """Counters and losses do not hang on how a link cuts its datagrams."""
    receiver = Reassembler(VcTable(Vc(1, 64), Vc(1, 65, max_sdu=100)), max_octets=48 * 3)
    waiting = segment(bytes(80), Vc(1, 64))
    receiver.receive(waiting[:53], now=0)
    cells = cut(segment(bytes(800), Vc(1, 65)))
    for at in range(0, len(cells), pieces):
        receiver.receive(b"".join(cells[at:at + pieces]), now=0)
    assert receiver.receive(waiting[53:], now=0) == []
    assert receiver.drops == {DropReason.REASSEMBLY_OVERFLOW: 1, DropReason.OVERSIZE: 1}


def test_forgotten_vc_leaves_nothing_and_its_number_may_be_another_vc() -> None:
    old, new = Vc(1, 64), Vc(1, 64)
    table = VcTable(old)
    receiver = Reassembler(table)
    train = segment(bytes(100), Vc(1, 64))
    receiver.receive(train + train[:53], now=0)
    table.remove(old)
    receiver.forget(old)
    assert (receiver.octets_pending, receiver.next_timer()) == (0, None)
    receiver.receive(train[:53], now=0)
    assert receiver.drops == {DropReason.UNKNOWN_VC: 1}
    table.add(new)
    assert [sdu.vc for sdu in receiver.receive(train, now=0)] == [new]


def test_idle_and_oam_cells_between_a_packets_cells_change_nothing() -> None:
    vc = Vc(1, 64)
    receiver = Reassembler(VcTable(vc))
    other = b"".join(CellHeader(*head).pack() + bytes(48) for head in (
        (0, 0, 0, 1), (0, 0, 0, 0), (1, 64, 4), (1, 64, 5), (1, 64, 6), (1, 64, 7), (1, 3), (1, 4), (1, 5), (0, 16)))
    cells = cut(segment(bytes(100), Vc(1, 64)))
    assert [sdu.octets for sdu in receiver.receive(other.join(cells), now=0)] == [bytes(100)]
    assert (receiver.unassigned_cells, receiver.drops) == (4, {DropReason.NOT_USER_DATA: 16})
    assert vc.rx_cells == 3


@pytest.mark.parametrize(("crc", "accepted"), [
    (CrcMode.STRICT, [True, False, False, False]),
    (CrcMode.DYNAMIPS, [True, True, True, False]),
    (CrcMode.IGNORE, [True, True, True, True])])
def test_crc_of_a_vc_says_what_it_accepts(crc: CrcMode, accepted: list[bool]) -> None:
    right = cpcs_pdu(bytes(100))
    bridge = cpcs_pdu(bytes(100), crc=CrcMode.DYNAMIPS)
    adapter = bridge[:-4] + bytes(octet ^ 0xFF for octet in bridge[-4:])
    wrong = bridge[:-1] + bytes((bridge[-1] ^ 1,))
    header, last = Vc(1, 64).headers[0]
    for pdu, accept in zip((right, bridge, adapter, wrong), accepted, strict=True):
        receiver = Reassembler(VcTable(Vc(1, 64, crc=crc)))
        assert [sdu.octets for sdu in receiver.receive(to_cells(pdu, header, last), now=0)] == [bytes(100)] * accept
        assert receiver.drops[DropReason.CRC_ERROR] == (not accept)


@pytest.mark.parametrize(("length", "cells"), [
    (1, 1), (40, 1), (41, 2), (88, 2), (1500, 32), (9180, 192), (65535, 1366)])
def test_segment_counts_cells_as_the_standard_does(length: int, cells: int) -> None:
    vc = Vc(1, 64)
    train = segment(bytes(length), vc, 1)
    assert len(train) == 53 * cells
    assert (vc.tx_pdus, vc.tx_cells) == (1, cells)
    assert [sdu.octets for sdu in Reassembler(VcTable(Vc(1, 64))).receive(train, now=0)] == [bytes(length)]
    headers = [CellHeader.unpack(cell) for cell in cut(train)]
    assert all(header.clp == 1 for header in headers)
    assert [header.is_last for header in headers] == [False] * (cells - 1) + [True]


def test_whoever_plays_with_the_gfc_loses_no_packet() -> None:
    vc = Vc(1, 64)
    receiver = Reassembler(VcTable(vc))
    pdu = plain_pdu(bytes(100))
    for gfc in range(16):
        cells = b"".join(CellHeader(1, 64, int(n == 2), gfc=gfc).pack() + pdu[48 * n:48 * n + 48] for n in range(3))
        assert [sdu.octets for sdu in receiver.receive(cells, now=0)] == [bytes(100)]
    assert (receiver.octets_pending, vc.rx_pdus, +receiver.drops) == (0, 16, {})


def test_sdu_comes_apart_in_the_order_of_its_fields() -> None:
    vc = Vc(1, 64)
    (sdu,) = Reassembler(VcTable(vc)).receive(segment(b"octets", vc, 1), now=0)
    assert [*sdu] == [vc, b"octets", 1, False]
    assert repr(sdu) == "Sdu(vc=Vc(1/64 UBR.1), octets=b'octets', clp=1, congested=False)"


@pytest.mark.parametrize("again", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copy_of_a_reassembler_goes_on_by_itself(again: Callable[[Any], Any]) -> None:
    """`explain` asks a copy what would be; the VCs know their owners, and those their VCs."""
    vc = Vc(1, 64, encapsulation=Encapsulation.LLC)
    vc.owner = [vc]
    receiver = Reassembler(VcTable(vc, Vc(2, 64)), timeout=100)
    packet = b"\x45" + bytes(150)
    train = segment(packet, vc)
    receiver.receive(train[:106], now=7)
    other = again(receiver)
    (mine,) = other._partial
    assert mine is other.table.find(1, 64) is mine.owner[0] is not vc
    assert (mine.headers, mine.tx_cells, mine.rx_cells, other.next_timer()) == (vc.headers, 4, 2, 107)
    for one in (other, receiver):
        assert one.octets_pending == 96
        (sdu,) = one.receive(train[106:], now=8)
        assert sdu.octets.endswith(packet)
        assert sdu.vc is one.table.find(1, 64)
        assert (one.octets_pending, sdu.vc.rx_pdus) == (0, 1)


def test_vcs_are_told_apart_by_identity() -> None:
    assert len({Vc(1, 64), Vc(1, 64)}) == 2
    assert Vc(1, 64) != Vc(1, 64)


@pytest.mark.parametrize(("interface", "vpi", "vci", "wrong"), [
    (Interface.UNI, 256, 0, "vpi 256 does not fit the 8 bits it has at UNI"),
    (Interface.UNI, -1, 0, "vpi -1 does not fit the 8 bits"), (Interface.NNI, 4096, 0, "vpi 4096 does not fit the 12"),
    (Interface.NNI, 0, 65536, "vci 65536 does not fit the 16"), (Interface.UNI, 0, -1, "vci -1 does not fit the 16")])
def test_vc_whose_numbers_do_not_fit_is_refused(interface: Interface, vpi: int, vci: int, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Vc(vpi, vci, interface=interface)


@given(st.sampled_from(Interface), st.data())
def test_headers_of_a_vc(interface: Interface, data: st.DataObject) -> None:
    vpi = data.draw(st.integers(0, 255 if interface is Interface.UNI else 4095))
    vci = data.draw(st.integers(0, 65535))
    assert Vc(vpi, vci, interface=interface).headers == tuple(
        tuple(CellHeader(vpi, vci, pti, clp).pack(interface) for pti in (0, 1)) for clp in (0, 1))


@pytest.mark.parametrize("length", [0, MAX_SDU + 1])
def test_sdu_that_aal5_cannot_carry_is_refused(length: int) -> None:
    vc = Vc(1, 64)
    with pytest.raises(ValueError, match="1 to 65535 octets"):
        segment(bytes(length), vc)
    assert (vc.tx_pdus, vc.tx_cells) == (0, 0)


def test_packet_that_llc_cannot_name_is_refused() -> None:
    with pytest.raises(EncapsulationError):
        segment(b"\x70", Vc(1, 64, encapsulation=Encapsulation.LLC))
