"""The control socket: a unix socket on which a daemon answers questions, a JSON object a line each way.

Requests: `{"show": SUBJECT, "limit": N}` is answered by one line, `{"rows": [...]}`; `{"cells": N, "seconds": S}` by a
line for each train that passes, until N cells or S seconds are over or the client shuts its side down, and a last one,
`{"missed": M}`. `{"drain": SERVER}`, `{"undrain": SERVER}` and `{"reload": true}` are answered by `{"done": TEXT}`.
What cannot be answered gets `{"error": TEXT}`.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

import msgspec
import trio

from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.net.tap import Tap
from atmdepot.net.views import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atmdepot.net.administration import Administration
    from atmdepot.net.pump import Pump

_MAX_REQUEST = 4096
_MAX_CELLS = 1_000_000
_MAX_SECONDS = 3600
_REQUEST_TIME = 10
_POLL = 0.02
_ANSWER_TIME = 10.0


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What may be asked."""

    show: str = ""
    drain: str = ""
    undrain: str = ""
    reload: bool = False
    limit: int = 1000
    cells: int = 0
    seconds: float = 10.0


class ControlServer:
    """Answers for one pump."""

    def __init__(self, path: Path, pump: Pump, administration: Administration | None = None) -> None:
        """Take the socket's path; raise EnvironmentLacks when a live daemon has it or it cannot be made."""
        self.path = path
        self._pump = pump
        self._administration = administration
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.is_socket() and is_answered(path):
                raise EnvironmentLacks(f"{path}: a daemon for this node is already running here")
            path.unlink(missing_ok=True)
            self._bound = _listen(path)
        except OSError as error:
            raise EnvironmentLacks(f"{path}: the control socket cannot be made: {error.strerror or error}; set "
                                   "ATMDEPOT_RUN_DIR to a directory of yours") from None

    async def run(self) -> None:
        """Answer until cancelled."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._bound))
        await trio.serve_listeners(self._answer, [listener])

    def close(self) -> None:
        """Remove the socket."""
        self._bound.close()
        self.path.unlink(missing_ok=True)

    async def _answer(self, stream: trio.SocketStream) -> None:
        """One connection: a request, its answer. A client that misbehaves or goes away ends its own connection only."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            async with stream:
                with trio.fail_after(_REQUEST_TIME):
                    line = await _read_line(stream)
                try:
                    request = _parse(line)
                except (msgspec.MsgspecError, ValueError) as error:
                    await _write_line(stream, {"error": f"no request: {error}"})
                    return
                await self._handle(stream, request)

    async def _handle(self, stream: trio.SocketStream, request: Request) -> None:
        if request.show:
            view = SUBJECTS.get(request.show)
            if view is None:
                await _write_line(stream, {"error": f"cannot show {request.show!r}: {', '.join(SUBJECTS)}"})
            else:
                await _write_line(stream, {"rows": view(self._pump, min(max(0, request.limit), sys.maxsize))})
        elif request.drain or request.undrain or request.reload:
            await _write_line(stream, self._administer(request))
        elif 0 < request.cells <= _MAX_CELLS and 0 < request.seconds <= _MAX_SECONDS:
            await self._stream_cells(stream, request)
        else:
            await _write_line(stream, {"error": f"ask to show one of {', '.join(SUBJECTS)}, or for 1 to {_MAX_CELLS} "
                                                f"cells in at most {_MAX_SECONDS} seconds"})

    def _administer(self, request: Request) -> dict[str, Any]:
        if self._administration is None:
            return {"error": "this process takes no changes"}
        try:
            if request.reload:
                return {"done": self._administration.reload()}
            return {"done": self._administration.drain(request.drain or request.undrain, bool(request.drain))}
        except AtmdepotError as error:
            return {"error": str(error)}

    async def _stream_cells(self, stream: trio.SocketStream, request: Request) -> None:
        if self._pump.tap is not None:
            await _write_line(stream, {"error": "another client is already watching the cells"})
            return
        tap = self._pump.tap = Tap(request.cells)
        try:
            await _write_line(stream, {"watching": request.cells})
            with trio.move_on_after(request.seconds):
                while tap.room and not _is_shut_down(stream):
                    await trio.sleep(_POLL)
                    await _send_trains(stream, tap)
            await _send_trains(stream, tap)
            await _write_line(stream, {"missed": tap.missed})
        finally:
            self._pump.tap = None


def _is_shut_down(stream: trio.SocketStream) -> bool:
    """Whether the client has shut its side down, or is gone: it has seen enough."""
    poll = select.poll()
    poll.register(stream.socket.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


async def _send_trains(stream: trio.SocketStream, tap: Tap) -> None:
    while tap.trains:
        seen = tap.trains.popleft()
        await _write_line(stream, {**seen._asdict(), "cells": base64.b64encode(seen.cells).decode()})


async def _read_line(stream: trio.SocketStream) -> bytes:
    line = b""
    while b"\n" not in line and len(line) <= _MAX_REQUEST:
        received = await stream.receive_some(_MAX_REQUEST)
        if not received:
            break
        line += received
    return line.partition(b"\n")[0]


def _parse(line: bytes) -> Request:
    if len(line) > _MAX_REQUEST:
        raise ValueError(f"it is longer than {_MAX_REQUEST} octets")
    return msgspec.json.decode(line, type=Request)


async def _write_line(stream: trio.SocketStream, value: dict[str, Any]) -> None:
    await stream.send_all(msgspec.json.encode(value) + b"\n")


def _listen(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(str(path))
        path.chmod(0o600)
        made.listen(16)
    except OSError:
        made.close()
        raise
    return made


def is_answered(path: Path) -> bool:
    """Whether a daemon listens on a control socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def ask(path: Path, request: dict[str, Any], timeout: float = _ANSWER_TIME) -> Iterator[dict[str, Any]]:
    """Ask a daemon; the lines of its answer, one by one. Blocking: for commands, not for daemons.

    Raises AtmdepotError when the daemon cannot be reached or refuses.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        yield from _ask(connection, path, request)


def _ask(connection: socket.socket, path: Path, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        connection.connect(str(path))
        connection.sendall(msgspec.json.encode(request) + b"\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                answer = msgspec.json.decode(line, type=dict[str, Any])
                if "error" in answer:
                    raise AtmdepotError(f"{path.stem}: {answer['error']}")
                yield answer
    except OSError as error:
        raise _no_answer(path, error.strerror or error) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _no_answer(path, f"that is not what a daemon says: {error}") from None


def _no_answer(path: Path, reason: object) -> AtmdepotError:
    return AtmdepotError(f"{path.stem}: the daemon does not answer on {path}: {reason}")


def show(path: Path, subject: str, limit: int = 1000) -> list[dict[str, Any]]:
    """The rows of a subject from one daemon."""
    for answer in ask(path, {"show": subject, "limit": limit}):
        rows: list[dict[str, Any]] = answer.get("rows", [])
        return rows
    raise _no_answer(path, "it hung up")


class CellWatch:
    """Watches the cells on a daemon's links from `__enter__` on, in a thread, until it is stopped.

    `trains` has a dictionary for each train: time (ns), link, direction, cells. Raises AtmdepotError when the daemon
    cannot be reached or refuses.
    """

    def __init__(self, path: Path, cells: int, seconds: float) -> None:
        self.trains: list[dict[str, Any]] = []
        self.missed = 0
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(seconds + _ANSWER_TIME)
        self._answer = _ask(self._connection, path, {"cells": cells, "seconds": seconds})
        self._thread = threading.Thread(target=self._collect, daemon=True)

    def __enter__(self) -> Self:
        """Begin; the daemon watches when this returns."""
        try:
            if next(self._answer, None) is None:
                raise AtmdepotError("the daemon hung up before it showed any cells")
        except AtmdepotError:
            self._connection.close()
            raise
        self._thread.start()
        return self

    def _collect(self) -> None:
        with contextlib.suppress(AtmdepotError):
            for line in self._answer:
                if "cells" in line:
                    self.trains.append(line | {"cells": base64.b64decode(line["cells"])})
                self.missed = line.get("missed", 0)

    def __exit__(self, *_: object) -> None:
        """End, with all that passed until now."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        self._thread.join()
        self._connection.close()
