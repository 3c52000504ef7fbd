"""Shapers, three switches in a row and their congested links, on a virtual clock: promises kept, all cells counted."""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import count, pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.connections import Leaf
from atmdepot.atm.scheduler import LinkScheduler, QueueClass
from atmdepot.atm.shaper import Shaper
from atmdepot.atm.switch import Switch
from atmdepot.config.contract import Contract
from atmdepot.config.units import LINE_RATES
from atmdepot.wire.cell import CELL_SIZE
from tests.atm.trains import Seen, pdu, seen, train
from tests.effort import examples

if TYPE_CHECKING:
    from collections.abc import Mapping

NS = 1_000_000_000
OC3 = LINE_RATES["oc3"]
CELL_TIME = -(-NS // OC3)
DELAY = 100_000
SWITCHES = 3


class Row:
    """Switches in a row with links of an OC-3 between them; cells of all VCs enter at the first and go to the last."""

    def __init__(self, contracts: Mapping[int, str], room: int = 2000) -> None:
        self.switches = [Switch() for _ in range(SWITCHES)]
        self.outputs: list[LinkScheduler] = []
        self.arrived: list[tuple[int, Seen]] = []
        self._events: list[tuple[int, int, int, bytes]] = []
        self._order = count()
        for at, switch in enumerate(self.switches):
            switch.add_port("in")
            self.outputs.append(LinkScheduler(OC3, grain=0, room=dict.fromkeys(QueueClass, room)))
            switch.add_port("out", output=self.outputs[-1])
            for vci, contract in contracts.items():
                # Each hop may hold a cell of CBR back for the cell under way, and those of the other VCs of CBR.
                switch.connect("in", 1, vci, [Leaf("out", 1, vci)], contract=Contract.parse(contract),
                               more_cdvt=at * 4 * CELL_TIME)

    def send(self, cells: bytes, now: int, at: int = 0) -> None:
        """Let cells arrive at a switch, or behind the last."""
        heapq.heappush(self._events, (now, at, next(self._order), cells))

    def run(self) -> None:
        """Go from event to event until the network is empty."""
        while True:
            times = [due for output in self.outputs if (due := output.next_timer()) is not None]
            times += [time for time, *_ in self._events[:1]]
            if not times:
                return
            now = min(times)
            for at, output in enumerate(self.outputs):
                if cells := output.leave(now):
                    self.send(cells, now + DELAY, at + 1)
            while self._events and self._events[0][0] == now:
                _, at, _, cells = heapq.heappop(self._events)
                if at == SWITCHES:
                    self.arrived += [(now, cell) for cell in seen(cells)]
                else:
                    self.switches[at].receive("in", cells, now)

    def drops(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for switch, output in zip(self.switches, self.outputs, strict=True):
            total.update(switch.ports["in"].drops)
            total.update(output.drops)
        return total


def shaped(contract: str, cells: bytes) -> list[tuple[int, bytes]]:
    """The output of a shaper that got all cells at 0."""
    shaper = Shaper(Contract.parse(contract), room=len(cells) // CELL_SIZE)
    shaper.enter(cells)
    out = []
    while (due := shaper.next_timer()) is not None:
        out.append((due, shaper.leave(due)))
    return out


VOICE, DATA = "cbr:pcr=20kcps", "ubr"


def test_cbr_does_not_notice_a_flood_of_best_effort() -> None:
    """Of a shaped VC nothing is lost, and it is late by at most two cells a hop; the flood is cut to what is left."""
    row = Row({40: VOICE, 41: DATA})
    sent = shaped(VOICE, b"".join(train(pdu(1, 40, 1), number) for number in range(400)))
    for now, cells in sent:
        row.send(cells, now)
    for number in range(60):
        row.send(train(pdu(1, 41, 192), number * 192), number * 300_000)
    row.run()
    voice = [(now, cell.number) for now, cell in row.arrived if cell.header.vci == 40]
    assert [number for _, number in voice] == list(range(400))
    delays = [arrived - left for (arrived, _), (left, _) in zip(voice, sent, strict=True)]
    assert min(delays) >= SWITCHES * DELAY
    assert max(delays) <= SWITCHES * (DELAY + 2 * CELL_TIME)
    assert set(row.drops()) <= {"epd"}
    assert row.drops()["epd"] > 1000


def test_pdus_arrive_whole_or_not_at_all() -> None:
    """EPD at work: links are full, no PDU is cut."""
    row = Row({40: DATA, 41: DATA})
    for number in range(80):
        for vci in (40, 41):
            row.send(train(pdu(1, vci, 30), number * 30), number * 100_000)
    row.run()
    assert row.drops()["epd"] > 0
    assert set(row.drops()) == {"epd"}
    for vci in (40, 41):
        got = [cell.number for _, cell in row.arrived if cell.header.vci == vci]
        whole = Counter(number // 30 for number in got)
        assert set(whole.values()) == {30}
        assert all(earlier < later for earlier, later in pairwise(got))


CONTRACTS = ["ubr", "ubr.2:pcr=50kcps,cdvt=1ms", "cbr:pcr=50kcps,cdvt=1ms",
             "nrt-vbr.3:pcr=100kcps,scr=20kcps,mbs=50,cdvt=1ms", "rt-vbr.1:pcr=100kcps,scr=20kcps,mbs=50,cdvt=1ms",
             "gfr:pcr=100kcps,mcr=20kcps,mbs=50,mfs=40,cdvt=1ms"]
loads = st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 2), st.integers(1, 60), st.integers(0, 1)),
                 max_size=60)


@given(st.tuples(*[st.sampled_from(CONTRACTS)] * 3), st.integers(8, 300), loads)
@examples(60)
def test_every_cell_arrives_or_is_counted(
        contracts: tuple[str, str, str], room: int, sent: list[tuple[int, int, int, int]]) -> None:
    row = Row(dict(enumerate(contracts, 40)), room)
    now = number = 0
    for gap, vc, size, clp in sent:
        now += gap
        row.send(train(pdu(1, 40 + vc, size, clp), number), now)
        number += size
    row.run()
    assert len(row.arrived) + row.drops().total() == number
    for vci in (40, 41, 42):
        numbers = [cell.number for _, cell in row.arrived if cell.header.vci == vci]
        assert numbers == sorted(set(numbers)), "cells of a VC overtook each other"
