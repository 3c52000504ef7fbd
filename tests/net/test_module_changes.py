"""A data packet of an established session meets a bounded number of modules on its way through the depot."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.checkout import ROOT


@pytest.fixture(scope="module")
def ways() -> dict[str, list[str]]:
    """The modules in order, by direction; only plain Python can be counted."""
    done = subprocess.run([sys.executable, "-m", "tests.net.module_changes"], cwd=ROOT, check=True,
                          env=os.environ | {"ATMDEPOT_PURE": "1"}, capture_output=True, text=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("direction", "most"), [("from client", 20), ("from server", 22)])
def test_changes_of_module_are_bounded(ways: dict[str, list[str]], direction: str, most: int) -> None:
    """From a server the cells take more: header, HEC, VC, end of the PDU and its CRC are read in plain functions."""
    assert 10 < len(ways[direction]) <= most, ways[direction]
