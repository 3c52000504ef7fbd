"""The conformance definitions against a judge that takes each cell alone, in fractions of a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.atm.conformance import CellConformance, FrameConformance, Split, conformance_of
from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.config.units import CellRate, Duration
from atmdepot.drops import DropReason
from tests.atm.contracts import OF_CELLS, OF_FRAMES, PlainJudge, arrivals, contracts
from tests.effort import examples

PCR, SCR = DropReason.ABOVE_PCR, DropReason.ABOVE_SCR


def verdicts(split: Split) -> list[str]:
    return ["pass"] * split.passed + ["tag"] * split.tagged + ["discard"] * split.discarded


def of(text: str) -> CellConformance | FrameConformance:
    made = conformance_of(Contract.parse(text))
    assert isinstance(made, CellConformance | FrameConformance)
    return made


@given(contracts(OF_CELLS), arrivals)
@examples(200)
def test_runs_are_judged_as_their_cells_would_be(contract: Contract, runs: list[tuple[int, int, int]]) -> None:
    conformance, plain, now = conformance_of(contract), PlainJudge(contract), 0
    for gap, clp, count in runs:
        now += gap
        split = conformance.judge(clp, count, now)
        assert verdicts(split) == [plain.judge(clp, now) for _ in range(count)]
        assert (split.reason is None) is (split.discarded == 0)


@given(contracts(OF_FRAMES), arrivals, st.integers())
@examples(200)
def test_frames_are_judged_as_their_cells_would_be(
        contract: Contract, runs: list[tuple[int, int, int]], ends: int) -> None:
    conformance, plain, now = conformance_of(contract), PlainJudge(contract), 0
    for number, (gap, clp, count) in enumerate(runs):
        now += gap
        split = conformance.judge(clp, count, now)
        assert verdicts(split) == [plain.judge(clp, now) for _ in range(count)]
        if ends >> number & 1:
            assert verdicts(conformance.judge(clp, 1, now, last=True)) == [plain.judge(clp, now, last=True)]


@given(contracts(), arrivals)
@examples(150)
def test_cells_that_are_sent_conform(contract: Contract, runs: list[tuple[int, int, int]]) -> None:
    """And the next cell conforms when it is due, not a nanosecond before."""
    sender, judge, now = conformance_of(contract), conformance_of(contract), 0
    for gap, clp, count in runs:
        now += gap
        due = sender.due(clp)
        sent = sender.send(clp, count, now)
        assert (sent > 0) is (due <= now)
        if contract.category not in OF_FRAMES:
            assert judge.judge(clp, sent, now) == Split(sent)


@given(contracts(), arrivals)
def test_cells_without_user_data_have_the_peak_rate(contract: Contract, runs: list[tuple[int, int, int]]) -> None:
    conformance, now = conformance_of(contract), 0
    peak = conformance_of(Contract(ServiceCategory.CBR, contract.pcr, cdvt=contract.cdvt))
    for gap, _, count in runs:
        now += gap
        assert conformance.judge_other(count, now) == peak.judge(0, count, now)
        assert conformance.due(0, user=False) == peak.due(0)


@pytest.mark.parametrize(("text", "runs", "expected"), [
    ("cbr:pcr=100", [(0, 3)], [Split(1, 0, 2, PCR)]),
    ("cbr:pcr=100,cdvt=20ms", [(0, 3), (1, 1)], [Split(3), Split(0, 0, 1, PCR)]),
    ("ubr:pcr=100", [(0, 3)], [Split(1, 0, 2, PCR)]),
    ("ubr:pcr=100,tag", [(0, 3), (1, 3)], [Split(1, 2), Split(0, 0, 3, PCR)]),
    ("ubr", [(0, 10**9)], [Split(10**9)]),
    ("rt-vbr.1:pcr=1000,scr=100,mbs=2,cdvt=9ms", [(0, 9), (1, 9)], [Split(2, 0, 7, SCR), Split(0, 0, 9, SCR)]),
    ("nrt-vbr.2:pcr=1000,scr=100,mbs=2,cdvt=9ms", [(0, 9), (1, 9)], [Split(2, 0, 7, SCR), Split(8, 0, 1, PCR)]),
    ("nrt-vbr.3:pcr=1000,scr=100,mbs=2,cdvt=9ms", [(0, 12), (1, 9)], [Split(2, 8, 2, PCR), Split(0, 0, 9, PCR)]),
    ("nrt-vbr.3:pcr=1000,scr=100,mbs=2,cdvt=9ms", [(1, 5), (0, 9)], [Split(5), Split(2, 3, 4, PCR)]),
])
def test_runs_that_come_at_once(text: str, runs: list[tuple[int, int]], expected: list[Split]) -> None:
    conformance = of(text)
    assert [conformance.judge(clp, count, 10**9) for clp, count in runs] == expected


def test_a_frame_that_is_not_eligible() -> None:
    """BT is 27 ms and CDVT 30 ms; after a frame of 6 cells the next may begin 57 ms early, not 60."""
    text = "gfr:pcr=1000,mcr=100,mbs=4,cdvt=30ms"
    passes, tags = of(text), of(f"{text},tag")
    for conformance, second in ((passes, [Split(5), Split(1)]), (tags, [Split(0, 5), Split(0, 1)])):
        assert [conformance.judge(0, 5, 0), conformance.judge(0, 1, 0, last=True)] == [Split(5), Split(1)]
        assert [conformance.judge(0, 5, 0), conformance.judge(0, 1, 0, last=True)] == second
        assert conformance.judge(0, 5, 3_000_000) == Split(5)
        assert conformance.judge(0, 1, 3_000_000, last=True) == Split(1)


def test_delay_variation_on_the_way_is_added() -> None:
    contract = Contract.parse("cbr:pcr=1000,cdvt=1ms")
    assert conformance_of(contract).judge(0, 9, 0).passed == 2
    assert conformance_of(contract, more_cdvt=3_000_000).judge(0, 9, 0).passed == 5


def test_a_frame_beyond_mfs_keeps_its_last_cell() -> None:
    conformance = of("gfr:pcr=1000,mcr=100,mbs=4,mfs=3,cdvt=1s")
    assert conformance.judge(0, 5, 0) == Split(3, 0, 2, DropReason.BAD_FRAME)
    assert conformance.judge(0, 2, 0) == Split(0, 0, 2, DropReason.BAD_FRAME)
    assert conformance.judge(0, 1, 0, last=True) == Split(1)
    assert conformance.judge(0, 1, 0, last=True) == Split(1)


@pytest.mark.parametrize("contract", [
    Contract(ServiceCategory.ABR, CellRate(9)), Contract(ServiceCategory.CBR),
    Contract(ServiceCategory.RT_VBR_1, CellRate(9)), Contract(ServiceCategory.NRT_VBR_3, CellRate(9), CellRate(8)),
    Contract(ServiceCategory.GFR), Contract(ServiceCategory.GFR, CellRate(9), cdvt=Duration(5))])
def test_contracts_that_cannot_be_held(contract: Contract) -> None:
    with pytest.raises(ValueError, match=r"needs|nrt-vbr"):
        conformance_of(contract)
