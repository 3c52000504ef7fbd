"""A scenario's ground in containers, by Docker Compose."""

from __future__ import annotations

import json
import os
import signal as signals
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from atmdepot.errors import AtmdepotError, EnvironmentLacks, NotReady
from atmdepot.lab.lans import CLIENT
from atmdepot.lab.web import web_servers
from atmdepot.paths import find_program
from atmdepot.scenario.containers import FOLDER, TABLE, compose_file, table_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from atmdepot.config.model import Network
    from atmdepot.scenario.model import Scenario

_COMMON = Path(__file__).parents[2] / "testbed" / "node.yaml"
_PREFIX = "atmdepot-"
_PATIENCE = 120.0
_POLL = 0.2
_NOBODY = "02:00:00:00:00:01"
"""A MAC address that no container has."""

_DAEMON = "set -- $(cat /proc/1/task/1/children); kill -{signal} $1"
_WEB = ("p=$(cat /run/atmdepot/{network}/{node}/nginx.pid) && "
        "kill -{signal} $p $([ {signal} = TERM ] || cat /proc/$p/task/$p/children)")


class InCompose:
    """A project of Compose that is up."""

    pause = 0.5

    def __init__(self, network: Network, compose: list[str]) -> None:
        self._network = network
        self._containers = {name: _run([*compose, "ps", "-q", name]).strip() for name in (CLIENT, *network.nodes)}
        self._webs = {web.node for web in web_servers(network)}
        self._tellers: dict[str, subprocess.Popen[bytes]] = {}
        self._cuts: dict[str, list[tuple[str, str]]] = {}

    def close(self) -> None:
        """End what looks at the containers."""
        for teller in self._tellers.values():
            teller.kill()
            teller.communicate()

    def popen(self, node: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in a node's container."""
        return subprocess.Popen(["docker", "exec", "-i", self._containers[node], *argv], start_new_session=True,
                                **options)

    def python(self, *words: str) -> list[str]:
        """The command line of Python in a container."""
        return ["python3", *words]

    def command(self, node: str, *words: str) -> None:
        """Run a command of atmdepot's in a node's container."""
        self._in(node, "atmdepot", *words)

    def signal(self, node: str, what: str, number: int) -> None:
        """Send a signal; a killed daemon takes its container along."""
        if what == "daemon" and number == signals.SIGKILL:
            _run(["docker", "kill", self._containers[node]])
            return
        name = signals.Signals(number).name.removeprefix("SIG")
        script = _DAEMON if what == "daemon" else _WEB
        self._in(node, "sh", "-c", script.format(signal=name, network=self._network.name, node=node))

    def stop(self, node: str, what: str) -> None:
        """End a container, or its web server, in good order."""
        if what == "daemon":
            _run(["docker", "stop", self._containers[node]])
        else:
            self.signal(node, what, signals.SIGTERM)
            _wait(lambda: not self.runs(node), f"the end of the web server of {node}")

    def remove(self, node: str) -> None:
        """Kill a node's container: its network goes with it."""
        _run(["docker", "kill", self._containers[node]])

    def runs(self, node: str) -> bool:
        """True while the container runs, and its web server."""
        script = f"kill -0 $(cat /run/atmdepot/{self._network.name}/{node}/nginx.pid)" if node in self._webs else "true"
        return subprocess.run(["docker", "exec", self._containers[node], "sh", "-c", script], capture_output=True,
                              check=False).returncode == 0

    def has_daemon(self, node: str) -> bool:
        """True for each node: a container is its daemon."""
        return node in self._network.nodes

    def start(self, node: str) -> None:
        """Start a container that has ended, or one anew whose web server has; return when it is healthy."""
        container = self._containers[node]
        running = _run(["docker", "inspect", "-f", "{{.State.Running}}", container]).strip() == "true"
        _run(["docker", "restart" if running else "start", container])
        _wait(lambda: _run(["docker", "inspect", "-f", "{{.State.Health.Status}}", container]).strip() == "healthy",
              f"{node}, started again,")

    def cut(self, wires: list[str], *, silent: bool) -> None:
        """Cut links, always in silence: both ends send to a MAC address that nobody has."""
        for wire in wires:
            if wire not in self._network.links:
                raise AtmdepotError(f"{wire} is no link, and in containers only links can be cut")
            (one, here), (other, there) = ((node, str(end.host)) for node, end in
                                           self._network.links[wire].ends.items())
            self._cuts[wire] = [(one, there), (other, here)]
            for node, far in self._cuts[wire]:
                self._in(node, "ip", "neigh", "replace", far, "lladdr", _NOBODY, "nud", "permanent", "dev", "eth0")

    def restore(self, wires: list[str]) -> None:
        """Restore links that were cut."""
        for wire in wires:
            for node, far in self._cuts.pop(wire, []):
                self._in(node, "ip", "neigh", "del", far, "dev", "eth0")

    def rows(self, node: str, subject: str) -> list[dict[str, Any]]:
        """The rows that a daemon shows, by a process in its container; none while that is gone."""
        teller = self._tellers.get(node)
        if teller is None or teller.poll() is not None:
            teller = self._tellers[node] = self.popen(
                node, self.python("-m", "atmdepot.scenario.teller", self._network.name, node), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert teller.stdin is not None
        assert teller.stdout is not None
        try:
            teller.stdin.write(f"{subject}\n".encode())
            teller.stdin.flush()
            rows: list[dict[str, Any]] = json.loads(teller.stdout.readline() or b"[]")
        except (OSError, ValueError):  # the last line of one that is killed may end anywhere
            return []
        return rows

    def _in(self, node: str, *argv: str) -> str:
        return _run(["docker", "exec", self._containers[node], *argv])


@contextmanager
def in_compose(scenario: Scenario, progress: Callable[[str], None]) -> Iterator[InCompose]:
    """A project of the scenario's table, which is taken down at the end.

    Raises:
        NotReady: it was not ready in time.
        EnvironmentLacks: Docker, Compose or the checkout is missing.
        AtmdepotError: Docker says that something is wrong.

    """
    program = _compose()
    if not _COMMON.exists():
        raise EnvironmentLacks("testbed/node.yaml is not there: containers are made from a checkout")
    with TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / TABLE).write_text(table_text(scenario.text, scenario.network), encoding="utf-8")
        file = folder / "compose.yaml"
        file.write_text(json.dumps(compose_file(scenario.network, folder, _COMMON)), encoding="utf-8")
        # A project of its own: another run of this scenario would change, and take down, the containers of this one.
        compose = [*program, "-f", str(file), "-p", f"atmdepot-{scenario.name.lower()}-{folder.name[len(_PREFIX):]}"]
        progress(f"containers: {', '.join((CLIENT, *scenario.network.nodes))}")
        try:
            _run([*compose, "up", "-d"], timeout=1800)
            ground = InCompose(scenario.network, compose)
            try:
                ground.command(CLIENT, "ready", f"{FOLDER}/{TABLE}", "--timeout", f"{scenario.timeout / 1e9:g}")
            except AtmdepotError as error:
                raise NotReady(str(error)) from None
            progress("the containers are up")
            try:
                yield ground
            finally:
                ground.close()
        finally:
            _run([*compose, "down", "--volumes", "--timeout", "2"])


def _compose() -> list[str]:
    """The command of Compose: Docker's plugin, or the program of version 1."""
    if find_program("docker") is None:
        raise EnvironmentLacks("docker is not installed (Debian and Ubuntu have it in the package docker.io)")
    for program in (["docker", "compose"], ["docker-compose"]):
        if find_program(program[0]) and subprocess.run([*program, "version"], capture_output=True,
                                                       check=False).returncode == 0:
            return program
    raise EnvironmentLacks("Docker Compose is not installed (Debian and Ubuntu: the package docker-compose)")


def _run(argv: list[str], timeout: float = _PATIENCE) -> str:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                              check=False, env=os.environ, start_new_session=True)
    except subprocess.TimeoutExpired:
        raise NotReady(f"{' '.join(argv[:3])} did not end within {timeout:g} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise AtmdepotError(said.removeprefix("atmdepot: "))
    return done.stdout


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise NotReady(f"{what} was not ready in time")
        time.sleep(_POLL)
