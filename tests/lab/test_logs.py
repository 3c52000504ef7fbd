"""The logs of a lab: the last lines of each, and those to come, also of a log that begins anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.lab import logs
from atmdepot.lab.logs import read

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_last_lines_of_each_log_with_its_name(tmp_path: Path) -> None:
    for name in ("depot", "web1"):
        (tmp_path / name).write_text("".join(f"{name} {number}\n" for number in range(9)))
    found = list(read({name: tmp_path / name for name in ("depot", "web1")}, 2, lambda: False))
    assert found == ["depot  depot 7", "depot  depot 8", "web1   web1 7", "web1   web1 8"]


def test_a_long_log_a_missing_one_and_one_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("".join(f"{number}\n" for number in range(50_000)))
    (tmp_path / "odd").write_bytes(b"\xff\n" + 200_000 * b"x" + b"\nend\n")
    assert list(read({"l": tmp_path / "long"}, 1, lambda: False)) == ["l  49999"]
    assert list(read({"m": tmp_path / "missing"}, 9, lambda: False)) == []
    assert list(read({"o": tmp_path / "odd"}, 1, lambda: False)) == ["o  end"]


def test_lines_that_come_later_are_told_when_they_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    log.write_text("old\nhal")
    steps = iter(["f\nnew\n", None, "anew\n"])

    def sleep(_: float) -> None:
        text = next(steps)
        if text is None:
            log.write_text("")
        else:
            with log.open("a") as file:
                file.write(text)

    monkeypatch.setattr(logs.time, "sleep", sleep)
    found = read({"n": log}, 9, lambda: True)
    assert [next(found) for _ in range(4)] == ["n  old", "n  half", "n  new", "n  anew"]
