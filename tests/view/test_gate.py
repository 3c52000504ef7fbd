"""The gate of the page: names that it does not have, other pages, and strangers are refused."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette")

from starlette.responses import PlainTextResponse

from atmdepot.view.gate import Gate
from tests.effort import examples
from tests.view.asking import TOKEN, asked, gate

OWN = "127.0.0.1:8410"
COOKIE = f"atmdepot-8410={TOKEN}"


async def test_the_address_that_is_printed_lets_in_and_leaves_no_token_in_the_address() -> None:
    answer = await asked(gate(), f"/?token={TOKEN}", host=OWN)
    assert answer.status == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await asked(gate(), "/", host=OWN, cookie=answer.headers["set-cookie"].split(";")[0])).status == 200


@pytest.mark.parametrize("cookie", ["", "atmdepot-8410=", "atmdepot-8410=x", f"atmdepot-8411={TOKEN}", f"x; {TOKEN}",
                                    f"atmdepot-8410={TOKEN}x", "atmdepot-8410=\xff"])
@pytest.mark.parametrize("path", ["/", "/picture", "/stream", "/static/main.js", "/?token=x",
                                  f"/picture?token={TOKEN}"])
async def test_without_the_token_there_is_nothing_to_see(path: str, cookie: str) -> None:
    assert (await asked(gate(), path, host=OWN, cookie=cookie)).status == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8410", "127.0.0.1", "127.0.0.1:80", "",
                                  "localhost:8410.evil", "127.0.0.1:8410, evil"])
async def test_a_foreign_name_that_leads_here_is_refused(host: str) -> None:
    assert (await asked(gate(), "/", host=host, cookie=COOKIE)).status == 421
    assert (await asked(gate(), f"/?token={TOKEN}", host=host)).status == 421


async def test_on_the_port_of_http_a_browser_names_no_port() -> None:
    gated = Gate(PlainTextResponse("in"), TOKEN, ["[::1]:80", "[::1]"])
    cookie = (await asked(gated, f"/?token={TOKEN}", host="[::1]")).headers["set-cookie"].split(";")[0]
    assert cookie == f"atmdepot-80={TOKEN}"
    assert (await asked(gated, "/", "POST", host="[::1]", cookie=cookie, origin="http://[::1]")).status == 200


async def test_a_request_names_one_host() -> None:
    assert (await asked(gate(), "/", host=OWN, cookie=COOKIE, more=[(b"host", b"evil.example")])).status == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:8410", "null", "http://127.0.0.1:81"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_requests_of_other_pages_are_refused(method: str, origin: str) -> None:
    assert (await asked(gate(), "/", method, host=OWN, cookie=COOKIE, origin=origin)).status == 403


async def test_a_change_says_which_page_it_comes_from() -> None:
    assert (await asked(gate(), "/control", "POST", host=OWN, cookie=COOKIE)).status == 403
    own = await asked(gate(), "/control", "POST", host=OWN, cookie=COOKIE, origin=f"http://{OWN}")
    assert own.status == 200
    assert (await asked(gate(), "/", host="LOCALHOST:8410", cookie=COOKIE)).status == 200


pieces = st.sampled_from([OWN.encode(), b"localhost:8410", b"evil.example", f"http://{OWN}".encode(), b"null", b"; ",
                          b"=", b"atmdepot-8410=", TOKEN[:-1].encode(), b"\xff", b"%00", b","])
texts = st.lists(pieces | st.binary(max_size=8), max_size=5).map(b"".join)
headers = st.lists(st.tuples(st.sampled_from([b"host", b"origin", b"cookie", b"x"]), texts), max_size=6)


@given(headers=headers, path=st.text(max_size=12) | st.just("/"), query=texts | texts.map(b"token=".__add__),
       method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "X"]), is_own=st.booleans())
@examples(200)
def test_whatever_is_asked_nothing_is_seen_without_the_token(
        headers: list[tuple[bytes, bytes]], path: str, query: bytes, method: str, is_own: bool) -> None:
    """The pieces have all of the token but its last letter."""
    if is_own:
        headers = [header for header in headers if header[0] != b"host"] + [(b"host", OWN.encode())]
    told: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        told.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
    trio.run(gate(), scope, receive, send)
    assert told[0]["status"] in (403, 421)
