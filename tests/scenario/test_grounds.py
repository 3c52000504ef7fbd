"""Grounds of scenarios where what they ask is slow, or breaks off."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from atmdepot import build
from atmdepot.errors import NotReady
from atmdepot.scenario import in_lab
from atmdepot.scenario.in_compose import InCompose
from atmdepot.scenario.in_lab import InLab


def test_a_command_that_does_not_end_in_a_lab_is_an_error_of_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = SimpleNamespace(name="mine", environment=lambda: None)
    monkeypatch.setattr(in_lab, "_PATIENCE", 0.1)
    monkeypatch.setattr(build, "python", lambda *_: ["sh", "-c", "exec sleep 60"])
    with pytest.raises(NotReady):
        InLab(lab).command("", "drain", "web1")  # type: ignore[arg-type]


def test_a_container_that_is_killed_amid_a_line_shows_no_rows() -> None:
    ground = InCompose.__new__(InCompose)
    ground._tellers = {"depot": subprocess.Popen(["sh", "-c", "read it; printf '[{\"a'"], stdin=subprocess.PIPE,
                                                 stdout=subprocess.PIPE)}
    try:
        assert ground.rows("depot", "links") == []
    finally:
        ground.close()
