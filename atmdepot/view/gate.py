"""The gate of the page: it says who may ask. Any page of the web can make a browser send a request, so each is checked.

A request must name this page in `Host` (a foreign name that leads here, DNS rebinding, is refused), must come from this
page where the browser says from where (`Origin`), and must have the token, which the address that is printed at the
start puts in a cookie.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

_MISDIRECTED, _FORBIDDEN, _NOT_ALLOWED = 421, 403, 405
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"}


class Gate:
    """Lets a request through to the application, or refuses it.

    Args:
        app: the application.
        token: what the cookie must have.
        hosts: the `HOST:PORT`s by which the page may be called.

    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str]) -> None:
        self._app = app
        self._token = token
        self._hosts = frozenset(host.lower() for host in hosts)
        # Cookies are shared by all ports of a host, so the name tells which page it is of.
        ports = {host.rpartition(":")[2] for host in self._hosts}
        self.cookie = f"atmdepot-{min(port for port in ports if port.isdecimal())}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; other protocols than HTTP are not spoken."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        if refused is not None:
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | RedirectResponse | None:
        if len(headers.getlist("host")) != 1 or headers["host"].lower() not in self._hosts:
            return _refused(_MISDIRECTED, "this page has another name: take the address that `atmdepot view` printed, "
                                          "or start it with --host NAME")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in {f"http://{host}" for host in self._hosts}:
            return _refused(_FORBIDDEN, "the request comes from another page")
        if scope["method"] not in ("GET", "HEAD") and origin is None:
            return _refused(_FORBIDDEN, "the request does not say which page it comes from")
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if scope["path"] == "/" and given and scope["method"] == "GET" and self._is_token(given[-1]):
            entered = RedirectResponse("/", 303, SECURITY)  # so that the token does not stay in the address
            entered.set_cookie(self.cookie, self._token, httponly=True, samesite="strict")
            return entered
        known = _cookie(headers, self.cookie)
        if not self._is_token(known):
            state = "wrong" if known or given else "missing"
            return _refused(_FORBIDDEN, f"the token is {state}: open the address that `atmdepot view` printed last")
        return None

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode("utf-8", "surrogateescape"), self._token.encode())


def _cookie(headers: Headers, name: str) -> str:
    """The value of a cookie; empty without one."""
    for part in headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _refused(status: int, text: str) -> PlainTextResponse:
    return PlainTextResponse(f"{text}\n", status, SECURITY)
