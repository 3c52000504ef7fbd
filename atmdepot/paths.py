"""The directories in which running networks keep their sockets, logs and state, and the places of programs."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

CONTAINER_NOTE = ".without-daemon"
"""Suffix of the file that a container without a daemon leaves beside where its socket would be; it names the depot."""
BENCH_PREFIX = "bench-"
"""The names of the benchmarks' networks begin with this; a command takes none of them that was not named."""


SYSTEM_RUN_DIR = Path("/run/atmdepot")
"""Where root's daemons are, and those of the system's services."""


def run_dir() -> Path:
    """The directory of all running networks: ATMDEPOT_RUN_DIR, else the system's (root) or the user's."""
    if chosen := os.environ.get("ATMDEPOT_RUN_DIR"):
        return Path(chosen)
    if os.geteuid() == 0:
        return SYSTEM_RUN_DIR
    if user := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(user) / "atmdepot"
    return Path(f"/tmp/atmdepot-{os.geteuid()}")  # with the user's id, so that users do not share it


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step, so that nobody finds half of it; what is no file, a pipe say, is written to as it is.

    A file that was there keeps its mode, and its owner as far as this user may give it away. Until then nobody else may
    read what is written: it may have keys.

    Raises:
        OSError: it cannot be written, and is as it was.

    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()  # a link stays a link
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)  # of a process that was killed
    try:
        old = path.stat() if path.exists() else None
        made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if old is None else 0o600)
        with os.fdopen(made, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            if old is not None:
                with suppress(PermissionError):
                    os.fchown(made, old.st_uid, old.st_gid)
                os.fchmod(made, old.st_mode & 0o7777)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def why_no_place(path: Path) -> str:
    """Say why no file can be at a path, and the way out; empty where its directory is there. Raises OSError."""
    directory = path.parent
    if path.is_dir():
        return "it is a directory; give the name of a file in it"
    if directory.is_dir():
        return ""
    there = next(above for above in (directory, *directory.parents) if above.exists())
    if not there.is_dir():
        return f"{there} is no directory; name another file"
    return f"the directory {directory} does not exist; make it, or name another file"


def why_not_written(path: Path, *, in_place: bool = False) -> str:
    """Say why a file cannot be written, and the way out; empty where nothing speaks against it.

    A command asks before its work begins, so that nobody waits for a file that cannot be had. `in_place` is for a file
    that is not written by `write_whole`, which makes another beside it.
    """
    try:
        if why := why_no_place(path):
            return why
        is_there, is_file = path.exists(), path.is_file()
    except OSError as error:
        return f"{error.strerror}; name another file"
    if is_there and not os.access(path, os.W_OK):
        return "it may not be written; name another file"
    if ((is_file and not in_place) or not is_there) and not os.access(path.parent, os.W_OK):
        return f"the directory {path.parent} may not be written; name another file"
    return ""


def find_program(name: str) -> str | None:
    """The path of a program, None if it is not installed; sbin is searched too, which users' PATH often lacks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin")


def control_socket(network: str, node: str) -> Path:
    """The control socket of a node's daemon."""
    return run_dir() / network / f"{node}.sock"
