"""Notes beside the control sockets, for errors that say what to do: a lab's state, a container's note."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from atmdepot import paths
from atmdepot.decoding import NOT_DECODED
from atmdepot.paths import CONTAINER_NOTE, read_file, run_dir

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Process(Struct):
    pid: int = 0
    exit_code: int | None = None


class _Lab(Struct):
    """The part of a lab's `state.json` that is of use here."""

    name: str = ""
    table: str = ""
    pid: int = 0
    phase: str = ""
    processes: dict[str, _Process] = field(default_factory=dict)


def begin(table: str, others: Sequence[str] = ()) -> str:
    """Advice where no daemon runs: wait for a lab, start its daemons, ask another container, or bring up a lab.

    `others` are nodes that do run here, but cannot answer: the depot of their network is on another machine.
    """
    if container := in_container():
        return container
    labs = [lab for path in sorted(run_dir().glob("*/state.json")) if (lab := _lab_in(path.parent)) is not None]
    if lab := next((lab for lab in labs if lab.phase == "starting"), None):
        return f"the lab {lab.name} is starting: try again when `atmdepot lab up` says that it is up"
    if lab := next((lab for lab in labs if lab.phase == "up"), None):
        return f"`atmdepot lab status` shows what has ended in the lab {lab.name}, and what starts it again"
    if others:
        return f"only {', '.join(others)}; ask on the depot's machine, as by `docker compose exec depot atmdepot ...`"
    return f"begin with `atmdepot lab up {table}`"


def closed() -> str:
    """What to do where a directory of daemons is closed to this user, as a service's is; empty where none is."""
    places = [run_dir()] if os.geteuid() == 0 else [run_dir(), paths.SYSTEM_RUN_DIR]
    for place in places:
        if place.is_dir() and not all(os.access(path, os.R_OK | os.X_OK) for path in (place, *_directories(place))):
            return f"no daemon that this user may ask runs here: {place} is {_owner(place)}'s; ask as root, as by sudo"
    return ""


def _directories(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.is_dir()]
    except OSError:
        return []


def _owner(place: Path) -> str:
    try:
        return place.owner()
    except KeyError:  # the user has no name here
        return f"user {place.stat().st_uid}"


def in_container() -> str:
    """The way on in a container of the testbed that has no daemon; empty elsewhere."""
    note = next(iter(sorted(run_dir().glob(f"*/*{CONTAINER_NOTE}"))), None)
    if note is None:
        return ""
    node, depot = note.name.removesuffix(CONTAINER_NOTE), _text(note) or "depot"
    return (f"this container is {node}, a node without a daemon; ask the depot's, as in "
            f"`docker compose exec {depot} atmdepot show servers`")


def end_of(socket: Path) -> str:
    """The end of a daemon that belongs to a lab, or that it is stopped, and what makes it go on; else empty."""
    lab = _lab_in(socket.parent)
    process = lab.processes.get(socket.stem) if lab is not None else None
    if process is None:
        return ""
    if process.exit_code is not None:
        return f"it has ended with exit code {process.exit_code}; `atmdepot lab start {socket.stem}` starts it again"
    if process.pid and is_stopped(process.pid):
        return f"it is stopped (SIGSTOP); `atmdepot lab kill {socket.stem} --signal CONT` lets it go on"
    return ""


def is_stopped(pid: int) -> bool:
    """True while a process is stopped, by SIGSTOP or at its terminal."""
    # The name of the process may hold spaces and brackets: the state stands behind its last bracket.
    return _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].lstrip().startswith("T")


def given_table(table: Path) -> Path:
    """The file that the user gave, of which a lab's table is a copy; else the table itself."""
    lab = _lab_in(table.parent) if table.name == "table.toml" else None
    return Path(lab.table) if lab is not None and lab.table else table


def _lab_in(directory: Path) -> _Lab | None:
    """The lab of a directory while its supervisor runs; a launch that has no supervisor yet counts, too."""
    try:
        lab = msgspec.json.decode(read_file(directory / "state.json"), type=_Lab)
    except (OSError, *NOT_DECODED):
        return None
    return lab if lab.pid == 0 or Path(f"/proc/{lab.pid}").exists() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
