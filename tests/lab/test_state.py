from __future__ import annotations

import os
from typing import TYPE_CHECKING

from atmdepot.lab import state as states

if TYPE_CHECKING:
    from pathlib import Path


def test_a_written_state_is_read_back(tmp_path: Path) -> None:
    state = states.State(name="x", table="/x.toml", nodes={"depot": states.NodeState(kind="depot", netns_fd=7)},
                         processes={"depot": states.ProcessState("depot", "depot", 12, "/log", exit_code=-9)})
    states.write(tmp_path, state)
    assert states.read(tmp_path) == state


def test_no_state_and_a_broken_state_are_none(tmp_path: Path) -> None:
    assert states.read(tmp_path) is None
    (tmp_path / states.STATE_FILE).write_text("{")
    assert states.read(tmp_path) is None


def test_a_pid_that_another_process_got_is_not_alive() -> None:
    start = states.start_time_of(os.getpid())
    assert start is not None
    assert states.State(name="x", table="", pid=os.getpid(), start_time=start).alive
    assert not states.State(name="x", table="", pid=os.getpid(), start_time=start - 1).alive
    assert not states.State(name="x", table="").alive


def test_only_recorded_files_are_removed(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    (lab / "web1" / "www").mkdir(parents=True)
    for name in ("table.toml", "web1/www/1KB", "web1/capture.pcap"):
        (lab / name).write_text("")
    state = states.State(name="lab", table="", made=["table.toml", "web1", "web1/www", "web1/www/1KB", "never-made"])
    states.write(lab, state)
    states.remove_recorded(lab, state)
    assert [str(path.relative_to(lab)) for path in sorted(lab.rglob("*"))] == ["web1", "web1/capture.pcap"]
    (lab / "web1" / "capture.pcap").unlink()
    states.remove_recorded(lab, state)
    assert not lab.exists()


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert states.last_lines(log) == []
    log.write_text("x" * 10000 + "\none\n\ntwo\n\n")
    assert states.last_lines(log) == ["two"]
    assert states.last_lines(log, 2) == ["one", "two"]
