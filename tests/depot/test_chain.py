"""The chain, held against a list."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from atmdepot.depot.chain import Chain, Chained


class ChainMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain()
        self.model: list[Chained] = []
        self.left: list[Chained] = []

    @rule()
    def a_new_item_comes(self) -> None:
        item = Chained()
        item.stand_alone()
        self._enter(item)

    @precondition(lambda self: self.left)
    @rule(data=st.data())
    def one_that_has_left_comes_again(self, data: st.DataObject) -> None:
        self._enter(self.left.pop(data.draw(st.integers(0, len(self.left) - 1))))

    def _enter(self, item: Chained) -> None:
        self.chain.add(item)
        self.model.append(item)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def any_of_them_leaves(self, data: st.DataObject) -> None:
        item = self.model.pop(data.draw(st.integers(0, len(self.model) - 1)))
        self.chain.remove(item)
        self.left.append(item)

    @invariant()
    def order_and_number_are_those_of_the_list(self) -> None:
        assert [id(item) for item in self.chain] == [id(item) for item in self.model]
        assert len(self.chain) == len(self.model)

    @invariant()
    def the_oldest_is_the_lists_first(self) -> None:
        def first(but: Any) -> Any:
            return next((item for item in self.model[:2] if item is not but), None)

        for but in (None, *self.model[:3]):
            assert self.chain.oldest(but) is first(but)


TestChain = ChainMachine.TestCase
