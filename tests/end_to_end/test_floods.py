"""`testbed/floods.py` at a small rate: each flood is sent, and others notice nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.namespaces
COMMAND = [sys.executable, str(Path(__file__).parents[2] / "testbed" / "floods.py")]


@pytest.mark.slow
def test_floods_from_spoofed_addresses_refuse_no_client() -> None:
    done = subprocess.run([*COMMAND, "--rate", "400", "--seconds", "3", "--held", "3", "--json"], check=False,
                          capture_output=True, text=True, timeout=200)
    assert done.returncode in (0, 1), done.stderr
    rows = {row["flood"]: row for row in json.loads(done.stdout)}
    assert list(rows) == ["syn", "pairs", "udp"]
    for row in rows.values():
        assert row["packets/s"] > 100
        assert (row["lost data"], row["evicted"]) == (0, {})
        assert row["new"] > 20
        assert row["failed"] < row["new"] / 2


@pytest.mark.parametrize("option", [["--rate", "0"], ["--rate", "100001"], ["--seconds", "x"], ["--held", "501"],
                                    ["--flood", "none"]])
def test_arguments_out_of_bounds_are_refused(option: list[str]) -> None:
    done = subprocess.run([*COMMAND, *option], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert option[0] in done.stderr
