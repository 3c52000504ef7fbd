"""The systemd unit: right, and with the least rights."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "packaging" / "systemd" / "atmdepot@.service"
MOST_EXPOSED = 3.0
"""Of 10; below 3 systemd says OK. What is left is the network, which is what the daemon is for."""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def analyze(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask about an instance of the unit; no atmdepot is installed here, so another program stands for it."""
    unit = tmp_path / "atmdepot@depot.service"
    unit.write_text(UNIT.read_text().replace("/usr/bin/atmdepot", "/bin/true"))
    return subprocess.run(["systemd-analyze", *words, str(unit)], capture_output=True, text=True, check=False)


def test_the_unit_is_right(tmp_path: Path) -> None:
    done = analyze(tmp_path, "verify", "--man=no")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_exposes_little(tmp_path: Path) -> None:
    done = analyze(tmp_path, "security", "--offline=yes")
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) < MOST_EXPOSED


def test_a_start_without_a_table_fails() -> None:
    """A condition would start nothing, and call that good."""
    assert "\nAssertPathExists=/etc/atmdepot/network.toml\n" in UNIT.read_text()


def test_the_daemon_may_do_no_more_than_networks_take() -> None:
    text = UNIT.read_text()
    for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert f"\n{key}=CAP_NET_ADMIN CAP_NET_RAW\n" in text
    assert "\nType=notify\n" in text
