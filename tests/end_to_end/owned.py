"""A lab of two depots whose servers do not matter: who has the address, and since when."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from atmdepot.lab import Lab
from atmdepot.net.control_client import ask
from tests.two_depots import two_depots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEPOTS = ("depot1", "depot2")
GATEWAYS = ("10.9.0.1", "fd00:9::1")
PATIENCE = 60.0
ENDS = "172.31.1.1:5501", "172.31.1.2:5501", "172.31.3.1:5503", "172.31.3.2:5503"
GATEWAY = 'gateway = ["10.9.0.1/24", "fd00:9::1/64"]\ninterface = "client"\n'
QUIET = '[probing]\nprobe = "none"\nstatistics = "0s"\n'
HEAR = """
import socket, sys, time
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as port:
    port.bind(("lan", 0))
    print("READY", flush=True)
    while True:
        frame = port.recv(200)
        if frame[28:32] == socket.inet_aton("10.9.0.1"):
            print(time.monotonic_ns(), frame[6:12].hex(":"), flush=True)
"""
"""A client's program: the time and the MAC address of each gratuitous ARP for the gateway."""


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until a condition holds, for so long that only a fault takes longer."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Owned:
    """The lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def role(self, node: str) -> dict[str, Any]:
        """A depot's role as it shows it."""
        return next(ask(Path(self.lab.directory) / f"{node}.sock", {"role": True}))

    def addresses(self, node: str) -> set[str]:
        """The gateways' addresses at a depot."""
        told = self.lab.run(node, ["ip", "-j", "addr", "show", "dev", "client"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout
        return {one["local"] for one in json.loads(told)[0]["addr_info"]} & set(GATEWAYS)

    def owners(self) -> list[str]:
        """The depots that have both addresses; a depot that has one of them alone is wrong."""
        return [node for node in DEPOTS if self.addresses(node) == set(GATEWAYS)]

    def settled(self) -> str:
        """Wait until a single depot has the addresses and is the only active one; return it."""
        def is_settled() -> bool:
            active = [node for node in DEPOTS if self.lab.state.processes[node].exit_code is None
                      and self.role(node)["role"] == "active"]
            return len(active) == 1 and [node for node in DEPOTS if self.addresses(node)] == active == self.owners()

        until(is_settled)
        return self.owners()[0]

    def other(self, node: str) -> str:
        return DEPOTS[1 - DEPOTS.index(node)]

    def processes(self, node: str, word: str) -> list[int]:
        """The processes of a depot's engine, as this host numbers them: a word is in their command lines."""
        found = []
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                with suppress(OSError):
                    line = (place / "cmdline").read_text()
                    if f"{self.lab.directory}/{node}.keepalived-" in line and word in line.split("\0")[:4]:
                        found.append(int(place.name))
        return sorted(found)

    def log(self, node: str) -> str:
        return (Path(self.lab.directory) / f"{node}.log").read_text()

    def atmdepot(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line as a user does."""
        return subprocess.run([sys.executable, "-P", "-m", "atmdepot", *words], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)

    @contextmanager
    def hearing(self) -> Iterator[Callable[[], float]]:
        """Listen to gratuitous ARP: gives a function that waits for the next, and says when it came (s)."""
        ear = self.lab.popen("client", [sys.executable, "-u", "-c", HEAR], stdout=subprocess.PIPE, text=True)
        assert ear.stdout is not None
        lines = ear.stdout
        assert lines.readline() == "READY\n"
        try:
            yield lambda: int(lines.readline().split()[0]) / 1e9
        finally:
            ear.send_signal(signal.SIGKILL)
            ear.wait(PATIENCE)
            lines.close()


@contextmanager
def owned(settings: str) -> Iterator[Owned]:
    """A lab of two depots with these settings of their set."""
    # Not pytest's own directory: a unix socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="atmdepot-test-") as directory:
        table = Path(directory) / "owned.toml"
        table.write_text(two_depots(GATEWAY + settings, QUIET, name="owned", ends=ENDS))
        with patch.dict("os.environ", {"ATMDEPOT_RUN_DIR": directory}), Lab.up(
                table, wait=False, web=False, timeout=PATIENCE) as lab:
            yield Owned(lab)
