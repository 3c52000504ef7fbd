"""`atmdepot show`: what is told where daemons have no rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from atmdepot.commands.show import show_command
from atmdepot.net import control_client, running


@pytest.fixture(autouse=True)
def _no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "control_sockets", lambda network, node: [Path("depot.sock")])
    monkeypatch.setattr(control_client, "show", lambda path, subject, limit: [])


@pytest.mark.parametrize(("subject", "key"), [("queues", "`rate`"), ("protection", "`protect`"), ("sessions", None)])
def test_an_empty_table_says_what_would_fill_it(subject: str, key: str | None) -> None:
    done = CliRunner().invoke(show_command, [subject])
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{subject} (0)")
    assert len(done.stderr.splitlines()) == (key is not None)
    assert key is None or key in done.stderr


@pytest.mark.parametrize("subject", ["queues", "protection"])
def test_json_has_the_empty_array_alone(subject: str) -> None:
    done = CliRunner().invoke(show_command, [subject, "-o", "json"])
    assert (done.stdout, done.stderr) == ("[]\n", "")
