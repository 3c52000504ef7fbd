"""The guard's standard input: orders among any lines are carried out, and no line makes it give the address up."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atmdepot.net import guard
from tests.effort import examples

if TYPE_CHECKING:
    from pathlib import Path

MEMORY = 24 << 20
PLAIN = st.binary(max_size=30).map(lambda octets: octets.replace(b"\n", b""))
lines = st.lists(st.one_of(
    PLAIN, PLAIN.map(b"=".__add__), PLAIN.map(b"> ".__add__), st.integers(-254, 300).map(lambda fit: b"= %d" % fit),
    st.sampled_from([b"", b"= " + b"9" * 5000, b"= 1e3", b"= \xd9\xa3", b"> a", b"> a 1", b"> a 99999999999 00",
                     b"> a 1 0", b"> \xff 1 00", b"> a -1 00", b"> a 1 zz", b">", b"=", b"x" * 70_000,
                     b"=" + b"0" * 200_000])),
    max_size=8)


def fitness(line: bytes) -> int | None:
    """The fitness that a line orders; None for another line."""
    try:
        number = int(line[1:][:20]) if line.startswith(b"=") and len(line) < 60_000 else None
    except ValueError:
        return None
    return number if number is not None and abs(number) <= 1_000_000 else None


def bound() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def run(octets: bytes, file: Path) -> subprocess.CompletedProcess[bytes]:
    plan = json.dumps([os.getpid(), 0, [], str(file), [["no-such-interface", "192.0.2.1", 32]]])
    return subprocess.run([sys.executable, "-I", "-S", guard.__file__, plan], input=octets, capture_output=True,
                          check=False, timeout=60, preexec_fn=bound)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("g") / "fitness"


@given(told=lines)
@example(told=[b"= 7", b"> no-such-host.invalid 1 00", b"= x"])
@example(told=[b"> " + b"a" * 300 + b" 1 00", b"> " + b"." * 70 + b" 65535 00"])
@examples(25, deadline=None)
def test_orders_among_any_lines_are_carried_out(file: Path, told: list[bytes]) -> None:
    done = run(b"".join(line + b"\n" for line in told), file)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert len(done.stderr) < 1000
    ordered = [found for line in told if (found := fitness(line)) is not None]
    assert int(file.read_bytes()) == (ordered[-1] if ordered else guard.UNFIT)


def test_a_line_without_end_takes_no_memory(file: Path) -> None:
    done = run(b"= 5\n" + b"x" * 30_000_000 + b"\n= 6\n", file)
    assert (done.returncode, file.read_bytes()) == (0, b"6\n")


def test_an_order_that_is_cut_off_by_its_length_is_none(file: Path) -> None:
    done = run(b"= 5\n> h 1 " + b"00" * 100_000 + b"\n", file)
    assert (done.returncode, file.read_bytes()) == (0, b"5\n")
    assert b"is no order" in done.stderr
