"""The labs of the experiment: one with the depot, one without, each with two servers and a client.

In the lab without a depot its node only routes: one server alone is asked at its own address. All else that stands in
the depot's place in the prior art (`prior_art.py`) is set up there, too.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import msgspec

from atmdepot import build
from atmdepot.bench import machine
from atmdepot.bench.contenders import DEPOT as DEPOT_CONTENDER
from atmdepot.bench.failover.rig import end
from atmdepot.bench.patent.quota import Quota
from atmdepot.bench.patent.small_server import Serving
from atmdepot.bench.patent.tables import DEPOT, SINGLE
from atmdepot.bench.site import PREFIX, STAND_IN, do, page_command
from atmdepot.config.reading import find
from atmdepot.errors import AtmdepotError, NotReady
from atmdepot.lab import Lab
from atmdepot.lab.lans import CLIENT
from atmdepot.lab.plan import plan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from atmdepot.bench.patent.quota import Controller
    from atmdepot.bench.patent.settings import Settings, SmallServer

VIP, LEAST_VIP, PORT = "10.80.0.1", "10.80.0.2", 80
SERVERS = ("web1", "web2")
_LEAST = f"""
[services.least]
vip = ["{LEAST_VIP}"]
ports = [{PORT}]
servers = ["web1", "web2"]
balancing = "least-connections"
"""
"""A second service of the same servers, for what the patent calls balancing by the servers' condition."""

_START = 60.0
_BURST, _QUEUE = "32kb", "1mb"
"""Of a line: what may leave at once, and what may wait. All requests of a test fit in the queue."""


class Rig:
    """A lab of a regime, up within `with`: `system` is `depot`, or `single` for the lab without a depot."""

    def __init__(self, system: str, home: Path, small: Settings | None = None,
                 quotas: Controller | None = None) -> None:
        """Take a directory for files, which must exist; with the settings of small servers it is of regime B."""
        self.system = system
        self._small, self._quotas = small, quotas
        self._name = f"{PREFIX}patent-{'b' if small else 'a'}-{system}"
        self.home = home / self._name
        self._stack = ExitStack()
        self._servers: dict[str, ExitStack] = {}
        self._started: dict[str, subprocess.Popen[Any]] = {}
        self.front: Callable[[str], list[str]] | None = None
        """Makes the command of a program that runs beside each small server, on the same machine."""

        self.change = ""
        self.prepared = False
        """True once what stands in the depot's place in the prior art runs."""

    def __enter__(self) -> Self:
        """Bring the lab, its lines and its servers up, and wait for a page."""
        self.home.mkdir(exist_ok=True)  # it may have been up before
        table = self.home / "table.toml"
        text = re.sub(r"(?m)^name\s*=.*$", f'name = "{self._name}"', find("direct").read_text(), count=1)
        table.write_text(text + _LEAST, encoding="utf-8")
        command = (*machine.daemon_command(DEPOT_CONTENDER), "-m", "atmdepot") if self.system == DEPOT else STAND_IN
        with ExitStack() as stack:
            self.lab = Lab.up(table, wait=False, web=self._small is None, timeout=_START, command=command)
            stack.callback(self.lab.down)
            self.network = self.lab.network
            self.depot = self.network.depot
            if self.system == SINGLE:
                for name in SERVERS:
                    self.do(name, "ip", "route", "add", "default", "via", self._ends(name)[0])
            if self._small is not None:
                self._set_up_small(self._small)
                stack.callback(self.stop_servers)
                for name in SERVERS:
                    self.start_server(name, self._small.server)
            self.wait_for_a_page()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End the servers, then the lab."""
        self._stack.close()

    @property
    def small(self) -> Settings:
        """The settings of the small servers; only in regime B."""
        assert self._small is not None
        return self._small

    @property
    def address(self) -> str:
        """The address that is asked: the service's, or that of a single server."""
        return VIP if self.system == DEPOT else self.server_address(SERVERS[0])

    def server_address(self, name: str) -> str:
        """The address of a server on its wire, at which the lab without a depot reaches it."""
        return self._ends(name)[1]

    def _ends(self, name: str) -> tuple[str, str]:
        ends = self.network.links[self.network.link_between(self.depot, name)].ends
        return str(ends[self.depot].host), str(ends[name].host)

    def do(self, node: str, *argv: str, stdin: str = "") -> None:
        """Run a command in a node; raise AtmdepotError with what it says when it fails."""
        do(self.lab, node, *argv, stdin=stdin)

    def start(self, node: str, name: str, argv: Sequence[str]) -> None:
        """Start a program in a node, until the rig ends; its words go to a log."""
        self._start(self._stack, node, name, argv)

    def _start(self, stack: ExitStack, node: str, name: str, argv: Sequence[str]) -> None:
        with (self.home / f"{name}.log").open("wb") as log:
            # In a session of its own: Ctrl-C is for us, who then end it.
            process = self.lab.popen(node, list(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=True)
        stack.callback(end, process)
        self._started[name] = process

    # Regime B.

    def _set_up_small(self, small: Settings) -> None:
        """The lines' rates, and the TCP of the patent's time."""
        for wire in plan_of(self.network).wires:
            to_client = any(each.node == CLIENT for each in wire.ends)
            rate = small.lines.client_mbit if to_client else small.lines.server_mbit
            for each in wire.ends:
                self.do(each.node, "tc", "qdisc", "add", "dev", each.name, "root", "tbf", "rate", f"{rate:g}mbit",
                        "burst", _BURST, "limit", _QUEUE)
        # Linux sends a SYN again each second at first; TCP doubles the time, and 6.5 has the choice.
        self.do(CLIENT, "sh", "-c", "cd /proc/sys/net/ipv4 && echo \"$0\" >tcp_syn_retries && "
                "{ [ ! -e tcp_syn_linear_timeouts ] || echo 0 >tcp_syn_linear_timeouts; }",
                str(small.client.syn_retries))
        for name in SERVERS:
            self.do(name, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/tcp_syncookies")

    def start_server(self, name: str, server: SmallServer) -> None:
        """Start a small server; raise NotReady with its reason when it does not come up."""
        assert self._quotas is not None
        serving = Serving(name, PORT, server.processes, server.backlog, server.quota * server.work_us,
                          server.quota * server.work_us_per_kb, server.wait_us)
        with ExitStack() as stack:
            quota = stack.enter_context(Quota(self._quotas, f"{self._name}-{name}", server))
            log = self.home / f"{name}.log"
            with log.open("wb") as errors:
                process = self.lab.popen(
                    name, [*quota.enter, *build.python("-m", "atmdepot.bench.patent.small_server",
                                                       msgspec.json.encode(serving).decode())],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
            stack.callback(end, process)
            assert process.stdout is not None
            if not select.select([process.stdout], [], [], _START)[0] or process.stdout.readline() != b"READY\n":
                told = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it did not say why"]
                raise NotReady(f"the server {name} of {self.lab.name} did not start: {told[0]}")
            if self.front is not None:
                self._start(stack, name, f"{name}-front", [*quota.enter, *self.front(name)])
            self._servers[name] = stack.pop_all()

    def stop_server(self, name: str) -> None:
        """End a small server at once, with all its connections."""
        self._servers.pop(name).close()

    def stop_servers(self) -> None:
        """End all small servers."""
        for name in list(self._servers):
            self.stop_server(name)

    def change_servers(self, server: SmallServer) -> None:
        """Start the small servers anew, with other parameters."""
        for name in SERVERS:
            self.stop_server(name)
            self.start_server(name, server)
        self.wait_for_a_page()

    def serves(self, name: str) -> bool:
        """True while a small server runs."""
        return name in self._servers

    # What is asked of it.

    def wait_for_a_page(self) -> None:
        """Return when the service, or each server, gives a page; raise NotReady when that takes too long."""
        addresses = [self.address] if self.system == DEPOT else [self.server_address(name) for name in SERVERS]
        for address in addresses:
            asked = self.ask(page_command(address, PORT), _START)
            if asked.returncode:
                raise NotReady("; ".join(asked.stderr.splitlines()[-1:]) or f"no page from {address} in time")

    def ask(self, argv: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a command at the client; raise AtmdepotError when it takes longer than some seconds."""
        try:
            return self.lab.run(CLIENT, [machine.find(argv[0]) or argv[0], *argv[1:]], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=seconds, start_new_session=True)
        except subprocess.TimeoutExpired:
            raise AtmdepotError(f"{argv[0]} took longer than {seconds:.0f} s") from None

    def require_alive(self) -> None:
        """Raise AtmdepotError when a process of the lab, or of the prior art, has ended."""
        for name, process in self.lab.state.processes.items():
            if process.exit_code is not None:
                raise AtmdepotError(f"{name} of {self.lab.name} ended with exit code {process.exit_code}")
        for name, started in self._started.items():
            if started.poll() is not None:
                told = (self.home / f"{name}.log").read_text(errors="replace").strip().splitlines()[-1:]
                raise AtmdepotError(f"{name} of {self.lab.name} ended with exit code {started.returncode}: "
                                    f"{told[0] if told else 'it did not say why'}")

    def tidy(self) -> None:
        """Empty the logs of nginx, which grow by a line for each request."""
        for log in self.lab.directory.glob("*/access.log"):
            os.truncate(log, 0)
