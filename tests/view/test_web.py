"""The page's answers: its files, the picture, the stream of ticks, details, and changes only where they are allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

pytest.importorskip("starlette")

from atmdepot.config.reading import load
from atmdepot.errors import AtmdepotError
from atmdepot.net.events import Cells, SessionChange
from atmdepot.trace.follow import Follower
from atmdepot.trace.items import Cell
from atmdepot.view.actions import Actions
from atmdepot.view.model import Model
from atmdepot.view.serve import hosts_of
from atmdepot.view.web import STATIC, Page
from tests.trace.captures import http_packet, train_of
from tests.view.asking import HOSTS, TOKEN, Answer, asked

if TYPE_CHECKING:
    from starlette.types import ASGIApp

NOW = 1_700_000_000_123_456_789
COOKIE = f"atmdepot-8410={TOKEN}"
ROWS: dict[str, list[dict[str, Any]]] = {
    "sessions": [{"number": 7, "client": "10.9.0.2:40000", "server": "web1"}],
    "servers": [{"server": "web1", "node": "web1", "list": "alive", "sessions": 1, "sessions_total": 3}],
    "vcs": [{"node": "depot", "link": "to-web1", "vc": "1/65", "tx_cells": 4, "rx_cells": 5, "fcs": ""}],
    "counters": [{"node": "depot", "counter": "a", "value": 0}, {"node": "depot", "counter": "b", "value": 2}],
    "links": [{"node": "depot", "link": "to-web1", "tx_cells": 4}],
    "impairments": [{"node": "depot", "link": "to-web1", "live": "", "delay_ms": 5.0, "loss": 0.0}]}
IMPAIRED = {"node": "depot", "link": "to-web1", "live": "loss 0.2", "delay_ms": 5.0, "jitter_ms": 0.0, "loss": 0.2,
            "header_bit_errors": 0.0, "payload_bit_errors": 1e-6, "rate_cps": None}


class Told:
    """In place of the collector: rows that are always the same, and what was asked for."""

    def __init__(self) -> None:
        self.model = Model(load("direct"))
        self.sockets = {name: Path("/nowhere/direct") / f"{name}.sock" for name in ("depot", "web1")}
        self.requests: list[tuple[str, dict[str, Any]]] = []

    async def rows(
        self, node: str, subject: str, limit: int = 1000, where: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        if node not in self.sockets:
            raise AtmdepotError(f"{node} does not run")
        wanted = where or {}
        return [row for row in ROWS[subject] if all(row.get(name) == value for name, value in wanted.items())][:limit]

    async def request(self, node: str, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append((node, request))
        return {"done": True}


@pytest.fixture
def told() -> Told:
    made = Told()
    made.model.take_item(SessionChange(NOW, 7, "opened", "TCP", "192.0.2.1:40000", "198.51.100.80:80", "web1",
                                       "to-web1", (1, 65), "CBR", "", "depot"))
    record = Cells(NOW, "to-web1", "out", train_of(http_packet(4), 1, 65), "depot")
    follower = Follower(made.model.sorter.book, cells=True, sessions=made.model.sessions)
    follower.take(SessionChange(NOW, 7, "opened", "TCP", "192.0.2.1:40000", "198.51.100.80:80", "web1", "to-web1",
                                (1, 65), "CBR", "", "depot"))
    for item in follower.take(record):
        if isinstance(item, Cell):
            made.model.keep_cell(item)
    made.model.tick(NOW)
    return made


def app_of(told: Told, *, control: bool = False) -> ASGIApp:
    page = Page(told, Actions(told) if control else None)  # type: ignore[arg-type]
    return page.app(TOKEN, HOSTS)


async def get(app: ASGIApp, path: str) -> Answer:
    return await asked(app, path, cookie=COOKIE)


async def post(app: ASGIApp, body: bytes) -> Answer:
    return await asked(app, "/control", "POST", cookie=COOKIE, origin=f"http://{HOSTS[0]}", body=body)


async def test_files_are_served_with_their_types_and_nothing_from_elsewhere(told: Told) -> None:
    app = app_of(told)
    for path in STATIC.iterdir():
        answer = await get(app, f"/static/{path.name}")
        assert answer.body == path.read_bytes()
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert b"://" not in answer.body.replace(b"http://www.w3.org/2000/svg", b"")
    index = await get(app, "/")
    assert index.headers["content-type"].startswith("text/html")
    for name in ("../web.py", "%2e%2e/web.py", "no.js", ""):
        assert (await get(app, f"/static/{name}")).status == 404


async def test_the_picture_has_all_boxes_and_wires(told: Told) -> None:
    picture = json.loads((await get(app_of(told), "/picture")).body)
    assert {box["name"] for box in picture["boxes"]} == {"clients", "depot", "web1", "web2"}
    assert {wire["name"] for wire in picture["wires"]} >= {"to-web1", "to-web2"}
    assert picture["control"] is None
    assert json.loads((await get(app_of(told, control=True), "/picture")).body)["control"] == ["impair", "drain"]


async def test_the_stream_begins_with_the_last_minute_and_ends_with_its_browser(told: Told) -> None:
    page = Page(told)  # type: ignore[arg-type]
    to_page, from_browser = trio.open_memory_channel[dict[str, str]](1)
    to_browser, from_page = trio.open_memory_channel[dict[str, Any]](0)
    scope = {"type": "http", "method": "GET", "path": "/stream", "query_string": b"",
             "headers": [(b"host", HOSTS[0].encode()), (b"cookie", COOKIE.encode())]}

    async def event() -> tuple[str, Any]:
        name, data = (await from_page.receive())["body"].decode().splitlines()[:2]
        return name, json.loads(data.removeprefix("data: "))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(page.app(TOKEN, HOSTS), scope, from_browser.receive, to_browser.send)
            assert (await from_page.receive())["status"] == 200
            name, ticks = await event()
            assert (name, [tick["number"] for tick in ticks]) == ("event: history", [1])
            for number in range(200):  # a browser that does not read holds nobody up, and misses some
                page.teller.tell(told.model.tick(NOW + number * 10**9))
            name, tick = await event()
            assert (name, tick["number"]) == ("event: tick", 2)
            await to_page.send({"type": "http.disconnect"})
    assert not page.teller.readers


@pytest.mark.parametrize(("kind", "name", "cells"), [
    ("node", "depot", 3), ("link", "to-web1", 3), ("link", "to-web2", 0), ("vc", "to-web1 1/65", 3),
    ("vc", "to-web1 1/66", 0), ("server", "web1", 3), ("session", "depot/7", 3), ("session", "8", 0)])
async def test_details_have_rows_and_the_last_cells(told: Told, kind: str, name: str, cells: int) -> None:
    app = app_of(told)
    detail = json.loads((await get(app, f"/detail?kind={kind}&name={name.replace(' ', '+')}")).body)
    assert len(detail["cells"]) == cells
    assert detail["title"]
    before = json.loads((await get(app, f"/detail?kind={kind}&name={name.replace(' ', '+')}&until={NOW - 1}")).body)
    assert before["cells"] == []
    for cell in detail["cells"]:
        tree = json.loads((await get(app, f"/tree?link={cell['link']}&time={cell['id']}&octets={cell['octets']}")).body)
        assert "destination port: 80" in tree["tree"]


async def test_a_session_is_asked_for_by_its_number_and_long_tables_say_what_they_leave_out(
        told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"number": number, "client": f"10.9.0.2:{number}", "server": "web1"} for number in range(1, 100_001)]
    monkeypatch.setitem(ROWS, "sessions", rows)
    app = app_of(told)
    detail = json.loads((await get(app, "/detail?kind=session&name=depot/99999")).body)
    assert detail["facts"]["client"] == "10.9.0.2:99999"
    assert detail["trouble"] == ""
    server = json.loads((await get(app, "/detail?kind=server&name=web1")).body)
    assert len(server["tables"]["sessions"]) == 100
    assert "1,000" in server["notes"]["sessions"]
    assert json.loads((await get(app, "/detail?kind=session&name=depot/100001")).body)["trouble"]


@pytest.mark.parametrize("path", [
    "/detail", "/detail?kind=planet&name=x", "/detail?kind=node&name=x", "/detail?kind=link&name=x",
    "/detail?kind=vc&name=to-web1", "/detail?kind=vc&name=x+1/2", "/detail?kind=session&name=x",
    "/detail?kind=session&name=depot/" + "9" * 500, "/detail?kind=server&name=%3Cscript%3E",
    "/tree", "/tree?octets=xx", "/tree?link=to-web1&time=1&octets=00", "/tree?time=1e400&octets=00",
    "/tree?time=" + "9" * 5000, "/detail?kind=vc&name=to-web1+" + "9" * 5000 + "/1"])
async def test_what_is_not_there_is_answered(told: Told, path: str) -> None:
    answer = await get(app_of(told), path)
    assert answer.status == 404
    assert json.loads(answer.body)["error"]
    assert answer.headers["content-type"] == "application/json"


async def test_a_page_that_only_shows_changes_nothing(told: Told) -> None:
    answer = await post(app_of(told), b'{"do": "drain", "name": "web1"}')
    assert answer.status == 403
    assert "--control" in json.loads(answer.body)["error"]
    assert told.requests == []


async def test_changes_go_to_the_nodes_that_they_are_for(told: Told) -> None:
    app = app_of(told, control=True)
    assert (await post(app, b'{"do": "drain", "name": "web1"}')).status == 200
    assert (await post(app, b'{"do": "impair", "name": "to-web1", "loss": 0.1, "delay": 50}')).status == 200
    values = {"link": "to-web1", "cell_loss": 0.1, "delay": 50_000_000}  # what is not given stays as it is
    assert told.requests == [("depot", {"drain": "web1"}), ("depot", {"impair": values}), ("web1", {"impair": values})]


@pytest.mark.parametrize(("before", "body", "undone"), [
    (None, b'{"do": "drain", "name": "web1"}', [("depot", {"undrain": "web1"})]),
    (None, b'{"do": "undrain", "name": "web1"}', [("depot", {"drain": "web1"})]),
    (None, b'{"do": "impair", "name": "to-web1", "loss": 1}',
     [(node, {"impair": {"link": "to-web1", "clear": True}}) for node in ("depot", "web1")]),
    (IMPAIRED, b'{"do": "clear", "name": "to-web1"}', [(node, {"impair": {
        "link": "to-web1", "cell_loss": 0.2, "header_bit_errors": 0.0, "payload_bit_errors": 1e-6, "delay": 5_000_000,
        "jitter": 0}}) for node in ("depot", "web1")])])
async def test_a_change_is_undone_once(
        told: Told, monkeypatch: pytest.MonkeyPatch, before: Any, body: bytes, undone: list[Any]) -> None:
    if before is not None:
        monkeypatch.setitem(ROWS, "impairments", [before])
    app = app_of(told, control=True)
    number = json.loads((await post(app, body)).body)["undo"]
    told.requests.clear()
    undo = json.dumps({"do": "undo", "name": number}).encode()
    answer = await post(app, undo)
    assert json.loads(answer.body)["undo"] is None
    assert told.requests == undone
    assert (await post(app, undo)).status == 400
    assert told.requests == undone


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{", b"\xff", b'{"do": "format", "name": "x"}', b'{"do": "impair", "name": "x"}',
    b'{"do": "impair", "name": "to-web1", "loss": 2}', b'{"do": "cut", "name": "to-web1"}', b"[" * 3000,
    b'{"do": "drain", "name": "web1", "more": 1}', b'{"do": "impair", "name": "to-web1"}',
    b'{"do": "undo", "name": "1"}'])
async def test_bad_changes_are_refused(told: Told, body: bytes) -> None:
    assert (await post(app_of(told, control=True), body)).status == 400
    assert told.requests == []


async def test_a_long_request_is_not_read(told: Told) -> None:
    assert (await post(app_of(told, control=True), b"x" * 10_000)).status == 413


def test_the_page_has_the_names_of_loopback_only_there() -> None:
    assert set(hosts_of("127.0.0.1", 81, [])) == {"127.0.0.1:81", "localhost:81", "[::1]:81"}
    assert hosts_of("192.0.2.1", 81, ["lab.example", "other:8080"]) == ["192.0.2.1:81", "lab.example:81", "other:8080"]
    assert "[::1]:81" in hosts_of("::1", 81, [])


def test_browsers_leave_the_port_of_http_out() -> None:
    assert {"127.0.0.1", "127.0.0.1:80", "[::1]", "lab.example"} <= set(hosts_of("127.0.0.1", 80, ["lab.example"]))


async def test_a_browser_that_hangs_up_amid_a_request_is_no_fault(told: Told) -> None:
    said: list[Any] = []
    incoming = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"host", HOSTS[0].encode()), (b"cookie", COOKIE.encode()), (b"origin", f"http://{HOSTS[0]}".encode())]
    await app_of(told, control=True)({"type": "http", "method": "POST", "path": "/control", "query_string": b"",
                                      "headers": headers}, receive, send)
    assert said[0]["status"] == 400
    assert told.requests == []
