"""The instrument against known cases: nothing fails, a server is stopped, a server is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from atmdepot.bench.failover.judging import Reading
from atmdepot.bench.failover.load import Failure, Load

if TYPE_CHECKING:
    from collections.abc import Iterator

STOPPED = 0.3
MODULE = "atmdepot.bench.failover."


class Pair:
    """A server and a client on this machine's loopback."""

    def __init__(self) -> None:
        self.server = self._start("answering", "0")
        port = int(self._line(self.server).split()[1])
        self.client = self._start("asking")
        self._send(Load("127.0.0.1", port, ring=50))
        assert self._line(self.client) == b"READY\n"

    def see(self, failure: Failure) -> Reading:
        self._send(failure)
        return msgspec.json.decode(self._line(self.client), type=Reading)

    def end(self) -> None:
        for process in (self.client, self.server):
            process.kill()
            process.communicate()

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", MODULE + words[0], *words[1:]], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE)

    def _send(self, what: Load | Failure) -> None:
        assert self.client.stdin is not None
        self.client.stdin.write(msgspec.json.encode(what) + b"\n")
        self.client.stdin.flush()

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        return process.stdout.readline()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.end()


def test_it_sees_that_nothing_failed_how_long_a_stop_was_and_that_all_are_lost(pair: Pair) -> None:
    reading = pair.see(Failure(time.monotonic_ns(), after=0.1, patience=8))
    assert not reading.lost
    assert len(reading.went_on) > 200

    at = time.monotonic_ns()
    pair.server.send_signal(signal.SIGSTOP)
    time.sleep(STOPPED)
    pair.server.send_signal(signal.SIGCONT)
    reading = pair.see(Failure(at, after=STOPPED, patience=8))
    assert not reading.lost
    for gap in (reading.kept, reading.new, reading.train, reading.download):
        assert gap is not None
        assert gap >= 1000 * STOPPED - 20

    at = time.monotonic_ns()
    pair.server.kill()
    reading = pair.see(Failure(at, after=0.1, patience=8))
    assert not reading.went_on
    assert set(reading.lost) <= {"closed", "reset"}
    assert (reading.kept, reading.new, reading.train, reading.download) == (None, None, None, None)
