"""The conformance definitions of traffic contracts, from CBR.1 to GFR.2 (ATM Forum TM 4.1 section 4.5, ITU-T I.371).

A definition judges runs: cells of one VC with equal headers that arrive together. Since no time passes within a run,
its first cells conform, the next may be tagged, and the last are discarded; so a run is judged in one step.

===========================  =============  ==================  ================================================
definition                   PCR            SCR                 beyond
===========================  =============  ==================  ================================================
CBR.1, UBR.1                 CLP 0 and 1                        discarded
UBR.2                        CLP 0 and 1                        CLP 0 tagged, CLP 1 discarded
VBR.1                        CLP 0 and 1    CLP 0 and 1         discarded; both tests move only if both pass
VBR.2                        CLP 0 and 1    CLP 0               discarded; a cell that fails moves no test
VBR.3                        CLP 0 and 1    CLP 0               above SCR tagged, which moves PCR; above PCR discarded
GFR.1, GFR.2                 CLP 0 and 1    frames, by MCR      see `FrameConformance`
===========================  =============  ==================  ================================================

Cells of other kinds (OAM, RM) are held against PCR alone, and never tagged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from atmdepot.atm.gcra import Gcra
from atmdepot.config.contract import ServiceCategory
from atmdepot.drops import DropReason

if TYPE_CHECKING:
    from atmdepot.config.contract import Contract

_LEAST_CDVT = 1
"""A clock of whole nanoseconds cannot keep a rate with less tolerance (ns)."""
_NEVER_FULL = 2**62
_CLP0_ONLY = {ServiceCategory.RT_VBR_2, ServiceCategory.RT_VBR_3, ServiceCategory.NRT_VBR_2, ServiceCategory.NRT_VBR_3}

_GFR = {ServiceCategory.GFR, ServiceCategory.GFR_2}
_VBR = {ServiceCategory.RT_VBR_1, ServiceCategory.NRT_VBR_1} | _CLP0_ONLY


class Split(NamedTuple):
    """A judged run: its first cells pass, the next are tagged, the rest is discarded for `reason`."""

    passed: int
    tagged: int = 0
    discarded: int = 0
    reason: DropReason | None = None


class Conformance(Protocol):
    """A conformance definition with the state of one VC; times in ns.

    `by_frames` is True when it looks at frames, so that each last cell has to come as a run of its own.
    """

    by_frames: bool

    def judge(self, clp: int, count: int, now: int, *, last: bool = False) -> Split:
        """Judge a run of user cells; `last` for last cells of AAL5 PDUs."""

    def judge_other(self, count: int, now: int) -> Split:
        """Judge a run of cells that carry no user data."""

    def may_send(self, clp: int, count: int, now: int, *, user: bool = True) -> int:
        """The number of a run's cells that may go now, neither tagged nor discarded."""

    def sent(self, clp: int, count: int, now: int, *, user: bool = True) -> None:
        """Count cells that went, as many as `may_send` allowed at most."""

    def send(self, clp: int, count: int, now: int, *, user: bool = True) -> int:
        """Take the cells of a run that may go now: `may_send`, then `sent`; return their number."""

    def due(self, clp: int, *, user: bool = True) -> int:
        """The earliest time at which `send` takes a cell."""


class CellConformance:
    """CBR, VBR and UBR: one or two tests of single cells."""

    __slots__ = ("_clp0_only", "_peak", "_sustained", "_tags", "by_frames")

    def __init__(self, peak: Gcra | None, sustained: Gcra | None = None, *, clp0_only: bool = False,
                 tags: bool = False) -> None:
        """Hold cells against the tests; `clp0_only` says what the sustained test sees."""
        self.by_frames = False
        self._peak = peak
        self._sustained = sustained
        self._clp0_only = clp0_only
        self._tags = tags

    def judge(self, clp: int, count: int, now: int, *, last: bool = False) -> Split:
        """See `Conformance.judge`."""
        sustained = self._sustained_test(clp)
        within_peak = _fit(self._peak, now, count)
        passed = _fit(sustained, now, within_peak)
        may_tag = self._tags and not clp
        # Tagged above SCR, a cell has passed PCR and moves it. In UBR.2, it has passed no test.
        tagged = (within_peak if sustained else count) - passed if may_tag else 0
        _take(self._peak, now, passed + tagged if sustained else passed)
        _take(sustained, now, passed)
        discarded = count - passed - tagged
        above_scr = passed < within_peak and not may_tag
        reason = (DropReason.ABOVE_SCR if above_scr else DropReason.ABOVE_PCR) if discarded else None
        return Split(passed, tagged, discarded, reason)

    def judge_other(self, count: int, now: int) -> Split:
        """See `Conformance.judge_other`."""
        return _judge_peak(self._peak, count, now)

    def may_send(self, clp: int, count: int, now: int, *, user: bool = True) -> int:
        """See `Conformance.may_send`."""
        sustained = self._sustained_test(clp) if user else None
        return _fit(sustained, now, _fit(self._peak, now, count))

    def sent(self, clp: int, count: int, now: int, *, user: bool = True) -> None:
        """See `Conformance.sent`."""
        _take(self._peak, now, count)
        _take(self._sustained_test(clp) if user else None, now, count)

    def send(self, clp: int, count: int, now: int, *, user: bool = True) -> int:
        """See `Conformance.send`."""
        allowed = self.may_send(clp, count, now, user=user)
        self.sent(clp, allowed, now, user=user)
        return allowed

    def due(self, clp: int, *, user: bool = True) -> int:
        """See `Conformance.due`."""
        sustained = self._sustained_test(clp) if user else None
        return max(0 if test is None else test.due() for test in (self._peak, sustained))

    def _sustained_test(self, clp: int) -> Gcra | None:
        return None if clp and self._clp0_only else self._sustained


class FrameConformance:
    """GFR: PCR for each cell, and for each frame a uniform CLP, at most MFS cells, and F-GCRA of MCR.

    F-GCRA is tested at a frame's first cell, and all its cells follow it (TM 4.1 section 4.5.5). It moves for cells of
    eligible frames of CLP 0. GFR.1 passes a frame that is not eligible, GFR.2 tags all its cells. After a cell that
    does not conform the frame's rest is discarded, but for the last cell, which keeps two frames apart.
    """

    __slots__ = ("_bad", "_cells", "_clp", "_eligible", "_let_in", "_mfs", "_minimum", "_peak", "_tags", "_within",
                 "by_frames")

    def __init__(self, peak: Gcra, minimum: Gcra, mfs: int | None, *, tags: bool = False) -> None:
        """Hold frames against PCR, MCR and a greatest size in cells (None: any); `tags` for GFR.2."""
        self.by_frames = True
        self._peak = peak
        self._minimum = minimum
        self._mfs = mfs or _NEVER_FULL
        self._tags = tags
        self._within = self._bad = self._eligible = False
        self._clp = self._cells = self._let_in = 0

    def judge(self, clp: int, count: int, now: int, *, last: bool = False) -> Split:
        """See `Conformance.judge`."""
        if not self._within:
            self._begin(clp, now)
        if clp != self._clp:
            self._bad = True
        room = self._mfs - self._cells
        self._cells += count
        in_frame = 0 if self._bad else min(count, room)
        if last and self._let_in:
            in_frame = 1
        allowed = _fit(self._peak, now, in_frame)
        self._let_in += allowed
        self._bad = self._bad or allowed < count
        self._within = not last
        return self._split(allowed, count, now, DropReason.ABOVE_PCR if allowed < in_frame else DropReason.BAD_FRAME)

    def judge_other(self, count: int, now: int) -> Split:
        """See `Conformance.judge_other`."""
        return _judge_peak(self._peak, count, now)

    def may_send(self, clp: int, count: int, now: int, *, user: bool = True) -> int:
        """See `Conformance.may_send`: PCR alone decides, since a frame beyond MCR may go, as best effort."""
        return _fit(self._peak, now, count)

    def sent(self, clp: int, count: int, now: int, *, user: bool = True) -> None:
        """See `Conformance.sent`."""
        _take(self._peak, now, count)

    def send(self, clp: int, count: int, now: int, *, user: bool = True) -> int:
        """See `Conformance.send`."""
        return _judge_peak(self._peak, count, now).passed

    def due(self, clp: int, *, user: bool = True) -> int:
        """See `Conformance.due`."""
        return max(0, self._peak.due())

    def _begin(self, clp: int, now: int) -> None:
        self._clp = clp
        self._cells = self._let_in = 0
        self._bad = False
        self._eligible = not clp and self._minimum.fit(now, 1) == 1

    def _split(self, allowed: int, count: int, now: int, reason: DropReason) -> Split:
        """Move the tests for the cells that pass, and tag them where the frame is not eligible."""
        self._peak.take(now, allowed)
        if self._eligible:
            self._minimum.take(now, allowed)
        tagged = allowed if self._tags and not self._eligible and not self._clp else 0
        return Split(allowed - tagged, tagged, count - allowed, reason if allowed < count else None)


def conformance_of(contract: Contract, *, more_cdvt: int = 0) -> Conformance:
    """The conformance definition of a contract, from rest.

    `more_cdvt` (ns) is added to the contract's CDVT: the delay variation of what lies between the source and here.
    Raises ValueError for ABR, whose rate its RM cells decide, and for a contract without a rate that it needs.
    """
    category = contract.category
    cdvt = max(contract.cdvt + more_cdvt, _LEAST_CDVT)
    if category is ServiceCategory.ABR:
        raise ValueError("ABR has no fixed rate to hold cells against: write nrt-vbr or ubr")
    peak = Gcra.peak(contract.pcr, cdvt) if contract.pcr else None
    if category in _GFR:
        if peak is None or not (contract.pcr and contract.mcr and contract.mbs):
            raise ValueError(f"{category} needs pcr, mcr and mbs")
        minimum = Gcra.sustained(contract.mcr, contract.mbs, contract.pcr, cdvt)
        return FrameConformance(peak, minimum, contract.mfs, tags=category.tags)
    if category in _VBR:
        if not (contract.pcr and contract.scr and contract.mbs):
            raise ValueError(f"{category} needs pcr, scr and mbs")
        sustained = Gcra.sustained(contract.scr, contract.mbs, contract.pcr, cdvt)
        return CellConformance(peak, sustained, clp0_only=category in _CLP0_ONLY, tags=category.tags)
    if peak is None and category is ServiceCategory.CBR:
        raise ValueError("CBR needs pcr")
    return CellConformance(peak, tags=category.tags)


def _fit(test: Gcra | None, now: int, count: int) -> int:
    return count if test is None else test.fit(now, count)


def _take(test: Gcra | None, now: int, count: int) -> None:
    if test is not None:
        test.take(now, count)


def _judge_peak(peak: Gcra | None, count: int, now: int) -> Split:
    passed = _fit(peak, now, count)
    _take(peak, now, passed)
    return Split(passed, 0, count - passed, DropReason.ABOVE_PCR if passed < count else None)
