"""A machine with Docker: the daemon that runs here, or our own daemon in namespaces that end with it.

Our own daemon has its own network, mount and PID namespaces. Its bridges, routes and rules are not this machine's, and
when its first process ends, the kernel ends all its processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = {"dockerd": "docker.io", "docker": "docker.io", "docker-compose": "docker-compose",
            "debootstrap": "debootstrap", "unshare": "util-linux", "nsenter": "util-linux"}
_PATIENCE = 60.0
_CGROUPS = Path("/sys/fs/cgroup")


class Machine:
    """A host of containers: the environment of docker's commands, and the way to the host's network."""

    def __init__(self, environment: dict[str, str], host: int | None) -> None:
        """Take `host`, the PID of a process in the Docker daemon's network namespace; None is our own namespace."""
        self.environment = environment
        self._host = host

    @property
    def is_ours(self) -> bool:
        """True when the tests started the daemon, which then reaches no registry."""
        return self._host is not None

    def docker(self, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
        return run(["docker", *words], self.environment, **options)

    def on_host(self, *words: str) -> list[str]:
        """Command that runs words on the containers' host."""
        return list(words) if self._host is None else ["nsenter", "-t", str(self._host), "-n", *words]


def run(command: list[str], environment: dict[str, str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; a failure shows its output."""
    check = options.pop("check", True)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False,
                          **{"timeout": 300, **options})  # type: ignore[call-overload]
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


def is_running() -> bool:
    """True when a Docker daemon answers here, as the client finds it (DOCKER_HOST)."""
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def lacks() -> str:
    """Reason for which no testbed can run here; empty when a testbed can run."""
    if is_running() and (shutil.which("docker-compose") or _has_plugin()):
        return ""
    if os.geteuid() != 0:
        return "no Docker daemon runs here, and only root can start one"
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    missing = [f"{name} (package {package})" for name, package in PROGRAMS.items() if not shutil.which(name, path=path)]
    return f"not installed: {', '.join(missing)}" if missing else ""


def _has_plugin() -> bool:
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


@contextmanager
def machine() -> Iterator[Machine]:
    """Yield the Docker that runs here, or start our own and stop it at the end."""
    if is_running():
        yield Machine(dict(os.environ), None)
        return
    with tempfile.TemporaryDirectory(prefix="atmdepot-docker-") as directory:
        yield from _own_machine(Path(directory))


def _own_machine(directory: Path) -> Iterator[Machine]:
    socket = directory / "docker.sock"
    # A cgroup of its own: its remains can be told from other cgroups.
    cgroup = directory.name
    daemon = ["dockerd", "--data-root", str(directory / "data"), "--exec-root", str(directory / "exec"), "--pidfile",
              str(directory / "pid"), "--cgroup-parent", f"/{cgroup}", "-H", f"unix://{socket}", "--group", "root"]
    with (directory / "log").open("wb") as log:
        outer = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
             'ip link set lo up; exec "$@"', "sh", *daemon], stdout=log, stderr=log, start_new_session=True)
    environment = os.environ | {"DOCKER_HOST": f"unix://{socket}"}
    try:
        deadline = time.monotonic() + _PATIENCE
        while subprocess.run(["docker", "info"], env=environment, capture_output=True, check=False).returncode:
            assert outer.poll() is None, (directory / "log").read_text()[-4000:]
            assert time.monotonic() < deadline, (directory / "log").read_text()[-4000:]
            time.sleep(0.1)
        inner = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0])
        yield Machine(environment, inner)
        os.kill(inner, signal.SIGTERM)
        outer.wait(_PATIENCE)
    finally:
        outer.kill()  # and with it, by --kill-child, all processes in its namespaces
        outer.wait()
        _remove_cgroups(cgroup)


def _remove_cgroups(name: str) -> None:
    """Remove the directories that the daemon made under our name in cgroups, version 1 or 2."""
    for top in {_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")}:
        if top.is_dir():
            for path in sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True):
                path.rmdir()
            top.rmdir()
