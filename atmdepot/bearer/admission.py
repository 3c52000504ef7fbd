"""Connection admission at a link: a VC's contract must fit what the link's rate has left (ATM Forum TM 4.1).

The guaranteed rates of all VCs that are open are added up: PCR for CBR, SCR for VBR, MCR for GFR, MDCR for UBR.
CBR and rt-VBR may take 99 of 100 cells, as many as the scheduler gives them; each other category what its weight gives
it of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.atm.scheduler import MOST_STRICT, SHARING, STRICT, QueueClass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atmdepot.config.contract import Contract


class Admission:
    """The promises of a link's rate to VCs, in cells/s."""

    def __init__(self, link: str, rate: int, weights: Mapping[QueueClass, int]) -> None:
        """Begin with a link of `rate` cells/s that is promised to no VC.

        `refused` counts the VCs refused, and `refusals` has the contracts of those that are open, by channel.
        """
        self.link = link
        self.rate = rate
        self.refused = 0
        self.refusals: dict[tuple[int, int], Contract] = {}
        self.promised = dict.fromkeys(QueueClass, 0)
        self._weights = {name: weights[name] for name in SHARING}
        self._of_vc: dict[tuple[int, int], tuple[QueueClass, int]] = {}

    def refusal(self, contract: Contract) -> str:
        """The reason that a contract does not fit; empty when it fits, or guarantees no rate."""
        wanted = int(contract.guaranteed)
        if not wanted:
            return ""
        name = QueueClass.of(contract.category)
        promised = self.promised | {name: self.promised[name] + wanted}
        for other, most in self._most(promised).items():
            if promised[other] > most:
                return (f"link {self.link} has no {wanted} cells/s left for {contract}: of its {self.rate}, "
                        f"{sum(self.promised.values())} are promised, and {other} may have {most}")
        return ""

    def admit(self, channel: tuple[int, int], contract: Contract) -> bool:
        """Promise a VC the rate of its contract until `release`; False, and the VC is counted, when it does not fit."""
        self.release(channel)
        if self.refusal(contract):
            self.refused += 1
            self.refusals[channel] = contract
            return False
        if wanted := int(contract.guaranteed):
            name = QueueClass.of(contract.category)
            self.promised[name] += wanted
            self._of_vc[channel] = name, wanted
        return True

    def release(self, channel: tuple[int, int]) -> None:
        """Take back what a VC was promised, if it was promised a rate, and forget that it was refused."""
        self.refusals.pop(channel, None)
        name, rate = self._of_vc.pop(channel, (QueueClass.UBR, 0))
        self.promised[name] -= rate

    def _most(self, promised: Mapping[QueueClass, int]) -> dict[QueueClass, int]:
        """The most that each queue may be promised, given what the others are."""
        strict = self.rate * MOST_STRICT // (MOST_STRICT + 1)
        first, second = STRICT
        rest = self.rate - promised[first] - promised[second]
        total = sum(self._weights.values())
        return {first: strict - promised[second], second: strict - promised[first],
                **{name: rest * weight // total for name, weight in self._weights.items()}}
