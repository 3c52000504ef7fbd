"""A compose project on a machine with Docker, driven as a person does: by `docker compose` or `docker-compose`."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.testbed.machine import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.machine import Machine


class Project:
    """A compose file under a project name of the tests' own."""

    def __init__(self, machine: Machine, file: Path, name: str, environment: dict[str, str], *profiles: str) -> None:
        self._machine = machine
        self.environment = machine.environment | environment | {"COMPOSE_PROJECT_NAME": name}
        self.name = name
        # The plugin (version 2) where it is installed, else the program of version 1.29.
        plugin = subprocess.run(["docker", "compose", "version"], env=self.environment, capture_output=True,
                                check=False)
        self.is_plugin = plugin.returncode == 0
        self._command = [*(["docker", "compose"] if self.is_plugin else ["docker-compose"]), "-f", str(file),
                         *(word for profile in profiles for word in ("--profile", profile))]

    def __call__(self, *words: str, **options: Any) -> str:
        """Run a command of compose; return its output."""
        return run([*self._command, *words], self.environment, **options).stdout

    def command(self, service: str, *words: str) -> list[str]:
        """Command line that runs words in a service's container."""
        return [*self._command, "exec", "-T", service, *words]

    def exec(self, service: str, *words: str, **options: Any) -> str:
        return run(self.command(service, *words), self.environment, **options).stdout

    def up(self, *services: str) -> None:
        """Bring services up as the documentation says for this version of compose."""
        if self.is_plugin:
            self("up", "--wait", *services)
            return
        self("up", "-d", *services)

    def down(self) -> None:
        self("down", "--volumes", "--timeout", "2", check=False)

    def containers(self) -> list[dict[str, Any]]:
        """Docker's description of every container of the project, ended containers included."""
        ids = self._machine.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.name}").stdout
        return json.loads(self._machine.docker("inspect", *ids.split()).stdout) if ids else []

    def networks(self) -> list[str]:
        return self._machine.docker("network", "ls", "-q", "--filter",
                                    f"label=com.docker.compose.project={self.name}").stdout.split()

    def health(self, service: str) -> str:
        [found] = [container["State"] for container in self.containers()
                   if container["Config"]["Labels"]["com.docker.compose.service"] == service]
        return str(found["Health"]["Status"]) if found["Running"] else "not running"
