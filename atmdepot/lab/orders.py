"""Orders to the supervisor of a running lab: a line of JSON each way, on a unix socket in the lab's directory.

They make nodes and wires fail, and restore them. The supervisor carries them out, since it has the lab's processes as
its children and holds the namespaces.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError, EnvironmentLacks

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET = "lab.supervisor.orders"
"""Not `.sock`, which are the control sockets of daemons; node names have no dot."""

_LONGEST = 65536
_READ_TIME = 1.0
_ANSWER_TIME = 20.0


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """An order: `names` are nodes, or wires for `cut` and `restore`, or for `kill` and `start` processes.

    kill: send a signal to a process; a daemon has its node's name. remove: end a node's processes and its namespace, as
    a host that loses its power. start: start what has ended there, in a new namespace where it was removed. cut,
    restore: wires (restore without names: all).
    """

    do: Literal["kill", "remove", "start", "cut", "restore"]
    names: tuple[str, ...]
    signal: Annotated[int, Meta(ge=1, le=64)] = 9
    silent: bool = False


class Answer(Struct, frozen=True):
    """The answer to an order; `error` is empty when it was carried out."""

    error: str = ""


class OrderServer:
    """The supervisor's side."""

    def __init__(self, directory: Path, obey: Callable[[Order], None]) -> None:
        """Listen in the lab's directory; raise EnvironmentLacks when the socket cannot be made."""
        self._obey = obey
        path = directory / SOCKET
        try:
            path.unlink(missing_ok=True)
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.bind(str(path))
            self.socket.listen()
        except OSError as error:
            raise EnvironmentLacks(f"{path}: the socket cannot be made: {error.strerror or error}; set "
                                   "ATMDEPOT_RUN_DIR to a directory of yours") from None

    def answer(self) -> None:
        """Take a connection, carry out its order and answer.

        A client that sends no whole line in time, or hangs up, is let go: meanwhile the lab's processes wait.
        """
        with suppress(OSError):  # no descriptor may be free
            connection, _ = self.socket.accept()
            with connection:
                try:
                    told = self._carry_out(_line(connection, _READ_TIME))
                except TimeoutError:
                    told = Answer(f"no order came within {_READ_TIME:.0f} s: it is a line of JSON")
                connection.settimeout(_READ_TIME)
                connection.sendall(msgspec.json.encode(told) + b"\n")

    def _carry_out(self, line: bytes) -> Answer:
        try:
            self._obey(msgspec.json.decode(line, type=Order))
        except (AtmdepotError, OSError, ValueError, *NOT_DECODED) as error:
            return Answer(str(error) or type(error).__name__)
        except Exception as error:  # the lab would end with its supervisor
            traceback.print_exc()
            return Answer(f"the order may be carried out in part, by an error in atmdepot itself: "
                          f"{type(error).__name__}: {error}")
        return Answer()


def give(directory: Path, order: Order) -> None:
    """Give an order to the supervisor of the lab in a directory; return when it is carried out.

    Raise AtmdepotError with what the supervisor objects, or when it does not answer.
    """
    path = directory / SOCKET
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_TIME)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(order) + b"\n")
            answer = msgspec.json.decode(_line(connection, _ANSWER_TIME), type=Answer)
    except (OSError, *NOT_DECODED) as error:
        raise AtmdepotError(f"the lab {directory.name} takes no orders: {error}; `atmdepot lab status` tells if it "
                            "runs") from None
    if answer.error:
        raise AtmdepotError(answer.error)


def processes_in(netns: int) -> list[int]:
    """The processes in a network namespace, by their numbers in the innermost PID namespace."""
    space, found = os.fstat(netns), []
    for entry in Path("/proc").iterdir():
        # A process may end while it is looked at.
        with suppress(OSError, StopIteration):
            if entry.name.isdigit() and os.path.samestat((entry / "ns" / "net").stat(), space):
                found.append(_inner_pid(entry))
    return found


def children_of(host_pid: int) -> list[int]:
    """The children of a process, which the host numbers so; their numbers are as for `processes_in`."""
    found = []
    with suppress(OSError):
        text = Path(f"/proc/{host_pid}/task/{host_pid}/children").read_text(encoding="ascii")
        for child in text.split():
            with suppress(OSError, StopIteration):
                found.append(_inner_pid(Path("/proc", child)))
    return found


def _inner_pid(entry: Path) -> int:
    lines = (entry / "status").read_text(encoding="ascii", errors="replace").splitlines()
    return int(next(line for line in lines if line.startswith("NSpid:")).split()[-1])


def _line(connection: socket.socket, within: float) -> bytes:
    """A line, or what came before the far end ended; raise TimeoutError when it takes longer than `within` (s)."""
    text, until = b"", time.monotonic() + within
    while not text.endswith(b"\n") and len(text) < _LONGEST:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        part = connection.recv(_LONGEST)
        if not part:
            break
        text += part
    return text
