"""CIR, Bc and Be of a PVC (ITU-T I.370) as tests of frames: a sender shapes by them, a receiver polices.

Both tests are those of ATM's rates (`atm/gcra.py`), in bits: Bc at once and then CIR; beside it Be at once and then
Be/Bc x CIR. A frame conforms as a whole or not at all. What is beyond Bc takes of Be and is marked (DE), what is beyond
both is discarded. A frame that has DE already takes of Be alone; where Be is 0, of Bc.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from atmdepot.atm.gcra import INCREMENT, Gcra

if TYPE_CHECKING:
    from atmdepot.config.relay import Dlcis


class Verdict(Enum):
    """The fate of a frame."""

    PASS = "pass"
    MARK = "mark"
    DISCARD = "discard"


class Committed:
    """The two tests of a PVC in one direction. Times in ns, sizes in octets."""

    __slots__ = ("_committed", "_excess")

    def __init__(self, cir: int, bc: int, be: int) -> None:
        """Test for CIR in bit/s, Bc and Be in bits; raise ValueError for a CIR or a Bc below 1."""
        if bc < 1:
            raise ValueError(f"Bc {bc} bits: a frame never conforms")
        self._committed = Gcra(cir, (bc - 1) * INCREMENT)
        excess = cir * be // bc
        self._excess = Gcra(excess, (be - 1) * INCREMENT) if be and excess else None

    @classmethod
    def of(cls, settings: Dlcis) -> Committed | None:
        """The tests of a PVC of a VC table; None where it has no CIR."""
        return None if settings.cir is None else cls(int(settings.cir), settings.bc, settings.be)

    def judge(self, octets: int, de: bool, now: int) -> Verdict:
        """Police a frame that came."""
        if self.send(octets, de, now):
            return Verdict.PASS
        return Verdict.MARK if not de and self._excess is not None and _takes(self._excess, octets, now) else (
            Verdict.DISCARD)

    def send(self, octets: int, de: bool, now: int) -> bool:
        """True, and counted, for a frame that may go now with the DE that it has."""
        return _takes(self._test(de), octets, now)

    def due(self, octets: int, de: bool, now: int) -> int:
        """The earliest time at which `send` lets a frame go, of at most Bc, or with DE of Be."""
        return max(now, self._test(de).due(8 * octets))

    def _test(self, de: bool) -> Gcra:
        return self._committed if self._excess is None or not de else self._excess


def _takes(test: Gcra, octets: int, now: int) -> bool:
    """True, and counted, for a frame that conforms."""
    bits = 8 * octets
    if test.fit(now, bits) < bits:
        return False
    test.take(now, bits)
    return True
