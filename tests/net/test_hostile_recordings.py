"""Recordings for `replay` that are damaged: a result, or a clear failure that names the file; nothing hangs."""

from __future__ import annotations

import io
import os
import struct
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from atmdepot.cli import cli
from atmdepot.commands.demo import replay_file
from atmdepot.config.reading import load
from atmdepot.errors import AtmdepotError
from atmdepot.net import replay
from tests.effort import examples
from tests.hostile_octets import damaged, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDING = Path("testbed/http.pcap").read_bytes()
HEAD, RECORDS = RECORDING[:24], RECORDING[24:]


def records(octets: bytes = RECORDS) -> Iterator[bytes]:
    while octets:
        length = 16 + int.from_bytes(octets[8:12], "little")
        yield octets[:length]
        octets = octets[length:]


ALL = list(records())
FIRST = ALL[:9]


def record(packet: bytes, whole: int | None = None) -> bytes:
    return struct.pack("<IIII", 0, 0, len(packet), len(packet) if whole is None else whole) + packet


def other_packet(record_: bytes, octets: bytes) -> bytes:
    """A record with other octets behind its first ones."""
    return record(record_[16:16 + 34] + octets)


pieces = st.one_of(st.sampled_from(FIRST), damaged(FIRST),
                   st.builds(other_packet, st.sampled_from(FIRST), st.binary(max_size=60)),
                   st.binary(max_size=60).map(record))
captures = st.lists(pieces, max_size=5).map(lambda found: HEAD + FIRST[0] + b"".join(found))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("r") / "hostile.pcap"


@pytest.fixture(scope="module", autouse=True)
def little_patience() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "_TIME_FOR_A_PACKET", 0.02)
        yield


@given(octets=captures | damaged([HEAD + b"".join(FIRST[:3])]) | st.binary(max_size=60))
@example(octets=HEAD)
@example(octets=b"")
@example(octets=HEAD + FIRST[0] * 3)
@example(octets=HEAD + record(b"\x45" + bytes(70_000)))
@example(octets=HEAD + FIRST[0] + record(b"\0" * 12 + b"\x08\0" + b"\x45\0\xff\xff" + bytes(65_531)))
@examples(30, deadline=None)
def test_a_damaged_recording_is_replayed_or_refused(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    out = Console(file=io.StringIO(), width=200)
    told = refusal(partial(replay_file, out, path, load("direct"), None))
    assert not told or told.startswith(str(path)), told


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_told_with_what_it_is(path: Path, make: Any) -> None:
    path.unlink(missing_ok=True)
    make(path)
    done = CliRunner().invoke(cli, ["replay", str(path)])
    assert done.exit_code
    assert str(path) in done.output + str(done.exception)
    assert isinstance(done.exception, SystemExit | AtmdepotError)
    (path.rmdir if path.is_dir() else path.unlink)()
