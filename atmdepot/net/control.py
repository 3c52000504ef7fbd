"""The control socket: a unix socket on which a daemon answers questions, a JSON object a line each way.

Requests: `{"show": SUBJECT, "limit": N}` is answered by a line, `{"rows": [...]}`; with `"count": true` it ends in
`"more": N`, the rows beyond the limit. `{"reload": true}` is answered by `{"done": TEXT}`. `{"trace": {...}}` is
answered by `{"tracing": {...}}`, and then records follow until the client shuts its side down (see `net/stream.py`);
`{"oam": {...}}` by lines as in `net/oam.py`, and `{"impair": {...}}` by the row of the link as it is then (see
`net/impairing.py`); `{"events": {...}}` by lines as in `net/event_stream.py`. The other requests are commands of the
node's kind (see its agent), such as a depot's `drain`. A request without an answer gets `{"error": TEXT}`. A fault of
the daemon's own ends the connection, and is logged; the daemon goes on.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import trio

from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.net.control_client import is_answered
from atmdepot.net.event_stream import EventsRequest, Followers
from atmdepot.net.impairing import ImpairRequest, impair
from atmdepot.net.kinds import agent_of, kinds_with
from atmdepot.net.oam import OamRequest, stream_oam
from atmdepot.net.row_filter import RowFilter  # noqa: TC001 - msgspec reads the annotation
from atmdepot.net.serving import MAX_CONNECTIONS, BoundedServer
from atmdepot.net.slices import Counted, Pace, encoded
from atmdepot.net.stream import TraceRequest, stream_trace
from atmdepot.net.subjects import MOST_COUNTED
from atmdepot.net.views import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from atmdepot.net.administration import Administration
    from atmdepot.net.agents.agent import Command
    from atmdepot.net.agents.rows import Row
    from atmdepot.net.pump import Pump

log = logging.getLogger("atmdepot")

_MAX_REQUEST = 4096
_REQUEST_TIME = 10
_PATIENCE = 30.0
"""The daemon hangs up on a client that reads no part of its answer for this long (s)."""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """A request to a node of any kind."""

    show: str = ""
    reload: bool = False
    dry_run: bool = False
    trace: TraceRequest | None = None
    oam: OamRequest | None = None
    impair: ImpairRequest | None = None
    events: EventsRequest | None = None
    limit: int = 1000
    count: bool = False
    where: RowFilter | None = None


class CommandRequest(NamedTuple):
    """A request for a command of a node's kind."""

    name: str
    command: Command
    request: msgspec.Struct


class ControlServer(BoundedServer):
    """Answers requests about a pump."""

    def __init__(self, path: Path, pump: Pump, administration: Administration | None = None) -> None:
        """Bind the socket's path; raise EnvironmentLacks when a live daemon has it or it cannot be made."""
        self.path = path
        self._pump = pump
        self._agent = agent_of(pump.node)
        self._administration = administration
        self._followers = Followers()
        super().__init__()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.is_socket() and is_answered(path):  # a killed daemon leaves its socket, but does not answer
                raise EnvironmentLacks(f"{path}: a daemon for this node is already running here")
            path.unlink(missing_ok=True)
            self._bound = _listen(path)
        except OSError as error:
            raise EnvironmentLacks(f"{path}: the control socket cannot be made: {error.strerror or error}; set "
                                   "ATMDEPOT_RUN_DIR to a directory of yours") from None

    async def run(self) -> None:
        """Answer until cancelled."""
        await self.serve(self._bound, self._answer)

    def close(self) -> None:
        """Remove the socket."""
        self._bound.close()
        self.path.unlink(missing_ok=True)

    async def _answer(self, stream: trio.SocketStream) -> None:
        """Serve a connection: a request and its answer. A fault ends this connection only."""
        try:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                async with stream:
                    with self.connection() as scope:
                        await self._converse(stream, scope)
        except Exception:  # no client may end the daemon
            log.exception("a client of %s was disconnected", self.path)

    async def _converse(self, stream: trio.SocketStream, scope: trio.CancelScope) -> None:
        with trio.fail_after(_REQUEST_TIME):
            line = await _read_line(stream)
        try:
            request = self._parse(line)
        except AtmdepotError as error:
            await _write_line(stream, {"error": str(error)})
            return
        except (ValueError, *NOT_DECODED) as error:
            await _write_line(stream, {"error": f"no request: {error}"})
            return
        trio.lowlevel.current_task().name = _name_of(request)  # for the watchdog's reports of long turns
        if isinstance(request, CommandRequest):
            with trio.fail_after(_PATIENCE):
                await stream.send_all(self._reply(request))
        elif request.trace is not None:
            self.exempt(scope)  # taps are bounded
            await self._trace(stream, request.trace)
        elif request.events is not None:
            self.exempt(scope)  # streams are bounded
            await self._events(stream, request.events)
        elif request.oam is not None:
            await self._oam(stream, request.oam)
        elif request.reload:
            await _write_line(stream, await self._reload(request.dry_run))
        elif request.impair is not None:
            await _write_line(stream, self._impair(request.impair))
        elif request.show in SUBJECTS:
            await self._show(stream, request)
        else:
            await _write_line(stream, _refusal(request))

    async def _show(self, stream: trio.SocketStream, request: Request) -> None:
        """Send rows in pieces, each before the next is made: a client that reads slowly costs no memory."""
        pace = Pace(self._pump.clock)
        try:
            rows = self._rows(request)
            pieces = encoded(b'{"rows":[', rows, b"]", pace)
            piece: bytes | None = next(pieces)  # before the first send: a fault can still be answered as an error
        except AtmdepotError as error:
            await _write_line(stream, {"error": str(error)})
            return
        except Exception as error:
            await stream.send_all(self._own_fault(error))
            return
        while piece is not None:
            with trio.fail_after(_PATIENCE):
                await stream.send_all(piece)  # of a slice in which no row was wanted: nothing
            await pace.rest()
            piece = next(pieces, None)
        with trio.fail_after(_PATIENCE):
            await stream.send_all(b',"more":%d}\n' % rows.more if isinstance(rows, Counted) else b"}\n")

    def _rows(self, request: Request) -> Iterable[Row | None]:
        """The rows of a subject, at most as many as the limit; None for each that is not wanted."""
        limit = min(max(0, request.limit), sys.maxsize)
        if not request.count:
            return self._up_to(limit, request)
        return Counted(self._up_to(min(limit + MOST_COUNTED, sys.maxsize), request), limit)

    def _up_to(self, limit: int, request: Request) -> Iterable[Row | None]:
        if request.where is None:
            return SUBJECTS[request.show](self._pump, limit)
        return request.where.rows(request.show, self._pump, limit)

    def _parse(self, line: bytes) -> Request | CommandRequest:
        """Read a request; raise ValueError or MsgspecError for none, AtmdepotError for another kind's command."""
        if len(line) > _MAX_REQUEST:
            raise ValueError(f"it is longer than {_MAX_REQUEST} octets")
        for name in msgspec.json.decode(line, type=dict[str, msgspec.Raw]):
            if (command := self._agent.commands.get(name)) is not None:
                return CommandRequest(name, command, msgspec.json.decode(line, type=command.request))
            if kinds := kinds_with(name):
                raise AtmdepotError(f"{name.replace('_', ' ')} is for a {' or '.join(kinds)}: "
                                    f"{self._pump.node.name} is none")
        return msgspec.json.decode(line, type=Request)

    def _reply(self, request: CommandRequest) -> bytes:
        """The line that answers a request for a command, also after a fault."""
        command = request.command
        try:
            if command.changes and self._administration is None:
                raise AtmdepotError("this process takes no changes")
            return _line(command.run(self._agent, request.request, self._pump.clock()))
        except AtmdepotError as error:
            return _line({"error": str(error)})
        except Exception as error:
            return self._own_fault(error)

    def _own_fault(self, error: Exception) -> bytes:
        log.error("a request on %s could not be answered", self.path, exc_info=error)
        return _line({"error": f"an error in atmdepot itself, which its log has: {type(error).__name__}"})

    async def _reload(self, dry_run: bool) -> dict[str, Any]:
        if self._administration is None:
            return {"error": "this process takes no changes"}
        try:
            return {"done": await self._administration.reload_for_client(dry_run=dry_run)}
        except AtmdepotError as error:
            return {"error": str(error)}

    def _impair(self, request: ImpairRequest) -> dict[str, Any]:
        try:
            return {"rows": [impair(self._pump, request)]}
        except AtmdepotError as error:
            return {"error": str(error)}

    async def _oam(self, stream: trio.SocketStream, request: OamRequest) -> None:
        try:
            await stream_oam(stream, self._pump, request)
        except AtmdepotError as error:
            await _write_line(stream, {"error": str(error)})

    async def _events(self, stream: trio.SocketStream, request: EventsRequest) -> None:
        try:
            await self._followers.stream(stream, self._pump, request)
        except AtmdepotError as error:
            await _write_line(stream, {"error": str(error)})

    async def _trace(self, stream: trio.SocketStream, request: TraceRequest) -> None:
        table = None if self._administration is None else self._administration.table
        try:
            await stream_trace(stream, self._pump, request, table)
        except AtmdepotError as error:
            await _write_line(stream, {"error": str(error)})


def _name_of(request: Request | CommandRequest) -> str:
    """The name of the task that answers a request, for the watchdog's reports."""
    if isinstance(request, CommandRequest):
        return request.name
    if request.show in SUBJECTS:
        return f"show {request.show}"
    asked = {"reload": request.reload, "trace": request.trace, "oam": request.oam, "impair": request.impair,
             "events": request.events}
    return next((name for name, value in asked.items() if value), "a request")


def _refusal(request: Request) -> dict[str, Any]:
    if request.show:
        return {"error": f"cannot show {request.show!r}: {', '.join(SUBJECTS)}"}
    return {"error": f"ask to show one of {', '.join(SUBJECTS)}, or for a trace"}


async def _read_line(stream: trio.SocketStream) -> bytes:
    line = b""
    while b"\n" not in line and len(line) <= _MAX_REQUEST:
        received = await stream.receive_some(_MAX_REQUEST)
        if not received:
            break
        line += received
    return line.partition(b"\n")[0]


async def _write_line(stream: trio.SocketStream, value: dict[str, Any]) -> None:
    await stream.send_all(_line(value))


def _line(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _listen(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(str(path))
        path.chmod(0o600)  # only the daemon's user may administer the node
        made.listen(MAX_CONNECTIONS)
    except OSError:
        made.close()
        raise
    return made
