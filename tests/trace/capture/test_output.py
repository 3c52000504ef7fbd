"""Files of captures: made late and whole, one after the other, and what goes wrong on the way."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.errors import AtmdepotError
from atmdepot.trace.capture.output import Output, Rotation

DAY = 1_795_413_912_000_000_000
"""2026-11-23 06:05:12 UTC."""
SECOND = 1_000_000_000


# ── one file ──

def test_a_file_is_made_when_it_is_opened_and_written_when_flushed(tmp_path: Path) -> None:
    path = tmp_path / "cells.pcap"
    output = Output(path)
    assert not path.exists()
    output.open(DAY)
    output.write([b"one", b"two"])
    assert path.read_bytes() == b""
    output.flush()
    assert path.read_bytes() == b"onetwo"
    output.write([b"three"])
    output.close()
    output.close()
    assert path.read_bytes() == b"onetwothree"
    assert (output.name, output.files, output.size) == (str(path), 1, 11)


def test_an_old_file_stays_until_the_new_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "cells.pcap"
    path.write_bytes(b"much that was there before")
    output = Output(path)
    output.close()
    assert path.read_bytes() != b""
    output.open(DAY)
    output.close()
    assert path.read_bytes() == b""


def test_much_is_written_without_a_flush(tmp_path: Path) -> None:
    output = Output(tmp_path / "x")
    output.open(DAY)
    for _ in range(3):
        output.write([bytes(30_000)])
    assert (tmp_path / "x").stat().st_size == 90_000
    output.close()


def test_a_binary_file_is_written_and_left_open() -> None:
    file = io.BytesIO()
    output = Output(file)
    output.open(DAY)
    output.write([b"abc"])
    output.close()
    assert file.getvalue() == b"abc"
    assert not file.closed


# ── refused ──

@pytest.mark.parametrize(("name", "why"), [(".", "it is a directory"), ("none/x", "none does not exist; make it, or")])
def test_places_that_are_no_place(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(AtmdepotError, match=why):
        Output(tmp_path / name)


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(AtmdepotError, match="File name too long"):
        Output(tmp_path / ("x" * 300))
    output = Output(tmp_path / ("x" * 250), Rotation(every=1))
    with pytest.raises(AtmdepotError, match="File name too long"):
        output.open(DAY)
    output = Output("/proc/self/none")
    with pytest.raises(AtmdepotError, match=r"^/proc/self/none: "):
        output.open(DAY)
    output.write([b"x"])
    output.close()


def test_the_capture_being_read_is_not_overwritten(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"precious")
    os.link(path, link)
    with path.open("rb") as file:
        for read in ([path], [str(path)], [file], ["-", tmp_path / "none", path]):
            for target in (path, link):
                with pytest.raises(AtmdepotError, match="the capture that is being read"):
                    Output(target, not_over=read)  # type: ignore[arg-type]
    Output(tmp_path / "c", not_over=[path, Path("/dev/null"), io.BytesIO()])
    Output("/dev/null", not_over=[Path("/dev/null")])


def test_a_terminal_gets_no_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        buffer = io.BytesIO()

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Terminal())
    with pytest.raises(AtmdepotError, match="not for a terminal"):
        Output("-")


def test_a_pipe_has_no_successor() -> None:
    for rotation in (Rotation(max_octets=1), Rotation(every=1)):
        with pytest.raises(AtmdepotError, match="only captures in files"):
            Output(io.BytesIO(), rotation)


# ── what goes wrong ──

def test_a_full_disk_is_told_once() -> None:
    output = Output("/dev/full")
    output.open(DAY)
    output.write([b"abc"])
    with pytest.raises(AtmdepotError, match=r"^/dev/full: No space left on device; it holds all records up to there$"):
        output.flush()
    output.write([bytes(100_000)])
    output.close()


LIMITED = """
import resource, sys
from atmdepot.errors import AtmdepotError
from atmdepot.trace.capture.output import Output
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
output = Output(sys.argv[1])
output.open(0)
output.write([b"first." * 10])
output.flush()
output.write([b"second" * 100, b"third." * 100, b"fourth" * 10000])
try:
    output.close()
except AtmdepotError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "left"), [(59, 0), (60, 60), (700, 660), (1260, 1260), (50_000, 1260)])
def test_a_file_that_may_not_grow_ends_with_a_whole_record(tmp_path: Path, limit: int, left: int) -> None:
    path = tmp_path / "x"
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path), str(limit)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert path.stat().st_size == left
    if limit >= 60:
        assert done.stdout == f"{path}: File too large; it holds all records up to there\n"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit


def test_a_pipe_without_a_reader() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as pipe:
        output = Output(pipe)
        output.open(DAY)
        output.write([b"abc"])
        with pytest.raises(BrokenPipeError):
            output.flush()
        output.write([b"abc"])
        output.close()


class Sips(io.RawIOBase):
    """A file that takes a few octets at a time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, octets: bytes) -> int:  # type: ignore[override]
        self.taken += bytes(octets[:self.size])
        return min(self.size, len(octets))


@given(st.lists(st.binary(max_size=50)), st.integers(1, 60))
def test_files_that_take_a_part_get_the_rest(records: list[bytes], size: int) -> None:
    file = Sips(size)
    target: BinaryIO = file  # type: ignore[assignment]
    output = Output(target)
    output.open(DAY)
    output.write(records)
    output.close()
    assert file.taken == b"".join(records)


# ── many files ──

def test_names_have_a_number_and_the_time_of_the_first_record(tmp_path: Path) -> None:
    output = Output(tmp_path / "cells.pcap", Rotation(max_octets=10))
    for number in range(3):
        output.open(DAY + number * SECOND)
        output.write([b"%d" % number])
    output.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "cells_00001_20261123060512.pcap": b"0", "cells_00002_20261123060513.pcap": b"1",
        "cells_00003_20261123060514.pcap": b"2"}
    assert (output.files, output.name) == (3, str(tmp_path / "cells_00003_20261123060514.pcap"))


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    (tmp_path / "other_00001.pcap").write_bytes(b"mine")
    output = Output(tmp_path / "cells", Rotation(every=SECOND, files=2))
    for number in range(5):
        output.open(DAY + number * SECOND)
        assert len(list(tmp_path.glob("cells_*"))) == min(number + 1, 2)
    output.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cells_00004_20261123060515", "cells_00005_20261123060516", "other_00001.pcap"]


def test_when_a_file_is_over(tmp_path: Path) -> None:
    output = Output(tmp_path / "x", Rotation(max_octets=10, every=5 * SECOND))
    output.open(DAY)
    output.write([b"123456789"])
    assert not output.is_over(DAY + 5 * SECOND - 1)
    assert not output.is_over(DAY - 100 * SECOND)
    assert output.is_over(DAY + 5 * SECOND)
    output.write([b"0"])
    assert output.is_over(DAY)
    output.open(DAY)
    assert not output.is_over(DAY)
    plain = Output(tmp_path / "y")
    plain.open(0)
    plain.write([bytes(100_000)])
    assert not plain.is_over(DAY)
    output.close()
    plain.close()
