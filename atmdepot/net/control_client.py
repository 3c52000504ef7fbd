"""The client's side of the control socket (see `net/control.py`): blocking, for commands and tests, not for daemons.

Commands import this module without the daemon's.
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Any

import msgspec

from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atmdepot.depot.explain import Explanation
    from atmdepot.depot.question import Question

_NO_ANSWER = "the daemon does not answer"
_ANSWER_TIME = 10.0
MOST_COUNTED = 10_000
"""Rows beyond a limit that a daemon counts at most: to count more would take its time."""
_LOOK_AFTER = 1.0
"""Time (s) without an answer after which the lab is asked whether the daemon can answer at all."""


class Refused(AtmdepotError):
    """The daemon answers, and says that the request is wrong."""


def is_answered(path: Path) -> bool:
    """True when a daemon listens on a control socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)  # connect would block on the full backlog of a daemon that hangs
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def ask(path: Path, request: dict[str, Any], timeout: float = _ANSWER_TIME) -> Iterator[dict[str, Any]]:
    """Ask a daemon; yield the lines of its answer, at least one. Blocking: for commands, not for daemons.

    Raises AtmdepotError when the daemon cannot be reached, Refused when it refuses.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        yield from _ask(connection, path, request)


def _ask(connection: socket.socket, path: Path, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        connection.connect(str(path))
        connection.sendall(msgspec.json.encode(request) + b"\n")
        has_answered = False
        if not _is_readable(connection, min(_LOOK_AFTER, connection.gettimeout() or _LOOK_AFTER)) and _end_of(path):
            raise _no_answer(path, "timed out")
        with connection.makefile("rb") as lines:
            for line in lines:
                has_answered = True
                answer = msgspec.json.decode(line, type=dict[str, Any])
                if "error" in answer:
                    raise Refused(f"{path.stem}: {answer['error']}")
                yield answer
        if not has_answered:
            raise _no_answer(path, "it hung up")
    except OSError as error:
        raise _no_answer(path, error.strerror or error) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _no_answer(path, f"that is not what a daemon says: {error}") from None


def is_refusal(text: str, node: str) -> bool:
    """True for the text of an error by which the daemon of a node has refused; False where it did not answer."""
    return text.startswith(f"{node}: ") and not text.startswith(f"{node}: {_NO_ANSWER}")


def _is_readable(connection: socket.socket, patience: float) -> bool:
    looking = select.poll()  # select() takes no descriptor above 1023
    looking.register(connection, select.POLLIN)
    return bool(looking.poll(patience * 1000))


def _end_of(path: Path) -> str:
    from atmdepot.net.surroundings import end_of  # here: most commands get their answers

    return end_of(path)


def _no_answer(path: Path, reason: object) -> AtmdepotError:
    if ended := _end_of(path):
        return AtmdepotError(f"{path.stem}: {_NO_ANSWER}: {ended}")
    return AtmdepotError(f"{path.stem}: {_NO_ANSWER} on {path}: {reason}")


def show(path: Path, subject: str, limit: int = 1000, where: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The rows of a subject from a daemon; of sessions and VCs those that `where` says."""
    request = {"show": subject, "limit": limit} | ({} if where is None else {"where": where})
    rows: list[dict[str, Any]] = next(ask(path, request)).get("rows", [])
    return rows


def show_some(
    path: Path, subject: str, limit: int, where: dict[str, Any] | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """The first rows of a subject as `show` gives them, and how many more there are, counted up to `MOST_COUNTED`."""
    request = {"show": subject, "limit": limit, "count": True} | ({} if where is None else {"where": where})
    answer = next(ask(path, request))
    rows: list[dict[str, Any]] = answer.get("rows", [])
    return rows, int(answer.get("more", 0))


def ask_explanation(path: Path, question: Question) -> Explanation:
    """A depot's explanation of what it would do with a packet; raise AtmdepotError when the daemon has no answer."""
    from atmdepot.depot.explain import Explanation  # here: most commands do without the depot's modules

    try:
        return msgspec.convert(next(ask(path, {"explain": question})).get("explanation"), Explanation)
    except msgspec.ValidationError as error:
        raise _no_answer(path, f"that is not what a daemon says: {error}") from None
