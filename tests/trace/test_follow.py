"""The follower against the receiver that nodes have, through any cells, faults and times; and what files add to it."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atmdepot.atm.sar import Reassembler, segment
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.drops import DropReason
from atmdepot.net.events import Cells, Drop, Missed, SessionChange
from atmdepot.trace import assembler, follow
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Cell, CrcVerdict, HecVerdict, Pdu, Session
from atmdepot.trace.sources import CapturedCells, HecMark, PduSeen, Remark
from atmdepot.wire.aal5 import CrcMode, cpcs_pdu
from atmdepot.wire.cell import CellHeader, Interface
from tests.aal5 import abort_pdu
from tests.atm.plain_reassembler import plain_crc32, plain_hec
from tests.effort import examples
from tests.ip_packets import tcp, udp
from tests.trace.captures import cells_of, flipped, train_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atmdepot.drops import OnChannel
    from atmdepot.trace.items import Item

TIMEOUT = 1000
MAX_CELLS_OF_A_PDU = 9
MAX_SDU = MAX_CELLS_OF_A_PDU * 48 - 8
MAX_WAITING = 11
VCS = (1, 40), (1, 41), (2, 40)
PACKET = tcp("10.9.0.2", 4000, "10.80.0.1", 80, 0x18, seq=1, ack=1, data=b"GET / HTTP/1.1\r\n\r\n")
keys = st.sampled_from(VCS)
run_lengths = st.integers(1, 12) | st.just(100)
Key = tuple[int, int]


def items_of(follower: Follower, *trains: bytes, time: int = 0, link: str = "l", direction: str = "in") -> list[Item]:
    """The items of trains, a record each."""
    return [item for train in trains for item in follower.take(Cells(time, link, direction, train))]


def pdus_in(items: Sequence[Item]) -> list[Pdu]:
    return [item for item in items if isinstance(item, Pdu)]


def cells_in(items: Sequence[Item]) -> list[Cell]:
    return [item for item in items if isinstance(item, Cell)]


def fields_of(pdu: Pdu) -> dict[str, object]:
    """All that a PDU says, but its cells."""
    names = [name for name in Pdu.__slots__ if name not in ("cells", "_carried")]
    return {name: getattr(pdu, name) for name in names}


clps = st.integers(0, 1)
stray_cells = st.builds(
    lambda fields, payload: CellHeader(*fields).pack() + payload,
    st.one_of(
        st.tuples(st.just(0), st.just(0), st.integers(0, 7), clps, st.integers(0, 15)),
        st.tuples(st.integers(1, 2), st.sampled_from([1, 2, 3, 4, 6, 31, 40]), st.integers(4, 7), clps),
        st.tuples(st.integers(1, 2), st.sampled_from([1, 2, 3, 4, 6, 31]), st.integers(0, 7)),
        st.tuples(st.just(1), st.sampled_from([40, 41]), st.integers(0, 3), clps)),
    st.binary(min_size=48, max_size=48))
"""Idle, unassigned, OAM, RM, of reserved VCIs; or user cells misinserted into a VC of ours."""


class Receiver:
    """A node's receiver of one direction of a link, with the order in which it drops."""

    def __init__(self, crc: CrcMode, max_cells: int) -> None:
        self.real = Reassembler(VcTable(*(Vc(*key, max_sdu=MAX_SDU, crc=crc) for key in VCS)), timeout=TIMEOUT,
                                max_octets=48 * max_cells)
        self.real.drops.subscribe(self._watch)
        self.dropped: list[tuple[str, Key | None]] = []

    def _watch(self, reason: DropReason, count: int, octets: bytes | memoryview, vc: OnChannel | None) -> None:
        of_pdu = vc is not None and reason.unit == "PDUs"
        if of_pdu or reason is DropReason.HEC_ERROR:
            self.dropped.append((reason, vc.channel if vc is not None and of_pdu else None))

    def take_dropped(self) -> list[tuple[str, Key | None]]:
        taken, self.dropped = self.dropped, []
        return taken


class FollowerMachine(RuleBasedStateMachine):
    """Two followers, one of them showing cells, see what the receivers get, cut into records in another way."""

    @initialize(crc=st.sampled_from(CrcMode), crowded=st.booleans())
    def begin(self, crc: CrcMode, crowded: bool) -> None:
        self.before, assembler._MAX_CELLS_OF_A_PDU = assembler._MAX_CELLS_OF_A_PDU, MAX_CELLS_OF_A_PDU
        self.max_cells = MAX_WAITING if crowded else 1000
        # The bound on what waits is one for all links together, so with a tight one there is but one direction.
        self.receivers = {way: Receiver(crc, self.max_cells) for way in (("in",) if crowded else ("in", "out"))}
        self.plain, self.detailed = (
            Follower(cells=cells, crc=crc, timeout=TIMEOUT, max_cells=self.max_cells) for cells in (False, True))
        self.crc = crc
        self.now = 0
        self.random = Random(1)
        self.unsent: dict[tuple[str, Key], list[bytes]] = {(way, key): [] for way in self.receivers for key in VCS}
        self.shown: list[Cell] = []

    def teardown(self) -> None:
        assembler._MAX_CELLS_OF_A_PDU = getattr(self, "before", assembler._MAX_CELLS_OF_A_PDU)
        if hasattr(self, "plain"):
            assert len(self.plain.finish()) == len(self.detailed.finish())
            assert not self.plain._pdus._partial
            assert self.plain._pdus._waiting == self.detailed._pdus._waiting == 0
            assert all((cell.pdu is not None and cell in cell.pdu.cells) == bool(cell.position) for cell in self.shown)

    # Cells on their way.

    @rule(key=keys, way=st.sampled_from(["in", "out"]), size=st.integers(1, 450), clp=st.integers(-1, 5),
          efci=st.integers(-1, 9), is_packet=st.booleans())
    def sends(self, key: Key, way: str, size: int, clp: int, efci: int, is_packet: bool) -> None:
        sdu = self.random.randbytes(size) if not is_packet else udp("10.0.0.1", 1, "10.0.0.2", 2, bytes(size % 390))
        self._queue(way, key, cpcs_pdu(sdu, crc=self.crc), clp, efci)

    @rule(key=keys, way=st.sampled_from(["in", "out"]), length=st.sampled_from([0, 1, 39, 40, 41, 100, 65535]),
          cells=st.integers(1, 4))
    def sends_lying_length(self, key: Key, way: str, length: int, cells: int) -> None:
        body = bytes(48 * cells - 6) + length.to_bytes(2, "big")
        self._queue(way, key, body + plain_crc32(body).to_bytes(4, "big"), -1, -1)

    @rule(key=keys, way=st.sampled_from(["in", "out"]), cells=st.integers(1, 18), ends=st.booleans())
    def sends_on_and_on(self, key: Key, way: str, cells: int, ends: bool) -> None:
        """More than a PDU can have, perhaps without a last cell."""
        self._queue(way, key, bytes(48 * cells), -1, -1)
        if not ends:
            self.unsent[way if way in self.receivers else "in", key].pop()

    def _queue(self, way: str, key: Key, pdu: bytes, clp: int, efci: int) -> None:
        count = len(pdu) // 48
        headers = [CellHeader(*key, pti=(n == count - 1) | (n == efci) << 1, clp=int(n == clp)) for n in range(count)]
        self.unsent[way if way in self.receivers else "in", key] += [
            header.pack() + pdu[48 * n:48 * n + 48] for n, header in enumerate(headers)]

    @precondition(lambda self: any(self.unsent.values()))
    @rule(data=st.data(), kind=st.sampled_from(["lose", "double", "swap", "damage", "damage"]))
    def cells_suffer(self, data: st.DataObject, kind: str) -> None:
        """Two wrong bits in a header are always seen: no cell gets onto a VC that the receiver does not know."""
        ahead = self.unsent[data.draw(st.sampled_from([key for key, cells in self.unsent.items() if cells]))]
        at = data.draw(st.integers(0, len(ahead) - 1))
        if kind == "lose":
            del ahead[at]
        elif kind == "double":
            ahead.insert(at, ahead[at])
        elif kind == "swap":
            ahead[at:at + 2] = ahead[at:at + 2][::-1]
        else:
            bits = data.draw(st.lists(st.integers(0, 39), min_size=1, max_size=2, unique=True) | st.lists(
                st.integers(40, 423), min_size=1, max_size=3))
            for n in range(at, min(at + data.draw(st.integers(1, 4)), len(ahead)), data.draw(st.integers(1, 2))):
                if bits[0] >= 40 or plain_hec(ahead[n]) == ahead[n][4]:
                    ahead[n] = flipped(ahead[n], *bits)

    # Cells that arrive.

    @rule(way=st.sampled_from(["in", "out"]), runs=st.lists(st.tuples(keys, run_lengths), min_size=1, max_size=6),
          strays=st.lists(stray_cells, max_size=2), data=st.data())
    def burst_arrives(self, way: str, runs: list[tuple[Key, int]], strays: list[bytes], data: st.DataObject) -> None:
        way = way if way in self.receivers else "in"
        cells: list[bytes] = []
        for key, count in runs:
            cells += self.unsent[way, key][:count]
            del self.unsent[way, key][:count]
        for stray in strays:
            cells.insert(data.draw(st.integers(0, len(cells))), stray)
        parts = [self._cut(cells, data) for _ in range(3)]
        receiver = self.receivers[way].real
        sdus = [sdu for part in parts[0] for sdu in receiver.receive(part, self.now)]
        plain, detailed = (
            [item for part in own for item in follower.take(Cells(self.now, "l", way, part))]
            for own, follower in zip(parts[1:], (self.plain, self.detailed), strict=True))
        assert [(sdu.vc.vpi, sdu.vc.vci, sdu.octets, sdu.clp, sdu.congested) for sdu in sdus] == [
            (pdu.vpi, pdu.vci, pdu.sdu, pdu.clp, pdu.congested) for pdu in pdus_in(plain) if pdu.sdu]
        self._compare(plain, detailed, {way})
        self._check_cells(cells, plain, detailed)

    def _cut(self, cells: list[bytes], data: st.DataObject) -> list[bytes]:
        cuts = data.draw(st.lists(st.integers(0, len(cells)), max_size=3))
        return [b"".join(cells[first:end]) for first, end in pairwise([0, *sorted(cuts), len(cells)])]

    def _compare(self, plain: list[Item], detailed: list[Item], ways: set[str]) -> None:
        """Drops of the receivers show, in their order; and cells or no cells, the PDUs are the same."""
        for way in ways:
            of_way = [item for item in plain if isinstance(item, Cell | Pdu) and item.direction == way]
            shown = [("hec-error", None) if isinstance(item, Cell) else (str(item.problem), (item.vpi, item.vci))
                     for item in of_way if (item.problem if isinstance(item, Pdu) else item.hec is HecVerdict.BAD)]
            assert shown == self.receivers[way].take_dropped()
        assert [fields_of(pdu) for pdu in pdus_in(plain)] == [fields_of(pdu) for pdu in pdus_in(detailed)]

    def _check_cells(self, cells: list[bytes], plain: list[Item], detailed: list[Item]) -> None:
        """Every cell is an item once; PDUs have their cells, in order, and each knows its place."""
        self.shown += cells_in(detailed)
        assert [cell.octets for cell in cells_in(detailed)] == cells
        assert [cell.octets for cell in cells_in(plain)] == [
            cell.octets for cell in cells_in(detailed)
            if not cell.header.is_idle and (cell.hec is HecVerdict.BAD or not cell.header.is_user_data)]
        assert all(cell.position == 0 and cell.pdu is None for cell in cells_in(plain))
        for pdu in pdus_in(detailed):
            assert b"".join(cell.payload for cell in pdu.cells) == pdu.octets
            assert [cell.position for cell in pdu.cells] == list(range(1, pdu.count + 1))
            assert all(cell.pdu is pdu for cell in pdu.cells)
            assert len({cell.expected for cell in pdu.cells}) == 1
            assert sum(cell.hec is HecVerdict.CORRECTED for cell in pdu.cells) == pdu.hec_corrected
            if pdu.packet is not None and pdu.packet.total_length == len(pdu.sdu):
                assert pdu.cells[0].expected == pdu.count

    # Time.

    @rule(nanoseconds=st.sampled_from([1, 400, 999, 1000, 2500]))
    def time_passes(self, nanoseconds: int) -> None:
        """Overdue records go when the next one comes, be it of another link."""
        self.now += nanoseconds
        for receiver in self.receivers.values():
            receiver.real.expire(self.now)
        told = [follower.take(Cells(self.now, "other", "in", b"")) for follower in (self.plain, self.detailed)]
        self._compare(told[0], told[1], set(self.receivers))

    # What must hold at any time.

    @invariant()
    def headers_were_judged_alike(self) -> None:
        if not hasattr(self, "plain"):
            return
        for way, receiver in self.receivers.items():
            verdicts = [cell.hec for cell in self.shown if cell.direction == way]
            assert verdicts.count(HecVerdict.CORRECTED) == receiver.real.hec.corrected
            assert verdicts.count(HecVerdict.BAD) == receiver.real.hec.discarded

    @invariant()
    def memory_is_bounded_and_accounted(self) -> None:
        if not hasattr(self, "plain"):
            return
        for follower in (self.plain, self.detailed):
            held = [assembly for direction in follower._directions.values()
                    for assembly in direction.assemblies.values() if assembly.parts]
            assert set(held) == set(follower._pdus._partial)
            assert sum(len(assembly.parts) for assembly in held) == follower._pdus._waiting <= self.max_cells
            octets = sum(receiver.real.octets_pending for receiver in self.receivers.values())
            assert follower._pdus._waiting * 48 == octets
            assert follower._held == sum(1 + len(direction.assemblies) + len(direction.known)
                                         for direction in follower._directions.values())


FollowerMachine.TestCase.settings = examples(
    150, stateful_step_count=35, deadline=None, suppress_health_check=list(HealthCheck))
TestFollowerMachine = FollowerMachine.TestCase


# What the machine meets too seldom.


def test_a_known_header_ends_detection_mode() -> None:
    """I.432.1 figure 3: each of two single errors is mended when a good cell came between them."""
    train = cells_of(segment(bytes(40 + 48 * 4), Vc(1, 64)))
    train[1], train[2], train[4] = (flipped(train[n], 3) for n in (1, 2, 4))
    cells = cells_in(items_of(Follower(cells=True), b"".join(train)))
    assert [str(cell.hec) for cell in cells] == ["good", "corrected", "bad", "good", "corrected"]
    assert [cell.header.gfc for cell in cells] == [0, 0, 1, 0, 0]


def test_the_rest_of_a_pdu_given_up_is_skipped_for_one_timeout_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "_MAX_CELLS_OF_A_PDU", 3)
    cell, last = cells_of(segment(bytes(60), Vc(1, 64)))
    follower = Follower(timeout=TIMEOUT)
    assert items_of(follower, cell * 3, time=0) == []
    (oversize,) = pdus_in(items_of(follower, cell, time=900))
    assert (oversize.problem, oversize.count, oversize.begun, oversize.time) == (DropReason.OVERSIZE, 3, 0, 0)
    assert items_of(follower, cell, time=1899) == []
    (good,) = pdus_in(items_of(follower, cell + last, time=1900))
    assert good.sdu == bytes(60)
    assert good.begun == 1900


def test_a_pdu_given_up_ends_with_its_last_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "_MAX_CELLS_OF_A_PDU", 3)
    cell, last = cells_of(segment(bytes(60), Vc(1, 64)))
    items = items_of(Follower(cells=True), cell * 3 + last + cell + last)
    assert [type(item).__name__ for item in items] == ["Cell"] * 3 + ["Pdu", "Cell"] + ["Cell"] * 2 + ["Pdu"]
    assert [cell.position for cell in cells_in(items)] == [1, 2, 3, 0, 1, 2]
    assert pdus_in(items)[1].problem is None


@given(st.lists(st.tuples(keys, st.integers(0, 3), st.integers(-10**18, 10**18)), max_size=40))
def test_jumping_times_lose_no_cells(steps: list[tuple[Key, int, int]]) -> None:
    """Clocks of several nodes, and captures, may go back; every cell is in one PDU all the same."""
    follower = Follower(cells=True, timeout=TIMEOUT)
    items: list[Item] = []
    for key, pti, now in steps:
        items += items_of(follower, CellHeader(*key, pti).pack() + bytes(48), time=now)
    items += follower.finish()
    assert len(cells_in(items)) == len(steps)
    assert sum(pdu.count for pdu in pdus_in(items)) == len(steps)
    assert follower._pdus._waiting == 0


def test_unfinished_pdus_at_the_end_are_no_ones_fault() -> None:
    follower = Follower(cells=True)
    first, _ = cells_of(segment(bytes(60), Vc(1, 64)))
    (shown,) = cells_in(items_of(follower, first, time=5))
    (pdu,) = follower.finish()
    assert (pdu.unfinished, pdu.problem, pdu.count, pdu.sdu, pdu.time) == (True, None, 1, b"", 5)
    assert shown.pdu is pdu
    assert follower.finish() == []


# Gaps of the trace.

LONG = cells_of(train_of(b"\xaa\xaa\3\0\0\0\x08\0" + udp("10.0.0.1", 1, "10.0.0.2", 2, bytes(400))))


def test_a_gap_ends_pdus_under_way_and_the_rest_after_it_is_no_ones_fault() -> None:
    follower = Follower(cells=True, timeout=TIMEOUT)
    items_of(follower, b"".join(LONG), b"".join(LONG[:4]), time=1)
    cut, gap = follower.take(Missed(2, cells=5))
    assert isinstance(cut, Pdu)
    assert (cut.unfinished, cut.problem, cut.count) == (True, None, 4)
    assert isinstance(gap, Missed)
    rest, good, bad = pdus_in(items_of(follower, b"".join(LONG[6:] + LONG + LONG[6:]), time=3))
    assert (rest.headless, rest.first, rest.problem, rest.crc, rest.sdu, rest.length, rest.has_trailer) == (
        True, True, None, CrcVerdict.ABSENT, b"", -1, False)
    assert (rest.count, rest.unfinished) == (len(LONG) - 6, False)
    assert (good.headless, good.problem, good.count, good.crc) == (False, None, len(LONG), CrcVerdict.GOOD)
    assert (bad.headless, bad.problem, bad.crc) == (False, DropReason.CRC_ERROR, CrcVerdict.BAD)
    assert not follower.finish()


def test_after_a_gap_a_whole_pdu_is_judged_as_ever() -> None:
    train = b"".join(LONG)
    for damaged, problem in ((train, None), (flipped(train, 100), DropReason.CRC_ERROR)):
        follower = Follower()
        follower.take(Missed(2, cells=1))
        (pdu,) = pdus_in(items_of(follower, damaged, time=3))
        assert (pdu.headless, pdu.problem, bool(pdu.sdu)) == (False, problem, problem is None)


@pytest.mark.parametrize(("missed", "node", "time", "headless"), [
    (Missed(0, cells=1), "", TIMEOUT - 1, True), (Missed(0, cells=1), "", TIMEOUT, False),
    (Missed(0, drops=1, sessions=1), "", 1, False), (Missed(0, cells=1, node="other"), "", 1, False),
    (Missed(0, cells=1, node="one"), "one", 1, True)])
def test_a_gap_excuses_pdus_that_may_have_begun_in_it(missed: Missed, node: str, time: int, headless: bool) -> None:
    follower = Follower(timeout=TIMEOUT)
    assert follower.take(missed) == [missed]
    (rest,) = pdus_in(follower.take(Cells(time, "l", "in", b"".join(LONG[6:]), node)))
    assert (rest.headless, rest.problem) == (headless, None if headless else DropReason.CRC_ERROR)


def test_a_gap_of_another_node_or_of_no_cells_leaves_pdus_alone() -> None:
    follower = Follower()
    items_of(follower, b"".join(LONG[:4]))
    for missed in (Missed(0, cells=1, node="other"), Missed(0, drops=1, sessions=1)):
        assert follower.take(missed) == [missed]
    (pdu,) = pdus_in(items_of(follower, b"".join(LONG[4:])))
    assert (pdu.count, pdu.problem) == (len(LONG), None)


def test_a_gap_ends_the_skipping_of_a_pdus_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "_MAX_CELLS_OF_A_PDU", 3)
    cell, last = cells_of(segment(bytes(60), Vc(1, 64)))
    follower = Follower()
    items_of(follower, cell * 4)
    follower.take(Missed(0, cells=1))
    (good,) = pdus_in(items_of(follower, cell + last))
    assert good.sdu == bytes(60)


def test_missed_session_changes_make_sessions_be_forgotten() -> None:
    sessions = FakeSessions()
    follower = Follower(sessions=sessions)
    for missed in (Missed(0, cells=1, node="one"), Missed(0, sessions=1, node="two")):
        follower.take(missed)
    assert sessions.forgot == ["two"]


# Clocks set back.


def test_a_pdu_from_before_the_clock_was_set_back_waits_one_timeout_more() -> None:
    follower = Follower(timeout=TIMEOUT)
    items_of(follower, LONG[0], time=10**9)
    assert items_of(follower, b"", time=5) == []
    assert items_of(follower, b"", time=4 + TIMEOUT) == []
    (pdu,) = pdus_in(items_of(follower, b"", time=5 + TIMEOUT))
    assert (pdu.problem, pdu.begun) == (DropReason.REASSEMBLY_TIMEOUT, 5)


def test_skipping_ends_one_timeout_after_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "_MAX_CELLS_OF_A_PDU", 3)
    cell, last = cells_of(segment(bytes(60), Vc(1, 64)))
    follower = Follower(timeout=TIMEOUT)
    items_of(follower, cell * 4, time=10**9)
    assert items_of(follower, cell, time=5) == []
    (good,) = pdus_in(items_of(follower, cell + last, time=5 + TIMEOUT))
    assert good.sdu == bytes(60)


def test_the_first_pdu_on_a_vc_may_have_begun_before_the_trace() -> None:
    one, two = pdus_in(items_of(Follower(), segment(PACKET, Vc(1, 64)) * 2))
    assert (one.first, two.first) == (True, False)


def test_a_pdu_has_the_fields_of_its_cells_and_trailer() -> None:
    train = train_of(PACKET, 5, 40)
    first, last = cells_of(train)
    clp1, efci = CellHeader(5, 40, 0, 1).pack() + first[5:], CellHeader(5, 40, 3).pack() + last[5:]
    follower = Follower()
    assert items_of(follower, flipped(clp1, 0), time=7) == []
    (pdu,) = pdus_in(items_of(follower, efci, time=9))
    assert (pdu.begun, pdu.time, pdu.link, pdu.direction, pdu.node) == (7, 9, "l", "in", "")
    assert (pdu.vpi, pdu.vci, pdu.header) == (5, 40, CellHeader(5, 40, 3, 1).pack()[:4])
    (read_back,) = pdus_in(Follower().take(PduSeen(9, "l", "in", pdu.header, pdu.octets)))
    assert (read_back.clp, read_back.congested) == (1, True)
    assert (pdu.clp, pdu.congested, pdu.hec_corrected, pdu.count) == (1, True, 1, 2)
    assert (pdu.length, pdu.pad, pdu.crc, pdu.problem, pdu.sdu) == (len(PACKET), 30, CrcVerdict.GOOD, None, PACKET)
    assert pdu.cells == []
    assert pdu.octets == cpcs_pdu(PACKET)


# Which cells are whose.


@pytest.mark.parametrize(("vci", "is_pdu"), [(1, False), (2, False), (3, False), (5, True), (16, True), (17, True),
                                             (18, True), (31, False), (32, True)])
def test_signalling_and_ilmi_carry_aal5_but_not_all_reserved_vcis(vci: int, is_pdu: bool) -> None:
    items = items_of(Follower(), train_of(bytes(20), 0, vci))
    assert [type(item) for item in items] == [Pdu if is_pdu else Cell]


def test_oam_and_rm_cells_are_in_no_pdu() -> None:
    first, last = cells_of(segment(bytes(60), Vc(1, 64)))
    between = [CellHeader(1, 64, pti).pack() + bytes(48) for pti in (4, 5, 6, 7)]
    items = items_of(Follower(cells=True), b"".join([first, *between, last]))
    assert [cell.position for cell in cells_in(items)] == [1, 0, 0, 0, 0, 2]
    assert pdus_in(items)[0].problem is None


def test_idle_cells_are_shown_where_all_cells_are() -> None:
    idle = CellHeader(0, 0, clp=1).pack() + bytes(48)
    assert items_of(Follower(), idle) == []
    assert [cell.header.is_idle for cell in cells_in(items_of(Follower(cells=True), idle))] == [True]


def test_links_directions_and_nodes_are_kept_apart() -> None:
    first, last = cells_of(segment(bytes(60), Vc(1, 64)))
    follower = Follower()
    for place in (("l", "in", ""), ("l", "out", ""), ("m", "in", ""), ("l", "in", "depot")):
        assert follower.take(Cells(0, place[0], place[1], first, place[2])) == []
    (pdu,) = pdus_in(follower.take(Cells(0, "l", "out", last)))
    assert (pdu.problem, pdu.count) == (None, 2)
    assert len(follower.finish()) == 3


def test_the_header_format_comes_from_record_node_or_table() -> None:
    train = train_of(bytes(20), 300, 40, interface=Interface.NNI)

    def vpi(follower: Follower, record: Cells) -> int:
        return pdus_in(follower.take(record))[0].vpi

    told = Follower()
    told.interfaces["", "l"] = Interface.NNI
    assert vpi(Follower(), Cells(0, "l", "in", train)) == 300 & 0xFF
    assert vpi(Follower(interface=Interface.NNI), Cells(0, "l", "in", train)) == 300
    assert vpi(told, Cells(0, "l", "in", train)) == 300
    assert vpi(told, Cells(0, "m", "in", train)) == 300 & 0xFF
    assert vpi(told, CapturedCells(0, "l", "out", train, interface=Interface.UNI)) == 300 & 0xFF
    assert vpi(Follower(), CapturedCells(0, "l", "out", train, interface=Interface.NNI)) == 300


def test_octets_after_the_last_whole_cell_are_passed_over() -> None:
    assert len(items_of(Follower(cells=True), segment(bytes(20), Vc(1, 64)) + b"\0\0\0")) == 2


# The HEC as captures know it.


def test_without_a_hec_in_the_capture_none_is_judged() -> None:
    (cell,) = cells_in(Follower(cells=True).take(
        CapturedCells(0, "l", "in", segment(bytes(20), Vc(1, 64)), hec=HecMark.ABSENT)))
    assert cell.hec is HecVerdict.ABSENT


def test_a_cell_that_a_capture_marks_bad_is_in_no_pdu_and_spoils_no_other() -> None:
    first, last = cells_of(segment(bytes(60), Vc(1, 64)))
    follower = Follower(cells=True)
    items = [item for cell, hec in ((first, HecMark.ABSENT), (first, HecMark.BAD), (last, HecMark.ABSENT))
             for item in follower.take(CapturedCells(0, "l", "in", cell, hec=hec))]
    assert [(str(cell.hec), cell.position) for cell in cells_in(items)] == [("absent", 1), ("bad", 0), ("absent", 2)]
    assert [pdu.sdu for pdu in pdus_in(items)] == [bytes(60)]


# CRC rules.


@pytest.mark.parametrize(("written", "rule", "verdict", "good"), [
    (CrcMode.STRICT, None, CrcVerdict.GOOD, True),
    (CrcMode.STRICT, CrcMode.DYNAMIPS, CrcVerdict.GOOD, True),
    (CrcMode.DYNAMIPS, None, CrcVerdict.DYNAMIPS, True),
    (CrcMode.DYNAMIPS, CrcMode.DYNAMIPS, CrcVerdict.DYNAMIPS, True),
    (CrcMode.DYNAMIPS, CrcMode.STRICT, CrcVerdict.BAD, False),
    (CrcMode.DYNAMIPS, CrcMode.IGNORE, CrcVerdict.DYNAMIPS, True)])
def test_crc_rules(written: CrcMode, rule: CrcMode | None, verdict: CrcVerdict, good: bool) -> None:
    (pdu,) = pdus_in(items_of(Follower(crc=rule), segment(PACKET, Vc(1, 64, crc=written))))
    assert (pdu.crc, pdu.problem is None, bool(pdu.sdu)) == (verdict, good, good)


def test_any_crc_is_passed_over_where_it_is_to_be_ignored() -> None:
    (pdu,) = pdus_in(items_of(Follower(crc=CrcMode.IGNORE), flipped(segment(PACKET, Vc(1, 64)), 423 + 424)))
    assert (pdu.crc, pdu.problem, pdu.sdu) == (CrcVerdict.BAD, None, PACKET)


def test_an_abort_is_told() -> None:
    header = CellHeader(1, 64, 1).pack()
    (pdu,) = pdus_in(items_of(Follower(), header + abort_pdu()))
    assert (pdu.problem, pdu.length, pdu.crc, pdu.sdu) == (DropReason.ABORTED, 0, CrcVerdict.GOOD, b"")


# PDUs that a file holds as a whole.


def seen(octets: bytes = b"", *, vpi: int = 1, vci: int = 64, trailer: bool = True, missing: int = 0, time: int = 0,
         link: str = "l", clp: int = 0, pti: int = 1) -> PduSeen:
    header = CellHeader(vpi, vci, pti, clp).pack()[:4]
    return PduSeen(time, link, "in", header, octets or cpcs_pdu(PACKET), trailer, missing)


def test_a_pdu_of_the_cells_before_it_is_shown_once() -> None:
    """Our own captures hold both, and Wireshark needs both."""
    follower = Follower()
    assert len(items_of(follower, segment(PACKET, Vc(1, 64)))) == 1
    assert follower.take(seen()) == []
    assert len(pdus_in(follower.take(seen()))) == 1, "but a second one is another"


@pytest.mark.parametrize("other", [
    seen(vci=65), seen(vpi=2), seen(cpcs_pdu(PACKET[:-1] + b"!")), seen(cpcs_pdu(PACKET + bytes(48))),
    seen(link="m"), seen(PACKET, trailer=False), seen(cpcs_pdu(PACKET)[:60], missing=35)])
def test_a_pdu_that_is_not_the_one_before_is_shown(other: PduSeen) -> None:
    follower = Follower()
    items_of(follower, segment(PACKET, Vc(1, 64)))
    assert len(pdus_in(follower.take(other))) == 1


@given(kept=st.integers(0, 96))
def test_a_cut_pdu_is_recognised_by_its_beginning(kept: int) -> None:
    follower = Follower()
    items_of(follower, segment(PACKET, Vc(1, 64)))
    assert follower.take(seen(cpcs_pdu(PACKET)[:kept] or b"", missing=96 - kept) if kept else
                         PduSeen(0, "l", "in", CellHeader(1, 64).pack()[:4], b"", True, 96)) == []


def test_dynamips_crc_written_as_the_standards_is_the_same_pdu() -> None:
    """As `Tracer` writes it for Wireshark."""
    follower = Follower()
    items_of(follower, segment(PACKET, Vc(1, 64, crc=CrcMode.DYNAMIPS)))
    assert follower.take(seen(cpcs_pdu(PACKET))) == []


def test_other_links_and_vcs_between_do_not_hide_that_it_is_the_same() -> None:
    follower = Follower()
    items_of(follower, segment(PACKET, Vc(1, 64)))
    for n in range(follow._MAX_RECENT - 1):
        items_of(follower, segment(PACKET, Vc(1, 64)), link=f"link {n}")
    items_of(follower, segment(PACKET, Vc(1, 64)))
    items_of(follower, segment(PACKET, Vc(1, 64)), link="one more")
    assert follower.take(seen()) == []
    items_of(follower, segment(PACKET, Vc(1, 65)))
    assert len(follower.take(seen())) == 1


def test_a_whole_pdu_without_cells_is_shown() -> None:
    (pdu,) = pdus_in(Follower().take(seen(time=3, clp=1, pti=3)))
    assert (pdu.time, pdu.begun, pdu.vpi, pdu.vci, pdu.clp, pdu.congested) == (3, 3, 1, 64, 1, True)
    assert (pdu.count, pdu.length, pdu.crc, pdu.problem, pdu.sdu) == (2, len(PACKET), CrcVerdict.GOOD, None, PACKET)
    assert (pdu.has_trailer, pdu.missing, pdu.first) == (True, 0, False)


def test_an_sdu_alone_has_no_crc() -> None:
    (pdu,) = pdus_in(Follower().take(seen(PACKET, trailer=False)))
    assert (pdu.count, pdu.length, pdu.crc, pdu.problem, pdu.sdu) == (2, -1, CrcVerdict.ABSENT, None, PACKET)
    assert (pdu.has_trailer, pdu.pad) == (False, -1)
    assert pdu.packet is not None


@pytest.mark.parametrize("trailer", [True, False])
def test_a_pdu_cut_by_its_capture_has_no_verdict(trailer: bool) -> None:
    whole = cpcs_pdu(PACKET) if trailer else PACKET
    (pdu,) = pdus_in(Follower().take(seen(whole[:45], trailer=trailer, missing=len(whole) - 45)))
    assert (pdu.count, pdu.length, pdu.crc, pdu.problem, pdu.sdu) == (2, -1, CrcVerdict.ABSENT, None, whole[:45])
    assert (pdu.missing, pdu.has_trailer) == (len(whole) - 45, trailer)


@given(st.binary(max_size=100), st.booleans(), st.integers(0, 10**6), st.integers(0, 2**32 - 1))
def test_any_pdu_of_a_file_is_an_item(octets: bytes, trailer: bool, missing: int, header: int) -> None:
    record = PduSeen(0, "l", "in", header.to_bytes(4, "big"), octets, trailer, missing)
    (pdu,) = pdus_in(Follower().take(record))
    assert pdu.octets == octets
    assert pdu.count * 48 <= len(octets) + missing + 56
    assert pdu.packet is None or pdu.problem is None


# Other records.


def test_other_records_pass_and_remarks_do_not() -> None:
    follower = Follower()
    records: list[Drop | Missed | SessionChange] = [
        Drop(0, "l", "hec-error", 1), Missed(0, 1),
        SessionChange(0, 1, "opened", "TCP", "10.9.0.2:1", "10.80.0.1:80", "web1", "l", (1, 64), "ubr.1")]
    assert [follower.take(record) for record in records] == [[record] for record in records]
    assert follower.take(Remark("cut short")) == []


class FakeSessions:
    """Gives every PDU session 7 and tells of a change before the first."""

    def __init__(self) -> None:
        self.changes: list[SessionChange] = []
        self.told: list[SessionChange] = []
        self.forgot: list[str] = []
        self.asked: list[bytes] = []

    def change(self, change: SessionChange) -> None:
        self.told.append(change)

    def forget(self, node: str) -> None:
        self.forgot.append(node)

    def of(self, pdu: Pdu) -> Session:
        if not self.asked:
            self.changes.append(SessionChange(0, 7, "opened", "TCP", "c", "s", "web1", "l", (1, 64), ""))
        self.asked.append(pdu.sdu)
        return Session(7, "web1")


def test_sessions_are_asked_for_every_good_pdu_and_told_of_changes() -> None:
    sessions = FakeSessions()
    follower = Follower(sessions=sessions)
    good, bad = segment(PACKET, Vc(1, 64)), flipped(segment(PACKET, Vc(1, 64)), 400)
    items = [*items_of(follower, good, bad), *follower.take(seen(PACKET, trailer=False))]
    assert [item.event if isinstance(item, SessionChange) else item.session for item in items
            if isinstance(item, SessionChange | Pdu)] == ["opened", (7, "web1"), None, (7, "web1")]
    assert sessions.changes == []
    assert sessions.asked == [PACKET, PACKET]
    known, closed = (SessionChange(0, 9, event, "TCP", "c", "s", "web1", "l", (1, 64), "")
                     for event in ("known", "closed"))
    assert (follower.take(known), follower.take(closed)) == ([], [closed])
    assert sessions.told == [known, closed]


# Memory.


class HostileMachine(RuleBasedStateMachine):
    """VCs, links, headers and PDUs without end; what is held stays below its bounds, and is counted right."""

    @initialize(cells=st.booleans())
    def begin(self, cells: bool) -> None:
        self.bounds = {"_MAX_HELD": 60, "_MAX_UNFINISHED": 15, "_MAX_RECENT": 5, "_MAX_CELLS_OF_A_PDU": 6}
        self.before = [(module, name, getattr(module, name)) for module in (follow, assembler) for name in self.bounds
                       if hasattr(module, name)]
        assert len(self.before) == len(self.bounds)
        for module, name, _ in self.before:
            setattr(module, name, self.bounds[name])
        self.follower = Follower(cells=cells, timeout=TIMEOUT, max_cells=25)
        self.now = self.number = 0

    def teardown(self) -> None:
        for module, name, value in getattr(self, "before", ()):
            setattr(module, name, value)

    @rule(links=st.sampled_from([1, 1, 30]), vcs=st.sampled_from([1, 30]), pti=st.integers(0, 5),
          count=st.integers(1, 30), gfc=st.sampled_from([0, 15]))
    def cells_come(self, links: int, vcs: int, pti: int, count: int, gfc: int) -> None:
        for _ in range(count):
            self.number += 1
            header = CellHeader(1, 32 + self.number % vcs * 7 % 65000, pti, gfc=gfc and self.number % 16).pack()
            items_of(self.follower, header + bytes(48), time=self.now, link=f"link {self.number % links}")
            self.bounds_hold()

    @rule(count=st.integers(1, 30))
    def pdus_come(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.follower.take(seen(link=f"file {self.number}", time=self.now))

    @rule(cells=st.lists(st.binary(min_size=5, max_size=5), min_size=1, max_size=40))
    def noise_comes(self, cells: list[bytes]) -> None:
        for header in cells:
            items_of(self.follower, header + bytes(48), time=self.now)
        items_of(self.follower, b"", time=self.now)

    @rule(nanoseconds=st.sampled_from([1, TIMEOUT // 2, TIMEOUT]))
    def time_passes(self, nanoseconds: int) -> None:
        self.now += nanoseconds

    @invariant()
    def bounds_hold(self) -> None:
        if not hasattr(self, "follower"):
            return
        follower = self.follower
        directions = follower._directions.values()
        assemblies = [held for direction in directions for held in direction.assemblies.values()]
        held = len(directions) + len(assemblies) + sum(len(direction.known) for direction in directions)
        assert held == follower._held <= self.bounds["_MAX_HELD"] + 3
        assert {assembly for assembly in assemblies if assembly.parts} == set(follower._pdus._partial)
        assert len(follower._pdus._partial) <= self.bounds["_MAX_UNFINISHED"]
        assert sum(len(assembly.parts) for assembly in follower._pdus._partial) == follower._pdus._waiting <= 25
        assert len(follower._recent) <= self.bounds["_MAX_RECENT"]
        if follower._cells:
            assert all(len(assembly.cells) == len(assembly.parts) for assembly in assemblies)


HostileMachine.TestCase.settings = examples(
    40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
TestHostileMachine = HostileMachine.TestCase


def test_the_oldest_pdu_goes_when_too_many_are_unfinished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "_MAX_UNFINISHED", 2)
    follower = Follower()
    firsts = [segment(bytes(60), Vc(1, vci))[:53] for vci in (40, 41, 42)]
    (gone,) = pdus_in(items_of(follower, *firsts))
    assert (gone.problem, gone.vci) == (DropReason.REASSEMBLY_OVERFLOW, 40)
    assert [pdu.vci for pdu in follower.finish()] == [41, 42]


def test_a_pdu_under_way_outlives_the_forgetting_of_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_MAX_HELD", 20)
    follower = Follower()
    first, last = cells_of(segment(bytes(60), Vc(1, 64)))
    items_of(follower, first)
    for vci in range(100, 200):
        items_of(follower, segment(bytes(40), Vc(1, vci)))
    (pdu,) = pdus_in(items_of(follower, last))
    assert pdu.sdu == bytes(60)
