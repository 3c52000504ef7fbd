"""State that a lab records about itself: its name, its processes, and the files that it made.

`state.json` in the lab's directory outlives a lab that is killed. The next command can tell a dead lab from a living
lab and remove what the dead lab left: the recorded paths and no other file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import NotReady
from atmdepot.paths import read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

STATE_FILE = "state.json"
TABLE_FILE = "table.toml"
SUPERVISOR_LOG = "lab.supervisor.log"
"""No node's log has this name, because node names have no dot."""

Phase = Literal["starting", "up", "stopping"]
Pid = Annotated[int, Meta(ge=0, le=2**22)]
"""The number of a process; the kernel gives none beyond 2^22."""


class NodeState(Struct):
    """A node: its kind, and the supervisor's descriptor that holds its network namespace."""

    kind: str
    netns_fd: int


class ProcessState(Struct):
    """A process that the lab started: its node, its role (the node's kind, or `web`), and its number on the host."""

    node: str
    role: str
    pid: Pid
    log: str
    ready: bool = False
    exit_code: int | None = None


class State(Struct):
    """Content of `state.json`; `pid` is 0 until the supervisor has come up."""

    name: str
    table: str
    pid: Pid = 0
    start_time: int = 0
    phase: Phase = "starting"
    userns: bool = False
    web_server: str | None = None
    nodes: dict[str, NodeState] = field(default_factory=dict)
    processes: dict[str, ProcessState] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raise ValueError for files that are not in the lab's directory: they would be removed."""
        for name in self.made:
            if not name or name.startswith("/") or "\0" in name or not {"..", "**"}.isdisjoint(name.split("/")):
                raise ValueError(f"{name!r:.99} is no file in the lab's directory")

    @property
    def alive(self) -> bool:
        """True while the supervisor that wrote this state runs."""
        return self.pid != 0 and start_time_of(self.pid) == self.start_time


def read(directory: Path) -> State | None:
    """State of the lab in a directory; None when there is no readable state (`fault` tells why)."""
    try:
        return _read(directory)
    except (OSError, *NOT_DECODED):
        return None


def fault(directory: Path) -> str:
    """Say why the state in a directory cannot be read, and the way out; empty where it can, or is not there."""
    try:
        _read(directory)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, *NOT_DECODED) as error:
        why = error.strerror if isinstance(error, OSError) else f"this is no state of a lab: {error}"
        return (f"{directory / STATE_FILE}: {why}; end the processes of this lab that still run, then remove the "
                f"directory {directory}")
    return ""


def _read(directory: Path) -> State:
    return msgspec.json.decode(read_file(directory / STATE_FILE), type=State)


def write(directory: Path, state: State) -> None:
    """Write the state; a reader sees the old or the new state, never a part."""
    new = directory / f"{STATE_FILE}.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
    new.replace(directory / STATE_FILE)


def start_time_of(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when it is dead.

    The kernel reuses a PID, but not a PID with the same start time.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name of the process may hold spaces and brackets: the fields count from its last bracket.
    fields = text[text.rindex(")") + 2:].split()
    # A zombie (Z) or dead (X) process has a PID, but runs no more.
    return None if fields[0] in "ZX" else int(fields[19])


def remove_recorded(directory: Path, state: State) -> None:
    """Remove the files that the lab made; a directory with another file in it stays.

    A recorded path may have `*` in it, where a process of the lab chose the rest of its name.
    """
    made = [path for name in state.made for path in (directory.glob(name) if "*" in name else [directory / name])]
    # The deepest paths first, so that directories are empty when their turn comes.
    for path in sorted(made, key=lambda path: len(path.parts), reverse=True):
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
    """Last lines of a log that are not blank; no lines when it cannot be read."""
    try:
        with log.open("rb") as file:
            # Only the tail: a log may be long.
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-count:]


def not_ready(waiting: Sequence[str], directory: Path) -> NotReady:
    """The error of processes that are not ready in time, with the last line of each one's log."""
    told = (f"{name} ({(last_lines(directory / f'{name}.log') or ['it said nothing'])[-1]})" for name in waiting)
    return NotReady(f"not ready in time: {', '.join(told)}; `--timeout SECONDS` gives it longer, and `atmdepot lab "
                    "logs` has more")
