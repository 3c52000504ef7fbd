"""A link's VCs, held against a dict."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atmdepot.atm.vc import Vc, VcTable

# VCIs that agree in their low bits, and VPIs that share them.
VCS = st.tuples(st.integers(0, 2), st.sampled_from([32, 33, 32 + 256, 33 + 256, 32 + 512, 65_535, 65_535 - 256]))


class VcTableMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = {(1, 32): Vc(1, 32)}
        self.table = VcTable(*self.model.values())

    @rule(vc=VCS)
    def a_vc_is_opened(self, vc: tuple[int, int]) -> None:
        made = Vc(*vc)
        if vc in self.model:
            with pytest.raises(ValueError, match="already open"):
                self.table.add(made)
        else:
            self.table.add(made)
            self.model[vc] = made

    @rule(vc=VCS)
    def a_vc_is_closed(self, vc: tuple[int, int]) -> None:
        self.table.remove(self.model.pop(vc, Vc(*vc)))

    @rule(vc=VCS)
    def a_cell_finds_its_vc(self, vc: tuple[int, int]) -> None:
        assert self.table.find(*vc) is self.model.get(vc)

    @invariant()
    def all_are_there(self) -> None:
        assert list(self.table) == [self.model[channel] for channel in sorted(self.model)]
        assert len(self.table) == len(self.model)


TestVcTable = VcTableMachine.TestCase
