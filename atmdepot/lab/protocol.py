"""What the launcher and the supervisor tell each other while a lab comes up: lines of JSON over two pipes.

The launcher writes a Spec, then `keep` when it finds the lab good; end of file before that: take it down.
The supervisor writes Events; end of file means that it has died or was told to keep.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from atmdepot.lab.plan import Plan  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.lab.state import Role, State  # noqa: TC001

KEEP = b"keep\n"


class ProcessSpec(Struct, frozen=True):
    """A process to start: ready when it prints READY, or when its `ready_file` is there."""

    node: str
    role: Role
    argv: tuple[str, ...]
    ready_file: str | None = None


class Spec(Struct, frozen=True):
    """Everything that the supervisor needs to know."""

    directory: str
    run_dir: str
    state: State
    plan: Plan
    processes: dict[str, ProcessSpec]


class Event(Struct, frozen=True):
    """Something that the launcher may want to tell; `text` is a process's name or a message.

    started: the supervisor has written its PID into the state. note: progress. ready, exited: a process.
    failed: the lab cannot come up. kept: the lab stays.
    """

    kind: Literal["started", "note", "ready", "exited", "failed", "kept"]
    text: str
    exit_code: int = 0
