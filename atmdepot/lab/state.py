"""What a lab writes down about itself: who it is, what it runs, and which files it made.

`state.json` in the lab's directory outlives the lab when that is killed, so that the next command can tell
a dead lab from a living one and remove what it left: the recorded paths and nothing else.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

STATE_FILE = "state.json"
TABLE_FILE = "table.toml"
SUPERVISOR_LOG = "lab.supervisor.log"
"""No name of a node has a dot, so no node's log is called so."""

Role = Literal["depot", "edge", "web"]
Phase = Literal["starting", "up", "stopping"]


class NodeState(Struct):
    """A node: its kind, and the number of the descriptor by which the supervisor holds its namespace."""

    kind: str
    netns_fd: int


class ProcessState(Struct):
    """A process that the lab started; `pid` as the host sees it."""

    node: str
    role: Role
    pid: int
    log: str
    ready: bool = False
    exit_code: int | None = None


class State(Struct):
    """The whole of `state.json`; `pid` 0 is a lab whose supervisor has not yet come up."""

    name: str
    table: str
    pid: int = 0
    start_time: int = 0
    phase: Phase = "starting"
    userns: bool = False
    web_server: str | None = None
    nodes: dict[str, NodeState] = field(default_factory=dict)
    processes: dict[str, ProcessState] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        return self.pid != 0 and start_time_of(self.pid) == self.start_time


def read(directory: Path) -> State | None:
    """The state of the lab in a directory; None when there is none."""
    try:
        return msgspec.json.decode((directory / STATE_FILE).read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return None


def write(directory: Path, state: State) -> None:
    """Write the state; a reader sees the old one or the new one, never half of it."""
    new = directory / f"{STATE_FILE}.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
    new.replace(directory / STATE_FILE)


def start_time_of(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is dead.

    A PID is used again one day, a PID with its start time is not.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2:].split()
    return None if fields[0] in "ZX" else int(fields[19])


def remove_recorded(directory: Path, state: State) -> None:
    """Remove what the lab made; a directory with somebody else's file in it stays."""
    # The deepest first, so that directories are empty when their turn comes.
    for name in sorted(state.made, key=lambda name: len(Path(name).parts), reverse=True):
        path = directory / name
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
    for name in (f"{STATE_FILE}.new", STATE_FILE):
        (directory / name).unlink(missing_ok=True)
    with suppress(OSError):
        directory.rmdir()


def last_lines(log: Path, count: int = 1) -> list[str]:
    """The last lines of a log that say something."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-count:]
