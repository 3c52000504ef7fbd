"""A client of etcd's JSON gateway (`/v3/`, from etcd 3.4): HTTP by h11 over trio, a connection for each request.

It knows what an owner's key takes: a lease, a key that goes with the lease, and a watch. In this JSON, numbers of 64
bits are texts, and keys and values are base64.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import h11
import msgspec
import trio

from atmdepot.decoding import NOT_DECODED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from atmdepot.config.units import TcpAddress

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds for an answer; then the next server is asked."""
_MOST = 1_000_000
_READ = 65536
_OK = 200
_LONGEST_TTL = 10**9


class EtcdGone(Exception):
    """No server of etcd has answered as it should; says why, for each."""


class _Refused(Exception):
    """A server has answered with an error, or without end."""


class Holder(NamedTuple):
    """The value of a key, the revision of its last change, and its lease."""

    value: str
    revision: int
    lease: int


class EtcdClient:
    """Asks the servers of a cluster, the one that answered last first."""

    def __init__(self, servers: Sequence[TcpAddress]) -> None:
        self._servers = list(servers)

    @property
    def server(self) -> TcpAddress:
        """The server that is asked first."""
        return self._servers[0]

    async def grant(self, ttl: int) -> tuple[int, int]:
        """A new lease: its number, and its time to live (s), which may be longer than asked for."""
        return await self._ask("lease/grant", {"TTL": ttl}, lambda told: (
            _number(told, "ID"), _within(_number(told, "TTL"), 1, _LONGEST_TTL)))

    async def keep_alive(self, lease: int) -> bool:
        """Begin a lease's time anew; False when it has ended."""
        return await self._ask("lease/keepalive", {"ID": str(lease)}, lambda told: _number(told["result"], "TTL") > 0)

    async def holder(self, key: str) -> Holder | None:
        """The value of a key; None when it is not there."""
        return await self._ask("kv/range", {"key": _text(key)}, _holder)

    async def put(self, key: str, value: str, lease: int, over: int | None = 0) -> int | None:
        """Set a key if its last change has the revision `over`, 0 for an absent key, None for any.

        Returns the revision of the change, None when the key was not as expected.
        """
        condition = [] if over is None else [{"key": _text(key), "target": "MOD", "mod_revision": str(over)}]
        change = {"request_put": {"key": _text(key), "value": _text(value), "lease": str(lease)}}
        return await self._ask("kv/txn", {"compare": condition, "success": [change]}, lambda told: (
            _number(told["header"], "revision") if told.get("succeeded") else None))

    async def delete(self, key: str, revision: int) -> None:
        """Delete a key, unless it has changed since a revision."""
        await self._ask("kv/txn", {
            "compare": [{"key": _text(key), "target": "MOD", "mod_revision": str(revision)}],
            "success": [{"request_delete_range": {"key": _text(key)}}]}, bool)

    async def watch(self, key: str) -> AsyncIterator[None]:
        """Yield at each change of a key. Raises EtcdGone when the watch ends."""
        request = _request(self.server, "watch", {"create_request": {"key": _text(key)}})
        async with _connected(self.server) as stream:
            await stream.send_all(request)
            async for _ in _pieces(stream):
                yield

    def revocation(self, lease: int) -> bytes:
        """The octets that revoke a lease when they are sent to `server`."""
        return _request(self.server, "lease/revoke", {"ID": str(lease)})

    async def _ask(self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        """Ask the servers in turn until one gives an answer that can be read. Raises EtcdGone when none does."""
        failures = []
        for server in list(self._servers):
            try:
                with trio.fail_after(PATIENCE):
                    octets = await _answer(server, path, body)
                return read(msgspec.json.decode(octets, type=dict[str, Any]))
            except trio.TooSlowError:
                failures.append(f"{server}: no answer within {PATIENCE:g} s")
            except EtcdGone as error:
                failures.append(str(error))
            except (ValueError, TypeError, LookupError, AttributeError, *NOT_DECODED) as error:
                failures.append(f"{server}: no answer of etcd's: {error!r:.200}")
            self._servers.append(self._servers.pop(0))
        raise EtcdGone("; ".join(failures))


async def _answer(server: TcpAddress, path: str, body: dict[str, Any]) -> bytes:
    async with _connected(server) as stream:
        await stream.send_all(_request(server, path, body))
        return b"".join([piece async for piece in _pieces(stream)])


@asynccontextmanager
async def _connected(server: TcpAddress) -> AsyncIterator[trio.SocketStream]:
    try:
        stream = await trio.open_tcp_stream(server.host, server.port)
        async with stream:
            yield stream
    except OSError as error:
        reason = error.__cause__ if isinstance(error.__cause__, OSError) else error  # of the last address tried
        raise EtcdGone(f"{server}: {reason.strerror or reason}") from None
    except (trio.BrokenResourceError, h11.RemoteProtocolError, _Refused) as error:
        raise EtcdGone(f"{server}: {error}") from None


async def _pieces(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    """The pieces of an answer's body as they come. Raises _Refused for an answer that is no success, or too long."""
    http = h11.Connection(h11.CLIENT)
    # The request has been sent as octets; h11 is told the same.
    http.send(h11.Request(method="POST", target="/", headers=[("Host", "etcd")]))
    http.send(h11.EndOfMessage())
    left, refused = _MOST, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some(_READ))
        elif isinstance(event, h11.Response):
            refused = b"%d " % event.status_code if event.status_code != _OK else b""
        elif isinstance(event, h11.Data):
            left -= len(event.data)
            if refused or left < 0:
                raise _Refused(f"refused: {(refused + bytes(event.data)[:200]).decode(errors='replace')}"
                               if refused else "an answer without end")
            yield bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return
        else:
            raise _Refused("the connection was closed")


def _request(server: TcpAddress, path: str, body: dict[str, Any]) -> bytes:
    octets = msgspec.json.encode(body)
    head = f"POST /v3/{path} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {len(octets)}\r\nConnection: close\r\n\r\n"
    return head.encode() + octets


def _text(text: str) -> str:
    return b64encode(text.encode()).decode()


def _number(told: dict[str, Any], name: str) -> int:
    """A number of 64 bits, 0 where there is none; raise ValueError."""
    return _within(int(told.get(name, 0)), -1 << 63, (1 << 63) - 1)


def _within(value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise ValueError(f"{value} is not {least} to {most}")
    return value


def _holder(told: dict[str, Any]) -> Holder | None:
    if not told.get("kvs"):
        return None
    found = told["kvs"][0]
    return Holder(b64decode(found.get("value", ""), validate=True).decode(), _number(found, "mod_revision"),
                  _number(found, "lease"))
