"""Scenarios as a user plays them: `atmdepot lab run`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from atmdepot.scenario import reading
from tests.checkout import ROOT
from tests.end_to_end.sites import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]
COMMAND = (sys.executable, "-P", "-m", "atmdepot", "lab")
OF_TWO_DEPOTS = ["edge-links-cut", "prefer", "five-kills"]
ELSEWHERE = {"baseline", "hot-minute", *OF_TWO_DEPOTS}
"""Scenarios with a test of their own."""


def test_the_baseline_is_as_expected_and_leaves_reports_and_no_lab(
    needs: Callable[[str], None], tmp_path: Path, lab_environment: dict[str, str],
) -> None:
    needs("nginx")
    done = subprocess.run([*COMMAND, "run", "baseline", "--out", str(tmp_path)], env=lab_environment, timeout=120,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "baseline.json").read_text())
    assert {step["outcome"] for step in found["steps"]} == {"passed"}
    assert sum(found["loads"]["browsing"]["answered"]) == 2000
    assert found["samples"][-1]["links"]["to-web1"] > 1000
    for name in ("baseline.xml", "baseline.svg"):
        ElementTree.parse(tmp_path / name)
    assert "baseline.svg" in (tmp_path / "baseline.md").read_text()
    assert labs(lab_environment) == []


@pytest.mark.parametrize("name", OF_TWO_DEPOTS)
def test_scenarios_of_two_depots(name: str, needs: Callable[[str], None], lab_environment: dict[str, str]) -> None:
    needs("keepalived")
    done = subprocess.run([*COMMAND, "run", name], env=lab_environment, timeout=240, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(set(reading.shipped()) - ELSEWHERE))
def test_every_other_scenario_that_ships_is_as_expected(
    name: str, needs: Callable[[str], None], lab_environment: dict[str, str],
) -> None:
    for program in ("nginx", "keepalived", "tc"):
        needs(program)
    done = subprocess.run([*COMMAND, "run", name], env=lab_environment, timeout=240, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


def test_the_minute_on_a_hot_standby_in_a_third_of_its_time(
    needs: Callable[[str], None], tmp_path: Path, lab_environment: dict[str, str],
) -> None:
    needs("keepalived")
    text = (ROOT / "testbed" / "scenarios" / "hot-minute.toml").read_text()
    assert text.count('lasts = "60s"') == 1
    scenario = tmp_path / "hot-minute.toml"
    scenario.write_text(text.replace('lasts = "60s"', 'lasts = "20s"'))
    done = subprocess.run([*COMMAND, "run", str(scenario)], env=lab_environment, timeout=240, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_takes_the_lab_down(tmp_path: Path, lab_environment: dict[str, str]) -> None:
    scenario = tmp_path / "long.toml"
    scenario.write_text('name = "long"\ntable = "direct"\n[steps.load]\ndo = "load"\n'
                        '[steps.wait]\ndo = "wait"\nlasts = "1h"\n')
    with subprocess.Popen([*COMMAND, "run", str(scenario)], env=lab_environment, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as run:
        assert run.stderr is not None
        assert any("begun" in line for line in run.stderr)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 128 + signal.SIGINT
    until(lambda: labs(lab_environment) == [])


def labs(environment: dict[str, str]) -> list[object]:
    done = subprocess.run([*COMMAND, "status", "-o", "json"], env=environment, stdout=subprocess.PIPE, check=True)
    return list(json.loads(done.stdout)["labs"])
