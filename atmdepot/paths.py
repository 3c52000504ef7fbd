"""The directories in which running networks keep their sockets, logs and state, and the places of programs."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

CONTAINER_NOTE = ".without-daemon"
"""Suffix of the file that a container without a daemon leaves beside where its socket would be; it names the depot."""
BENCH_PREFIX = "bench-"
"""The names of the benchmarks' networks begin with this; a command takes none of them that was not named."""


GREATEST_FILE = 16 * 2**20
"""Octets of a file that is read whole, unless the reader says another bound."""
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


def read_file(path: Path, what: str = "", most: int = GREATEST_FILE) -> bytes:
    """Read a regular file of at most `most` octets.

    Raises:
        OSError: it cannot be read, or is another kind: opening a FIFO or a device may block or have side effects. The
            text says what it is; where the user named the file, `what` is what it should be, and the text says what
            to do.

    """
    # Checked twice: before opening, and again on the open file, since the path may lead to another file by then.
    _require_file(path.stat(), what, most)
    # O_NONBLOCK: if the path has become a FIFO meanwhile, opening it must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _require_file(os.fstat(descriptor), what, most)
        octets = file.read(most + 1)
    if len(octets) > most:  # it grew since, or it is a file of /proc, whose size reads as 0
        raise _too_great(what, most)
    return octets


def is_file(path: Path) -> bool:
    """True where a regular file is at a path of any text; False for a path that is too long or forbidden."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _require_file(found: os.stat_result, what: str, most: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory" + (": name a file in it" if what else ""))
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a device")
        way = f": write the {what.rpartition(' ')[2]} to a file" if what else ""
        raise OSError(errno.EINVAL, f"it is {kind}{way}")
    if found.st_size > most:
        raise _too_great(what, most)


def _too_great(what: str, most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is greater than {most >> 20} MiB, and no {what or 'file of ours'}")


_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


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
