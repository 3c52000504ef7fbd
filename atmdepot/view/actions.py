"""The changes that a page with `--control` may make: impair and cut links, drain servers; each can be undone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError
from atmdepot.lab.orders import SOCKET
from atmdepot.lab.running import RunningLab

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from atmdepot.view.collector import Collector

    Steps = list[Callable[[], Awaitable[object]]]

Ratio = Annotated[float, Meta(ge=0, le=1)]
_MOST_UNDO = 64
"""Changes that can be undone; the oldest are forgotten."""
_LIVE = {"loss": "cell_loss", "header_bit_errors": "header_bit_errors", "payload_bit_errors": "payload_bit_errors",
         "misinsertion": "misinsertion", "reordering": "reordering", "rate_cps": "rate"}
"""Columns of `show impairments`, with the key of a request that sets each as it is."""
_TIMES = {"delay_ms": "delay", "jitter_ms": "jitter"}



class Action(Struct, forbid_unknown_fields=True):
    """A request of the page; `loss` is a ratio of cells, `delay` ms, for both directions of a link.

    `name` is a link, a server, or for `undo` the number of a change.
    """

    do: Literal["impair", "clear", "cut", "restore", "drain", "undrain", "undo"]
    name: str
    loss: Ratio | None = None
    delay: Annotated[float, Meta(ge=0, le=10_000)] | None = None
    bit_errors: Ratio | None = None


class Done(NamedTuple):
    """A change that was made: a text, and the number by which it is undone."""

    text: str
    undo: str | None


class Actions:
    """Carries out actions, and remembers how to undo them."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._model = collector.model
        self._network = collector.model.network
        self._undo: dict[str, tuple[str, Steps]] = {}
        self._numbers = 0
        directory = next(iter(collector.sockets.values())).parent
        self._lab = RunningLab(directory) if (directory / SOCKET).exists() else None

    def offered(self) -> list[str]:
        """The kinds of actions that can be done here; links are only cut in a lab."""
        return ["impair", "drain", *(["cut"] if self._lab is not None else [])]

    async def do(self, body: bytes) -> Done:
        """Carry out a request; return what was done. Raises AtmdepotError for one that is none, or fails."""
        try:
            action = msgspec.json.decode(body, type=Action)
        except NOT_DECODED as error:
            raise AtmdepotError(f"no request: {error}") from None
        if action.do == "undo":
            return await self._undone(action.name)
        back: Steps = []
        if action.do in ("drain", "undrain"):
            await self._of_a_server(action, back)
        elif action.name not in self._network.links:
            raise AtmdepotError(f"there is no link \"{action.name}\": there are {', '.join(self._network.links)}")
        elif action.do in ("cut", "restore"):
            await self._of_a_wire(action.name, is_cut=action.do == "cut")
            back.append(partial(self._of_a_wire, action.name, is_cut=action.do != "cut"))
        else:
            await self._of_a_line(action, back)
        return self._remember(_text_of(action), back)

    def _remember(self, text: str, back: Steps) -> Done:
        self._numbers += 1
        self._undo[str(self._numbers)] = text, back
        if len(self._undo) > _MOST_UNDO:
            del self._undo[next(iter(self._undo))]
        return Done(text, str(self._numbers))

    async def _undone(self, number: str) -> Done:
        if number not in self._undo:
            raise AtmdepotError("that was undone already, or is too long ago")
        text, back = self._undo.pop(number)
        for step in back:
            await step()
        return Done(f"{text}, undone", None)

    async def _of_a_server(self, action: Action, back: Steps) -> None:
        told = [depot for depot in self._network.depots if depot in self._collector.sockets]
        if not told:
            raise AtmdepotError("no depot of the network runs here")
        other = "undrain" if action.do == "drain" else "drain"
        for depot in told:
            await self._collector.request(depot, {action.do: action.name})
            back.append(partial(self._collector.request, depot, {other: action.name}))

    async def _of_a_wire(self, name: str, *, is_cut: bool) -> None:
        lab = self._lab
        if lab is None:
            raise AtmdepotError("only a lab's links can be cut: this network is none")
        await self._collector.in_thread(lambda: (lab.cut if is_cut else lab.restore)(name))
        (self._model.cut.add if is_cut else self._model.cut.discard)(name)

    async def _of_a_line(self, action: Action, back: Steps) -> None:
        values = _values(action)
        if action.do == "impair" and len(values) == 1:
            raise AtmdepotError("nothing to impair: give loss, delay or bit_errors")
        ends = [end for end in self._network.links[action.name].ends if end in self._collector.sockets]
        if not ends:
            raise AtmdepotError(f"no end of {action.name} runs here")
        for end in ends:
            rows = await self._collector.rows(end, "impairments")
            before = next(row for row in rows if row["link"] == action.name)
            await self._collector.request(end, {"impair": values})
            back.append(partial(self._collector.request, end, {"impair": _as_before(before)}))


def _text_of(action: Action) -> str:
    given = {"loss": action.loss, "delay (ms)": action.delay, "bit errors": action.bit_errors}
    told = ", ".join(f"{name} {value:g}" for name, value in given.items() if value is not None)
    return f"{action.do} {action.name}{told and f': {told}'}"


def _values(action: Action) -> dict[str, Any]:
    """The request to an end of a link."""
    if action.do == "clear":
        return {"link": action.name, "clear": True}
    values = {"cell_loss": action.loss, "header_bit_errors": action.bit_errors, "payload_bit_errors": action.bit_errors,
              "delay": None if action.delay is None else int(action.delay * 1e6)}
    return {"link": action.name, **{key: value for key, value in values.items() if value is not None}}


def _as_before(row: dict[str, Any]) -> dict[str, Any]:
    """The request that brings a link's end back to what a row of `show impairments` says."""
    if not row["live"]:
        return {"link": row["link"], "clear": True}
    values = {key: row[column] for column, key in _LIVE.items() if row.get(column) is not None}
    times = {key: round(row[column] * 1e6) for column, key in _TIMES.items() if row.get(column) is not None}
    return {"link": row["link"], **values, **times}
