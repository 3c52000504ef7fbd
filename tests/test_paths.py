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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    """A daemon that runs as a user of its own must read its VC table after root has saved it."""
    file = tmp_path / "network.toml"
    file.write_text("old")
    os.chown(file, 65534, 12345)
    file.chmod(0o640)
    write_whole(file, "new")
    status = file.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65534, 12345, 0o640)


def test_nobody_else_reads_what_is_written_beside_a_file_of_ones_own(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "network.toml"
    file.write_text("old")
    file.chmod(0o600)
    seen: list[int] = []
    chmod = os.fchmod
    monkeypatch.setattr(os, "fchmod", lambda made, mode: (seen.append(os.fstat(made).st_mode & 0o777),
                                                          chmod(made, mode)))
    write_whole(file, "key")
    assert seen == [0o600]


def test_a_link_in_the_place_of_the_file_beside_leads_nowhere(tmp_path: Path) -> None:
    file, other = tmp_path / "report", tmp_path / "other"
    other.write_text("mine")
    (tmp_path / f".report.{os.getpid()}").symlink_to(other)
    write_whole(file, "text")
    assert (file.read_text(), other.read_text()) == ("text", "mine")
