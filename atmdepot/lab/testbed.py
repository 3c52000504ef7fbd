"""Lab for use in Python code: `with Lab.up("direct") as lab: lab.run("client", ["curl", ...])`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from atmdepot import build
from atmdepot.lab.running import RunningLab

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class Lab(RunningLab):
    """A network in namespaces, which can be brought up."""

    @classmethod
    def up(cls, table: str | Path, *, wait: bool = True, timeout: float = 30.0, userns: bool = False,
           web: bool = True, client_mtu: int | None = None, command: Sequence[str] | None = None,
           within: Sequence[str] = (), progress: Callable[[str], None] | None = None) -> Self:
        """Bring a VC table's lab up, or find it already up.

        Args:
            table: The file, or the name of a table that ships with atmdepot.
            wait: Return only when a page has come from every VIP; else when every process is READY.
            timeout: Seconds until the lab must be ready; after that it is taken down, and NotReady is raised.
            userns: Use a user namespace even as root. Ordinary users always get one.
            web: Run a web server on each edge node.
            client_mtu: The MTU between client and depot in octets (1500).
            command: Program to run with `depot TABLE` and `edge TABLE --node NAME` in place of atmdepot itself.
            within: Words before the supervisor's command, of a program that becomes the command that follows.
            progress: Called with each line of progress.
        """
        # Only here: a launch takes many modules, and most commands only ask a lab that runs.
        from atmdepot.lab.launch import Options, bring_up
        from atmdepot.lab.plan import CLIENT_MTU

        options = Options(wait=wait, timeout=timeout, userns=userns or os.geteuid() != 0, web=web,
                          client_mtu=client_mtu or CLIENT_MTU,
                          command=tuple(command or build.python("-m", "atmdepot")), within=tuple(within))
        return cls(bring_up(table, options, progress or (lambda _: None)))
