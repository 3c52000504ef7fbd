"""SplitMix64 gives the numbers of its authors' generator."""

from __future__ import annotations

import pytest

from atmdepot.depot.splitmix64 import GAMMA, mix64


@pytest.mark.parametrize(("seed", "numbers"), [
    (0, (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)),
    (1_234_567, (6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423))])
def test_the_finalizer_makes_the_generators_numbers(seed: int, numbers: tuple[int, ...]) -> None:
    assert tuple(mix64((seed + step * GAMMA) % 2**64) for step in (1, 2, 3)) == numbers
