"""The changes that a page with `--control` may make: impair and cut links, drain servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from atmdepot.errors import AtmdepotError
from atmdepot.lab.orders import SOCKET
from atmdepot.lab.running import RunningLab

if TYPE_CHECKING:
    from atmdepot.view.collector import Collector

Ratio = Annotated[float, Meta(ge=0, le=1)]


class Action(Struct, forbid_unknown_fields=True):
    """A request of the page; `loss` is a ratio of cells, `delay` ms, for both directions of a link."""

    do: Literal["impair", "clear", "cut", "restore", "drain", "undrain"]
    name: str
    loss: Ratio = 0.0
    delay: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    bit_errors: Ratio = 0.0


class Actions:
    """Carries out actions, and notes each on the time line."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._network = collector.model.network
        directory = next(iter(collector.sockets.values())).parent
        self._lab = RunningLab(directory) if (directory / SOCKET).exists() else None

    def offered(self) -> list[str]:
        """The kinds of actions that can be done here; links are only cut in a lab."""
        return ["impair", "drain", *(["cut"] if self._lab is not None else [])]

    async def do(self, body: bytes) -> str:
        """Carry out a request; return what was done. Raises AtmdepotError for one that is none, or fails."""
        try:
            action = msgspec.json.decode(body, type=Action)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise AtmdepotError(f"no request: {error}") from None
        if action.do in ("drain", "undrain"):
            await self._of_a_server(action)
        elif action.name not in self._network.links:
            raise AtmdepotError(f"there is no link \"{action.name}\": there are {', '.join(self._network.links)}")
        elif action.do in ("cut", "restore"):
            await self._of_a_wire(action)
        else:
            await self._of_a_line(action)
        return f"{action.do} {action.name}"

    async def _of_a_server(self, action: Action) -> None:
        told = []
        for depot in self._network.depots:
            if depot in self._collector.sockets:
                told.append(await self._collector.request(depot, {action.do: action.name}))
        if not told:
            raise AtmdepotError("no depot of the network runs here")

    async def _of_a_wire(self, action: Action) -> None:
        lab = self._lab
        if lab is None:
            raise AtmdepotError("only a lab's links can be cut: this network is none")
        await self._collector.in_thread(lambda: (lab.cut if action.do == "cut" else lab.restore)(action.name))

    async def _of_a_line(self, action: Action) -> None:
        values: dict[str, Any] = {"link": action.name, "clear": action.do == "clear"}
        if action.do == "impair":
            values |= {"cell_loss": action.loss, "delay": int(action.delay * 1e6),
                       "header_bit_errors": action.bit_errors, "payload_bit_errors": action.bit_errors}
        told = [await self._collector.request(end, {"impair": values})
                for end in self._network.links[action.name].ends if end in self._collector.sockets]
        if not told:
            raise AtmdepotError(f"no end of {action.name} runs here")
