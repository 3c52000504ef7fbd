"""The manual page: every command is in it, and roff has nothing to say against it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from atmdepot.cli import cli

SCRIPT = Path(__file__).parents[1] / "docs" / "make_man.py"


@pytest.fixture(scope="module")
def page() -> str:
    return subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=True).stdout


def test_every_command_and_its_options_are_in_it(page: str) -> None:
    sections = re.findall(r"^\.SS (.*)$", page, re.MULTILINE)
    assert set(cli.list_commands(click.Context(cli))) <= set(sections)
    assert {"lab up", "vc add", "bench peers"} <= set(sections)
    assert "\\fB\\-\\-log\\-format" in page


def test_no_text_is_taken_for_a_request(page: str) -> None:
    known = {".TH", ".SH", ".SS", ".TP", ".PP", ".B"}
    assert {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))} <= known


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_roff_takes_it(page: str) -> None:
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page, capture_output=True, text=True,
                          check=False)
    about_width = ("cannot adjust line", "can't break")
    wrong = [line for line in done.stderr.splitlines() if not any(words in line for words in about_width)]
    assert (done.returncode, wrong) == (0, [])
