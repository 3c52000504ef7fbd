"""A SYN costs the data path a bounded number of steps, whichever servers are dead, full or in their slow start."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from atmdepot.depot.balancing.registry import BALANCERS
from tests.checkout import ROOT

COUNTS = (10, 200)
FIXED, FOR_EACH_SERVER = 800, 80


@pytest.fixture(scope="module")
def steps() -> dict[str, dict[str, int]]:
    """The most steps of a SYN, by criterion and number of servers; only plain Python can be counted."""
    done = subprocess.run([sys.executable, "-m", "tests.depot.steps", *map(str, COUNTS)], cwd=ROOT, check=True,
                          env=os.environ | {"ATMDEPOT_PURE": "1"}, capture_output=True, text=True)
    counted: dict[str, dict[str, int]] = json.loads(done.stdout)
    return counted


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("balancing", BALANCERS)
def test_steps_of_one_syn_are_bounded(steps: dict[str, dict[str, int]], balancing: str, count: int) -> None:
    assert 100 < steps[balancing][str(count)] < FIXED + FOR_EACH_SERVER * count
