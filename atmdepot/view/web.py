"""The page: its files, its picture, a stream of ticks (server-sent events), details, and changes where allowed."""

from __future__ import annotations

import math
import secrets
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from atmdepot.errors import AtmdepotError
from atmdepot.view.details import Details
from atmdepot.view.gate import SECURITY, Gate
from atmdepot.view.labels import places_of_labels
from atmdepot.view.layout import BOX_HEIGHT, BOX_WIDTH, Layout, lay_out, path_of
from atmdepot.view.picture import picture_of
from atmdepot.view.telling import MOST_READERS, Teller, TickStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from atmdepot.view.actions import Actions
    from atmdepot.view.collector import Collector
    from atmdepot.view.picture import Picture

STATIC = Path(__file__).parent / "static"
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MOST_BODY = 4096
_BODY_TIME = 5  # s
_SHAPE, _LEAST_STRETCH, _MOST_STRETCH = 0.5, 0.62, 2.0
"""Height of a picture by its width, and the factors by which rows may be pushed together or pulled apart for it."""
_TALL = 1100
"""Pixels of height from which rows are pushed together."""
_GAP = 145
"""Pixels between two columns: what is written stands above and below the wires."""
_ENCODER = msgspec.json.Encoder(enc_hook=str)


class Page:
    """The page of a network that is watched.

    Args:
        collector: what watches it.
        actions: what may be changed; None where the page only shows.

    """

    def __init__(self, collector: Collector, actions: Actions | None = None) -> None:
        self._collector = collector
        self._actions = actions
        self._details = Details(collector)
        self.teller = Teller(lambda: collector.model.ticks)
        self._files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in _TYPES}
        self._name = secrets.token_hex(8)  # by which pages notice that another view answers now
        self._picture = _ENCODER.encode(_drawn(collector, actions) | {"view": self._name})

    def app(self, token: str, hosts: Iterable[str]) -> ASGIApp:
        """The application behind its gate."""
        return Gate(Starlette(routes=[
            Route("/", self._index), Route("/static/{name}", self._static), Route("/picture", self._get_picture),
            Route("/stream", self._stream), Route("/detail", self._detail), Route("/tree", self._tree),
            Route("/control", self._control, methods=["POST"]),
        ]), token, hosts)

    async def _index(self, _: Request) -> Response:
        return self._file("index.html")

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        return self._file(name) if name in self._files else _json({"error": "there is no such file"}, 404)

    def _file(self, name: str) -> Response:
        return Response(self._files[name], headers=SECURITY, media_type=_TYPES[Path(name).suffix])

    async def _get_picture(self, _: Request) -> Response:
        return Response(self._picture, headers=SECURITY, media_type="application/json")

    async def _stream(self, _: Request) -> Response:
        if self.teller.is_full:
            return _json({"error": f"{MOST_READERS} pages are open already: close one of them"}, 503)
        return TickStream(self.teller, SECURITY | {"Atmdepot-View": self._name})

    async def _detail(self, request: Request) -> Response:
        asked = request.query_params
        until = _number(asked.get("until"))
        try:
            detail = await self._details.of(asked.get("kind", ""), asked.get("name", ""), until or 2**62)
        except AtmdepotError as error:
            return _json({"error": str(error)}, 404)
        return Response(_ENCODER.encode(detail), headers=SECURITY, media_type="application/json")

    async def _tree(self, request: Request) -> Response:
        asked = request.query_params
        try:
            octets = bytes.fromhex(asked.get("octets", ""))
            tree = self._details.tree(asked.get("link", ""), _number(asked.get("time")), octets)
        except (AtmdepotError, ValueError) as error:
            return _json({"error": str(error)}, 404)
        return _json({"tree": tree})

    async def _control(self, request: Request) -> Response:
        if self._actions is None:
            return _json({"error": "this page only shows: start it with `atmdepot view --control`"}, 403)
        body = b""
        try:
            with trio.fail_after(_BODY_TIME):
                async with aclosing(request.stream()) as pieces:
                    async for piece in pieces:
                        body += piece
                        if len(body) > _MOST_BODY:
                            return _json({"error": f"a request has at most {_MOST_BODY} octets"}, 413)
        except ClientDisconnect:
            return _json({"error": "the request broke off"}, 400)
        except trio.TooSlowError:
            return _json({"error": f"a request comes within {_BODY_TIME} s"}, 408)
        try:
            done = await self._actions.do(body)
        except AtmdepotError as error:
            return _json({"error": str(error)}, 400)
        return _json({"done": done.text, "undo": done.undo})


def _drawn(collector: Collector, actions: Actions | None) -> dict[str, Any]:
    """The picture with its layout, and what the page needs beside it."""
    picture = picture_of(collector.model.network)
    layout = _fitting(picture)
    labels = places_of_labels(picture, layout)
    boxes = [{"key": key, "name": box.name, "kind": box.kind, "lines": box.lines, "x": layout.boxes[key].x,
              "y": layout.boxes[key].y} for key, box in picture.boxes.items()]
    wires = [{"name": wire.name, "kind": wire.kind, "ends": wire.ends, "text": wire.text, "path": path_of(points),
              "label": label, "vps": [{"text": str(vp), "server": vp.server} for vp in wire.vps]}
             for wire, points, label in zip(picture.wires, layout.wires, labels, strict=True)]
    return {"name": picture.name, "description": picture.description, "boxes": boxes, "wires": wires,
            "services": picture.services, "width": layout.width, "height": layout.height,
            "box": [BOX_WIDTH, BOX_HEIGHT], "servers": list(collector.model.network.servers),
            "control": None if actions is None else actions.offered()}


def _fitting(picture: Picture) -> Layout:
    """The layout whose shape fits a screen best."""
    layout = lay_out(picture, gap=_GAP)
    least = _LEAST_STRETCH if layout.height > _TALL else 1.0
    return lay_out(picture, min(_MOST_STRETCH, max(least, layout.width * _SHAPE / layout.height)), _GAP)


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(_ENCODER.encode(value), status, SECURITY, "application/json")


def _number(text: str | None) -> int:
    """A time in a request; 0 for none, and for what is no number."""
    try:
        number = float(text or 0)
    except ValueError:
        return 0
    return int(text or 0) if math.isfinite(number) and (text or "0").isdecimal() and number < 2**62 else 0
