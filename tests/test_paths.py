"""A file that is written in one step."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from atmdepot.paths import write_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_is_open_keeps_its_text_and_the_next_reader_gets_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    write_whole(file, "old")
    file.chmod(0o640)
    with file.open() as reader:
        write_whole(file, "new")
        assert reader.read() == "old"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o640)
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    write_whole(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(file, "half\ud800")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to("of-today")
    write_whole(link, "text")
    assert (link.is_symlink(), (tmp_path / "of-today").read_text()) == (True, "text")


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "text")
    reader.join()
    assert (heard, pipe.is_fifo()) == (["text"], True)
