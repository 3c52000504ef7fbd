"""The columns of `show`: said once, and the same in commands, daemons and the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from atmdepot.net import views
from atmdepot.net.kinds import KINDS
from atmdepot.net.subjects import SUBJECTS, row_of

COMMANDS = Path(__file__).parents[2] / "docs" / "commands.md"


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_documentation_lists_the_columns_in_their_order(subject: str) -> None:
    found = re.search(rf"^\| {subject} \| (.*) \|$", COMMANDS.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    assert found[1].split(", ") == row_of(subject).columns()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_columns_that_fit_a_terminal_are_columns(subject: str) -> None:
    row = row_of(subject)
    assert row.narrow
    assert set(row.narrow) <= set(row.columns())


def test_every_subject_has_a_view_and_every_view_a_subject() -> None:
    assert list(views.SUBJECTS) == list(SUBJECTS)
    assert {subject for kind in KINDS.values() for subject in kind.agent.views} <= SUBJECTS.keys()
