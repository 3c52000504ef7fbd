"""`bench switch`: a short run with real daemons, and its table."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from atmdepot.bench import switch
from atmdepot.bench.switch import DYNAMIPS, LOADS, Row, measure, note, table

if TYPE_CHECKING:
    import pytest


def test_a_short_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(switch, "LOADS", LOADS[:1])
    [row] = measure(0.3)
    assert (row.switch, row.load, row.cells > 0, row.seconds > 0) == ("atmdepot", LOADS[0].name, True, True)
    assert row.speed == row.cells / row.seconds


def test_the_comparison_is_with_dynamips_where_it_is_there() -> None:
    ours = Row("atmdepot", LOADS[-1].name, 630_000, 1.0)
    assert list(table([ours]).columns[-1].cells) == ["10.0"]
    assert f"{DYNAMIPS:,}" in note([ours])
    theirs = Row("Dynamips", LOADS[-1].name, 315_000, 1.0)
    assert list(table([ours, theirs]).columns[-1].cells) == ["2.0", "1.0"]
    assert f"{DYNAMIPS:,}" not in note([ours, theirs])
