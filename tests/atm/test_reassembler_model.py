"""The reassembler against a plain one, cell for cell, through any sequence of trains, faults, timers and closings."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atmdepot.atm.sar import Reassembler
from atmdepot.atm.vc import Vc, VcTable
from atmdepot.wire.cell import CellHeader, HecMode
from tests.atm.plain_reassembler import PlainReassembler, PlainVc, plain_crc32, plain_pdu
from tests.effort import examples

TIMEOUT = 1000
Key = tuple[int, int]
VCS: dict[Key, int] = {(1, 40): 40, (1, 41): 88, (1, 42): 150, (2, 40): 400}
"""VPI and VCI, and the greatest SDU: 1, 2, 4 and 9 cells."""
KEYS = sorted(VCS)
keys = st.sampled_from(KEYS)
MAX_OCTETS = 48 * 5


def cells_of(key: Key, pdu: bytes, clp: int, efci: int, gfc: int = 0) -> list[bytes]:
    """The cells of a PDU; one of them with CLP 1 and EFCI, if asked for: the one that those numbers name."""
    count = len(pdu) // 48
    return [CellHeader(*key, pti=(n == count - 1) | (n == efci) << 1, clp=int(n == clp), gfc=gfc).pack()
            + pdu[48 * n:48 * n + 48] for n in range(count)]


def flip(cell: bytes, bits: list[int]) -> bytes:
    number = int.from_bytes(cell, "big")
    for bit in bits:
        number ^= 1 << 423 - bit
    return number.to_bytes(53, "big")


stray_cells = st.builds(
    lambda header, payload, bits: flip(header.pack() + payload, bits),
    st.one_of(
        st.builds(CellHeader, st.just(0), st.just(0), st.integers(0, 7), st.integers(0, 1), st.integers(0, 15)),
        st.builds(CellHeader, st.integers(0, 2), st.integers(0, 43), st.integers(0, 7), st.integers(0, 1), st.just(0))),
    st.binary(min_size=48, max_size=48), st.lists(st.integers(0, 39), max_size=2))
"""Idle, unassigned, OAM, signalling, of no VC of ours, or misinserted into one."""


class ReassemblerMachine(RuleBasedStateMachine):
    """Both reassemblers get the same cells: the plain one by one, the real one in bursts of any size."""

    @initialize()
    def begin(self) -> None:
        self.table = VcTable(*(Vc(*key, max_sdu=size) for key, size in VCS.items()))
        self.real = Reassembler(self.table, timeout=TIMEOUT, max_octets=MAX_OCTETS)
        self.plain = PlainReassembler(TIMEOUT, MAX_OCTETS)
        self.plain.vcs = {key: PlainVc(size) for key, size in VCS.items()}
        self.now = 0
        self.random = Random(1)
        self.unsent: dict[Key, list[bytes]] = {key: [] for key in KEYS}

    def teardown(self) -> None:
        if hasattr(self, "real"):
            self.real.expire(self.now + TIMEOUT)
            assert self.real.octets_pending == 0
            assert not self.real._partial
            assert not self.real._discarding
            assert self.real.next_timer() is None

    # Cells on their way.

    @rule(key=keys, size=st.integers(1, 450), clp=st.integers(-1, 5), efci=st.integers(-1, 9),
          gfc=st.sampled_from([0, 0, 5]))
    def sends_packet(self, key: Key, size: int, clp: int, efci: int, gfc: int) -> None:
        self.unsent[key] += cells_of(key, plain_pdu(self.random.randbytes(size)), clp, efci, gfc)

    @rule(key=keys, length=st.sampled_from([0, 1, 39, 40, 41, 100, 65535]), cells=st.integers(1, 4))
    def sends_lying_length(self, key: Key, length: int, cells: int) -> None:
        """A PDU whose CRC is right and whose Length is any."""
        body = bytes(48 * cells - 6) + length.to_bytes(2, "big")
        self.unsent[key] += cells_of(key, body + plain_crc32(body).to_bytes(4, "big"), -1, -1)

    @precondition(lambda self: any(self.unsent.values()))
    @rule(data=st.data(), kind=st.sampled_from(["lose", "double", "swap", "damage", "damage"]))
    def cells_suffer(self, data: st.DataObject, kind: str) -> None:
        """The same bits in a row of cells make equal bad headers, of which only the first may be mended."""
        ahead = self.unsent[data.draw(st.sampled_from([key for key in KEYS if self.unsent[key]]))]
        at = data.draw(st.integers(0, len(ahead) - 1))
        if kind == "lose":
            del ahead[at]
        elif kind == "double":
            ahead.insert(at, ahead[at])
        elif kind == "swap":
            ahead[at:at + 2] = ahead[at:at + 2][::-1]
        else:
            bits = data.draw(st.lists(st.integers(0, 39), min_size=1, max_size=2) | st.lists(
                st.integers(0, 423), min_size=1, max_size=3))
            end = at + data.draw(st.integers(1, 4))
            ahead[at:end] = [flip(cell, bits) for cell in ahead[at:end]]

    @rule(runs=st.lists(st.tuples(keys, st.integers(1, 12)), min_size=1, max_size=6),
          strays=st.lists(stray_cells, max_size=2), data=st.data())
    def burst_arrives(self, runs: list[tuple[Key, int]], strays: list[bytes], data: st.DataObject) -> None:
        """Cells of several VCs and strays between them, in any order; the real one gets them in pieces of any size."""
        cells: list[bytes] = []
        for key, count in runs:
            cells += self.unsent[key][:count]
            del self.unsent[key][:count]
        for stray in strays:
            cells.insert(data.draw(st.integers(0, len(cells))), stray)
        expected = [sdu for cell in cells if (sdu := self.plain.receive(cell, self.now)) is not None]
        cuts = data.draw(st.lists(st.integers(0, len(cells)), max_size=3))
        ends = [0, *sorted(cuts), len(cells)]
        got = [sdu for first, end in pairwise(ends)
               for sdu in self.real.receive(b"".join(cells[first:end]), self.now)]
        assert [(sdu.vc.vpi, sdu.vc.vci, sdu.octets, sdu.clp, sdu.congested) for sdu in got] == expected

    # What happens beside it.

    @rule(nanoseconds=st.sampled_from([1, 400, 999, 1000, 2500]))
    def time_passes(self, nanoseconds: int) -> None:
        self.now += nanoseconds
        self.real.expire(self.now)
        self.plain.expire(self.now)

    @rule(key=keys)
    def vc_closes_or_opens(self, key: Key) -> None:
        vc = self.table.find(*key)
        if vc is None:
            self.table.add(Vc(*key, max_sdu=VCS[key]))
            self.plain.vcs[key] = PlainVc(VCS[key])
        else:
            self.table.remove(vc)
            self.real.forget(vc)
            self.plain.close(key)

    # What must hold at any time.

    @invariant()
    def counters_agree(self) -> None:
        if not hasattr(self, "real"):
            return
        assert {str(reason): count for reason, count in self.real.drops.items() if count} == {
            reason: count for reason, count in self.plain.drops.items() if count}
        assert self.real.unassigned_cells == self.plain.unassigned
        assert (self.real.hec.corrected, self.real.hec.discarded) == (self.plain.corrected, self.plain.discarded)
        assert (self.real.hec.mode is HecMode.CORRECTION) == self.plain.correction_mode
        assert self.real.next_timer() == self.plain.next_timer()
        for vc in self.table:
            plain = self.plain.vcs[vc.vpi, vc.vci]
            for name in ("rx_cells", "rx_pdus", "rx_clp1", "rx_efci"):
                assert getattr(vc, name) == getattr(plain, name), name

    @invariant()
    def memory_is_bounded_and_accounted(self) -> None:
        if not hasattr(self, "real"):
            return
        held = sum(len(piece) for vc in self.table for piece in vc.pieces)
        assert self.real.octets_pending == held == self.plain.octets_pending <= MAX_OCTETS
        assert all(sum(map(len, vc.pieces)) <= 48 * vc.max_cells for vc in self.table)


ReassemblerMachine.TestCase.settings = examples(
    200, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestReassemblerMachine = ReassemblerMachine.TestCase
