"""The client's side of the control socket (see `net/control.py`): blocking, for commands and tests, not for daemons.

Commands import this module without the daemon's.
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError
from atmdepot.net.subjects import row_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atmdepot.depot.explain import Explanation
    from atmdepot.depot.question import Question

_NO_ANSWER = "the daemon does not answer"
_NOT_SAID = "that is not what a daemon says"
_RESTART = "if it is of another version, start it again"
_ANSWER_TIME = 10.0
_LOOK_AFTER = 1.0
"""Time (s) without an answer after which the lab is asked whether the daemon can answer at all."""
_LONGEST, _LONGEST_ROW, _GREATEST = 2**24, 2**12, 2**31
"""Octets of a line of an answer, of a row in it on average, and of a line with all rows: the memory is bounded."""
_T = TypeVar("_T")


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


def ask_for(path: Path, request: dict[str, Any], kind: type[_T], timeout: float = _ANSWER_TIME) -> _T:
    """Ask a daemon for a single line, as a type that msgspec knows.

    Raises AtmdepotError when the daemon cannot be reached or says anything else, Refused when it refuses.
    """
    return _as(path, next(ask(path, request, timeout)), kind)


def ask_each(path: Path, request: dict[str, Any], kind: type[_T], timeout: float = _ANSWER_TIME) -> Iterator[_T]:
    """Ask a daemon for any number of lines of a type. Raises as `ask_for`."""
    for line in ask(path, request, timeout):
        yield _as(path, line, kind)


class _Done(Struct):
    done: str


def ask_done(path: Path, request: dict[str, Any]) -> str:
    """Have a daemon do something; return its report. Raises as `ask_for`."""
    return _as(path, next(ask(path, request)), _Done).done


class Standing(Struct):
    """A depot's place in its set."""

    role: str
    term: int
    phase: str
    fitness: int
    set_name: str = field(name="set")


def ask_role(path: Path) -> Standing:
    """The role of a depot in its set. Raises as `ask_for`; Refused for another node."""
    return ask_for(path, {"role": True}, Standing)


def _as(path: Path, told: object, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(told, kind)
    except NOT_DECODED as error:
        raise _wrong_answer(path, f"{_NOT_SAID}: {error}; {_RESTART}") from None


def _ask(connection: socket.socket, path: Path, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    longest = min(max(_LONGEST, _LONGEST_ROW * int(request.get("limit", 0))), _GREATEST)
    try:
        connection.connect(str(path))
        connection.sendall(msgspec.json.encode(request) + b"\n")
        has_answered = False
        if not _is_readable(connection, min(_LOOK_AFTER, connection.gettimeout() or _LOOK_AFTER)) and _end_of(path):
            raise _no_answer(path, "timed out")
        with connection.makefile("rb") as lines:
            while line := lines.readline(longest):
                if len(line) == longest:
                    raise _wrong_answer(path, f"{_NOT_SAID}: its line has more than {longest:,} octets; {_RESTART}")
                has_answered = True
                answer = msgspec.json.decode(line, type=dict[str, Any])
                if "error" in answer:
                    raise Refused(f"{path.stem}: {answer['error']}")
                yield answer
        if not has_answered:
            raise _no_answer(path, "it hung up")
    except OSError as error:
        raise _no_answer(path, error.strerror or error) from None
    except NOT_DECODED as error:
        raise _wrong_answer(path, f"{_NOT_SAID}: {error}; {_RESTART}") from None


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
    return _wrong_answer(path, reason)


def _wrong_answer(path: Path, reason: object) -> AtmdepotError:
    """The error for an answer that is none: whatever the lab knows of a daemon's end, one is there."""
    return AtmdepotError(f"{path.stem}: {_NO_ANSWER} on {path}: {reason}")


def show(path: Path, subject: str, limit: int = 1000, where: dict[str, Any] | None = None,
         timeout: float = _ANSWER_TIME) -> list[dict[str, Any]]:
    """The rows of a subject from a daemon; of sessions and VCs those that `where` says.

    They have the columns of the subject.

    Raises AtmdepotError when the daemon cannot be reached or says anything else, Refused when it refuses.
    """
    request = {"show": subject, "limit": limit} | ({} if where is None else {"where": where})
    return ask_rows(path, request, subject, timeout=timeout)


def ask_rows(path: Path, request: dict[str, Any], subject: str, *, timeout: float = _ANSWER_TIME,
             least: int = 0) -> list[dict[str, Any]]:
    """Ask a daemon for rows of a subject, at least so many. Raises as `ask_for`."""
    return _rows(path, next(ask(path, request, timeout)), subject, least)


def _rows(path: Path, answer: dict[str, Any], subject: str, least: int = 0) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _as(path, answer.get("rows"), list[dict[str, Any]])
    _as(path, rows, Annotated[list[row_of(subject)], Meta(min_length=least)])  # type: ignore[misc, arg-type]
    return rows


def show_some(
    path: Path, subject: str, limit: int, where: dict[str, Any] | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """The first rows of a subject as `show` gives them, and how many more there are, up to `subjects.MOST_COUNTED`."""
    request = {"show": subject, "limit": limit, "count": True} | ({} if where is None else {"where": where})
    answer = next(ask(path, request))
    return _rows(path, answer, subject), _as(path, answer.get("more", 0), int)


def ask_explanation(path: Path, question: Question) -> Explanation:
    """A depot's explanation of what it would do with a packet; raise AtmdepotError when the daemon has no answer."""
    from atmdepot.depot.explain import Explanation  # here: most commands do without the depot's modules

    return _as(path, next(ask(path, {"explain": question})).get("explanation"), Explanation)
