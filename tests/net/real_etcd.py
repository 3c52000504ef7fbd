"""A real etcd of one member, on ports of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from atmdepot.config.units import TcpAddress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PATIENCE = 30.0


def arguments(directory: str, client: str, peer: str) -> list[str]:
    """The command of a member: where clients reach it, and where members would."""
    return ["etcd", "--data-dir", f"{directory}/etcd", "--name", "one", "--listen-client-urls", f"http://{client}",
            "--advertise-client-urls", f"http://{client}", "--listen-peer-urls", f"http://{peer}",
            "--initial-advertise-peer-urls", f"http://{peer}", "--initial-cluster", f"one=http://{peer}",
            "--log-level", "error"]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody has now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class RealEtcd:
    """The server; it may be ended and started again."""

    def __init__(self, directory: str) -> None:
        client, peer = free_ports(2)
        self.address = TcpAddress.parse(f"127.0.0.1:{client}")
        self._command = arguments(directory, str(self.address), f"127.0.0.1:{peer}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                socket.create_connection((self.address.host, self.address.port), 1).close()
            except OSError:
                assert time.monotonic() < end
                assert self._process.poll() is None
                time.sleep(0.02)
            else:
                return

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it without a word."""
        if self._process is not None:
            os.kill(self._process.pid, number)
            self._process.wait(_PATIENCE)
            self._process = None


@contextmanager
def real_etcd() -> Iterator[RealEtcd]:
    """An etcd that runs."""
    with tempfile.TemporaryDirectory(prefix="atmdepot-test-") as directory:
        made = RealEtcd(directory)
        made.start()
        try:
            yield made
        finally:
            made.end()


def is_there(programs: Sequence[str] = ("etcd",)) -> bool:
    """True when the programs are installed."""
    return all(shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") for program in programs)
