"""Hostile cells at a whole network raise nothing, and what it keeps stays bounded; `tests/fuzz.py` goes on longer."""

from __future__ import annotations

from random import Random

import pytest

from atmdepot.bearer.adaptation import LinkAdaptation
from tests.fuzz import damaged, seeds
from tests.hostile_network import VARIANTS, HostileNetwork, Variant

ROUNDS = 120


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: f"{variant.encapsulation}-{variant.rate[8:12]}")
def test_hostile_cells_raise_nothing_and_fill_nothing(variant: Variant) -> None:
    it = HostileNetwork(variant, seeds(), damaged)
    for number in range(ROUNDS):
        it.round(Random(number))
        for node in it.nodes.values():
            for port in node.links.values():
                if isinstance(port, LinkAdaptation):
                    assert port.reassembler.octets_pending <= it.network.reassembly.octets
