"""Scenarios in containers: the same files as in the lab."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.testbed import image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.conftest import Projects
    from tests.testbed.machine import Machine

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_scenarios_are_played_in_containers_and_leave_none(
    docker: Machine, clone: Path, projects: Projects, tmp_path: Path,
) -> None:
    projects("testbed/compose.yaml", "scenarios")("build", "depot")
    environment = docker.environment | ({"BASE_IMAGE": image.BASE} if docker.is_ours else {})
    done = subprocess.run([sys.executable, "-P", "-m", "atmdepot", "lab", "run", "--on", "compose", "--out",
                           str(tmp_path), "baseline", "link-cut"],
                          env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "link-cut.json").read_text())
    assert found["on"] == "on Compose"
    assert {sample["condition"].get("web1") for sample in found["samples"]} >= {"alive", "dead"}
    assert "atmdepot-baseline" not in docker.docker("ps", "-a").stdout
