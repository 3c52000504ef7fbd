"""Policing of trains: against single cells that are judged one by one, and each cell is accounted for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.policer import Policer
from atmdepot.atm.runs import runs_of, tagged, with_efci, with_header
from atmdepot.config.contract import Contract
from atmdepot.drops import DropReason, Drops
from atmdepot.wire.cell import CellHeader
from tests.atm.contracts import PlainJudge, contracts
from tests.atm.trains import Seen, headers_on, pdu, seen, train
from tests.effort import examples

trains = st.lists(st.tuples(st.one_of(st.just(0), st.integers(1, 10**8)), headers_on(1, 40)), max_size=8)


def judged(plain: PlainJudge, header: CellHeader, now: int) -> str:
    if header.pti & 4:
        conforms = plain.peak.conforms(time := plain.peak.theoretical.__class__(now, 10**9))
        if conforms:
            plain.peak.move(time)
        return "pass" if conforms else "discard"
    return plain.judge(header.clp, now, last=header.is_last)


@given(contracts(), trains)
@examples(300)
def test_a_train_is_policed_as_its_cells(
        contract: Contract, bursts: list[tuple[int, list[CellHeader]]]) -> None:
    policer, plain, now = Policer(contract), PlainJudge(contract), 0
    verdicts: Counter[str] = Counter()
    for gap, headers in bursts:
        now += gap
        expected = []
        for number, header in enumerate(headers):
            verdict = judged(plain, header, now)
            verdicts[verdict] += 1
            if verdict != "discard":
                expected.append(Seen(header._replace(clp=1) if verdict == "tag" else header, number))
        assert seen(policer.police(train(headers), now)) == expected
    assert (policer.passed, policer.tagged) == (verdicts["pass"], verdicts["tag"])
    assert policer.discarded.total() == policer.drops.total() == verdicts["discard"]


def test_a_train_that_conforms_is_not_copied() -> None:
    cells = train([CellHeader(1, 40)] * 9)
    assert Policer(Contract.parse("ubr")).police(cells, 0) is cells


def test_drops_are_told_with_their_cells() -> None:
    told = []
    drops = Drops()
    drops.subscribe(lambda *drop: told.append(drop))
    vc = CellHeader(1, 40)
    policer = Policer(Contract.parse("cbr:pcr=100"), vc=vc, drops=drops)
    cells = train([vc] * 3)
    assert policer.police(cells, 0) == cells[:53]
    assert told == [(DropReason.ABOVE_PCR, 2, cells[53:], vc)]


def test_tagged_cells_are_those_above_the_sustained_rate() -> None:
    policer = Policer(Contract.parse("nrt-vbr.3:pcr=100kcps,scr=1kcps,mbs=4,cdvt=100us"))
    out = seen(policer.police(train(pdu(1, 40, 9)), 0))
    assert [cell.header.clp for cell in out] == [0] * 4 + [1] * 5
    assert [cell.number for cell in out] == list(range(9))


def test_no_whole_cells() -> None:
    with pytest.raises(ValueError, match="no whole number"):
        Policer(Contract.parse("cbr:pcr=9")).police(bytes(54), 0)


@given(headers_on(1, 40))
def test_runs_are_all_cells_in_their_order(headers: list[CellHeader]) -> None:
    cells = train(headers)
    runs = list(runs_of(cells))
    assert b"".join(run.cells_of(cells) for run in runs) == cells
    assert [header for run in runs for header in [CellHeader.unpack(run.header)] * run.size] == headers
    for run in runs:
        header = CellHeader.unpack(run.header)
        assert (run.clp, run.is_user, run.is_last) == (header.clp, not header.pti & 4, header.is_last)


@given(st.integers(0, 7), st.integers(0, 1), st.integers(0, 5), st.integers(0, 255), st.integers(0, 65535))
def test_marks_and_headers(pti: int, clp: int, count: int, vpi: int, vci: int) -> None:
    header = CellHeader(vpi, vci, pti, clp)
    assert tagged(header.pack()) == header._replace(clp=1).pack()
    assert with_efci(header.pack()) == (header if pti & 4 else header._replace(pti=pti | 2)).pack()
    assert seen(with_header(train([CellHeader(1, 40)] * count), header.pack())) == [
        Seen(header, number) for number in range(count)]
