"""The lessons are played by their own solutions in real labs, so that no solution is stale."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from atmdepot.exercises.lessons import LESSONS

if TYPE_CHECKING:
    from pathlib import Path

TIME = 300
"""Seconds: only a script that hangs takes them."""


def play(name: str, directory: Path, environment: dict[str, str]) -> None:
    """Begin a lesson, do what its solution says, and see that it is done."""
    # A program and no function of the shell: a solution ends its trace by the number of its process.
    program = directory / "bin" / "atmdepot"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m atmdepot "$@"\n')
    program.chmod(0o755)
    environment = environment | {"XDG_STATE_HOME": str(directory), "PATH": f"{program.parent}:{environment['PATH']}"}

    def shell(script: str) -> str:
        done = subprocess.run(["bash", "-e", "-c", script], cwd=directory,
                              env=environment, capture_output=True, text=True, check=False, timeout=TIME)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    task = shell(f"atmdepot exercise {name}")
    assert task.count("--check") == next(lesson.steps for lesson in LESSONS if lesson.name == name)
    shell(shell(f"atmdepot exercise {name} --solution"))
    told = json.loads(shell(f"atmdepot exercise {name} --check -o json"))
    assert told["done"]
    assert {step["state"] for step in told["steps"]} == {"right"}


@pytest.mark.namespaces
def test_the_first_lesson_is_played(tmp_path: Path, lab_environment: dict[str, str]) -> None:
    play("cells", tmp_path, lab_environment)


@pytest.mark.namespaces
@pytest.mark.slow
@pytest.mark.parametrize("name", [lesson.name for lesson in LESSONS[1:]])
def test_a_lesson_is_played(name: str, tmp_path: Path, lab_environment: dict[str, str]) -> None:
    play(name, tmp_path, lab_environment)
