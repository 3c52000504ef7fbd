"""Requests to an ASGI application without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import PlainTextResponse

from atmdepot.view.gate import Gate

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

TOKEN = "the-token-of-tests"
HOSTS = ["127.0.0.1:8410", "localhost:8410"]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def gate(app: ASGIApp | None = None) -> Gate:
    return Gate(app or PlainTextResponse("in"), TOKEN, HOSTS)


async def asked(
    app: ASGIApp, path: str, method: str = "GET", *, host: str = HOSTS[0], cookie: str = "", origin: str | None = None,
    body: bytes = b"", more: list[tuple[bytes, bytes]] | None = None,
) -> Answer:
    """Ask an application, and return its whole answer."""
    path, _, query = path.partition("?")
    headers = [(b"host", host.encode("latin-1")), (b"cookie", cookie.encode("latin-1")), *(more or [])]
    headers += [] if origin is None else [(b"origin", origin.encode())]
    said: list[Message] = []
    incoming = iter([{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(incoming)

    async def send(message: Message) -> None:
        said.append(message)

    await app({"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
               "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
               "headers": headers, "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8410)}, receive, send)
    told = {name.decode(): value.decode("latin-1") for name, value in said[0]["headers"]}
    return Answer(said[0]["status"], told, b"".join(message.get("body", b"") for message in said[1:]))
