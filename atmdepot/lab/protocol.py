"""Messages between the launcher and the supervisor while a lab comes up: lines of JSON over two pipes.

The launcher writes a Spec, then `keep` when the lab is ready; end of file before `keep` means: take the lab down.
The supervisor writes Events; end of file means that it has died or was told to keep the lab.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from atmdepot.lab.plan import Plan  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.lab.state import State  # noqa: TC001

KEEP = b"keep\n"


class ProcessSpec(Struct, frozen=True):
    """A process to start; it is ready when it prints READY, or when its `ready_file` exists."""

    node: str
    role: str
    argv: tuple[str, ...]
    ready_file: str | None = None


class Spec(Struct, frozen=True):
    """Input of the supervisor: directories, state, plan and processes of the lab."""

    directory: str
    run_dir: str
    state: State
    plan: Plan
    processes: dict[str, ProcessSpec]


class Event(Struct, frozen=True):
    """A report of the supervisor; `text` is a message, or the name of a process or of the lab.

    started: the supervisor has written its PID into the state. note: progress. ready, exited: a process.
    failed: the lab cannot come up. kept: the lab stays.
    """

    kind: Literal["started", "note", "ready", "exited", "failed", "kept"]
    text: str
    exit_code: int = 0
