"""Strategies for traffic contracts, and a judge that reads TM 4.1's definitions cell by cell in exact fractions."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import strategies as st

from atmdepot.config.contract import Contract, ServiceCategory
from atmdepot.config.units import CellRate, Duration

NS = 1_000_000_000
OF_FRAMES = [ServiceCategory.GFR, ServiceCategory.GFR_2]
OF_CELLS = [category for category in ServiceCategory if category not in (*OF_FRAMES, ServiceCategory.ABR)]


@st.composite
def contracts(draw: st.DrawFn, categories: list[ServiceCategory] | None = None) -> Contract:
    """Contracts with all they need, from one cell in 10 ms to OC-48."""
    category = draw(st.sampled_from(categories or [*OF_CELLS, *OF_FRAMES]))
    rate = st.one_of(st.sampled_from([100, 353_207, 5_651_320]), st.integers(100, 10**6))
    low, high = sorted((draw(rate), draw(rate)))
    mbs = draw(st.integers(1, 40))
    mfs = draw(st.one_of(st.none(), st.integers(1, 12)))
    cdvt = draw(st.one_of(st.just(0), st.integers(1, 10**7)))
    return Contract(category, CellRate(high), CellRate(low), CellRate(low), mbs, mfs, Duration(cdvt))


arrivals = st.lists(st.tuples(st.one_of(st.just(0), st.integers(1, 10**4), st.integers(1, 10**8)),
                              st.integers(0, 1), st.integers(1, 12)), max_size=25)
"""Runs: the time since the run before (ns), CLP, and the number of cells."""


@dataclass
class Bucket:
    """GCRA in seconds."""

    rate: int
    limit: Fraction
    theoretical: Fraction = Fraction(0)

    def conforms(self, time: Fraction) -> bool:
        return time >= self.theoretical - self.limit

    def move(self, time: Fraction) -> None:
        self.theoretical = max(time, self.theoretical) + Fraction(1, self.rate)


@dataclass
class PlainJudge:
    """The definitions as TM 4.1 section 4.5 says them, for a cell at a time."""

    contract: Contract
    peak: Bucket = field(init=False)
    sustained: Bucket = field(init=False)
    frame: list[str] = field(default_factory=list)  # the verdicts on the frame so far
    frame_clp: int = 0
    frame_eligible: bool = False

    def __post_init__(self) -> None:
        contract = self.contract
        assert contract.pcr
        assert contract.scr
        assert contract.mbs
        tolerance = Fraction(max(int(contract.cdvt), 1), NS)
        burst = (contract.mbs - 1) * (Fraction(1, contract.scr) - Fraction(1, contract.pcr))
        # Rounded up to a tick of 1/SCR ns, as `burst_tolerance` says.
        burst = Fraction(-(-burst * NS * contract.scr // 1), NS * contract.scr)
        self.peak = Bucket(contract.pcr, tolerance)
        self.sustained = Bucket(contract.scr, burst + tolerance)

    def judge(self, clp: int, now: int, last: bool = False) -> str:
        time = Fraction(now, NS)
        name = str(self.contract.category)
        if name.startswith("GFR"):
            return self._judge_frame(clp, time, last)
        within_peak = self.peak.conforms(time)
        if not within_peak:
            return "tag" if name == "UBR.2" and not clp else "discard"
        if "VBR" not in name or (clp and not name.endswith(".1")):
            self.peak.move(time)
            return "pass"
        if self.sustained.conforms(time):
            self.peak.move(time)
            self.sustained.move(time)
            return "pass"
        if name.endswith(".3"):
            self.peak.move(time)
            return "tag"
        return "discard"

    def _judge_frame(self, clp: int, time: Fraction, last: bool) -> str:
        if not self.frame:
            self.frame_clp = clp
            self.frame_eligible = clp == 0 and self.sustained.conforms(time)
        good = "discard" not in self.frame and clp == self.frame_clp \
            and len(self.frame) < (self.contract.mfs or 10**9)
        if last and any(verdict != "discard" for verdict in self.frame):
            good = True
        verdict = "discard"
        if good and self.peak.conforms(time):
            self.peak.move(time)
            if self.frame_eligible:
                self.sustained.move(time)
            tagged = self.contract.category.tags and not self.frame_eligible and not self.frame_clp
            verdict = "tag" if tagged else "pass"
        self.frame.append(verdict)
        if last:
            self.frame = []
        return verdict
