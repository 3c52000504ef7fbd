"""The effort of property tests; none of them has a number of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import settings

from tests.effort import VARIABLE, examples, scaled

HERE = Path(__file__).parent


@pytest.mark.parametrize(("number", "effort", "made"), [
    (400, "1", 400), (400, "0.5", 200), (400, "10", 4000), (5, "10", 50), (5, "0.5", 5), (12, "0.5", 10),
    (100, "0.001", 10)])
def test_effort_scales_the_examples(number: int, effort: str, made: int) -> None:
    assert scaled(number, effort) == made


def test_effort_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "3")
    assert examples(200, deadline=None).max_examples == 600
    monkeypatch.setenv(VARIABLE, "")
    assert examples(200).max_examples == 200
    monkeypatch.delenv(VARIABLE)
    assert scaled(200) == 200


@pytest.mark.parametrize("effort", ["0", "-1", "nan", "inf", "much"])
def test_no_effort(effort: str) -> None:
    with pytest.raises(ValueError, match=r"effort|float"):
        scaled(100, effort)


def test_the_profile_has_an_effort_as_well() -> None:
    """Tests without settings of their own follow the profile."""
    assert settings().max_examples == scaled(100)


def test_all_examples_are_scaled() -> None:
    """`max_examples` stands in tests/effort.py, and in the profile; elsewhere `examples(400)` does."""
    own = {HERE / "effort.py", HERE / "conftest.py", Path(__file__)}
    hard = [f"{path.relative_to(HERE)}:{number}" for path in HERE.rglob("*.py") if path not in own
            for number, line in enumerate(path.read_text().splitlines(), 1) if re.search(r"\bmax_examples\b", line)]
    assert hard == []
