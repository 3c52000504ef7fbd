"""Steps in which the client asks for pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, field

from atmdepot.config.qos import parse_dscp
from atmdepot.config.units import Duration
from atmdepot.lab.pages import SIZES
from atmdepot.scenario import figures
from atmdepot.scenario.asking import Asking
from atmdepot.scenario.figures import Figure  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.scenario.model import Step, not_among

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.scenario.bounds import Value
    from atmdepot.scenario.model import Scene
    from atmdepot.scenario.stage import Stage

_MOST_CLIENTS, _MOST_REQUESTS = 2000, 10_000_000
_PAGES = [*SIZES, "server"]
_NEVER = Duration(0)


class _OfPages(Step, frozen=True, kw_only=True):
    """Requests for a page, at a VIP (all of the table's, in turn, if none is named)."""

    page: str = "1KB"
    vip: str = ""
    requests: Annotated[int, Meta(ge=0, le=_MOST_REQUESTS)] = 0
    patience: Duration = field(default_factory=lambda: Duration.parse("10s"))
    dscp: str = "0"

    FIGURES: ClassVar[dict[str, Figure]] = figures.OF_LOADS

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say where there is no such page or VIP."""
        if self.page not in _PAGES:
            yield "page", f"there is no page \"{self.page}\": there are {', '.join(_PAGES)}"
        known = ["", *map(str, scene.network.vips)]
        yield from (("vip", fault) for fault in not_among("VIP", self.vip, known))
        try:
            parse_dscp(self.dscp)
        except ValueError as error:
            yield "dscp", str(error)

    def _asking(self, stage: Stage, *, clients: int, lasts: Duration = _NEVER, kept: bool = False,
                every: Duration = _NEVER) -> Asking:
        targets = [target for target in stage.targets if self.vip in ("", target[0])]
        return Asking(targets, self.page, clients, self.requests, lasts / 1e9, kept, every / 1e9, self.patience / 1e9,
                      parse_dscp(self.dscp))


class Get(_OfPages, frozen=True, kw_only=True):
    """Fetch a page so many times, one after the other."""

    requests: Annotated[int, Meta(ge=1, le=_MOST_REQUESTS)] = 1

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it, to the end."""
        stage.begin(name, self._asking(stage, clients=1))
        return stage.finish(name)

    @property
    def told(self) -> str:
        return f"get /{self.page}{f', {self.requests} times' if self.requests > 1 else ''}"


class Load(_OfPages, frozen=True, kw_only=True):
    """Let clients ask for a page while the next steps go on.

    It ends after `requests` or `lasts`, or with the step `finish`, or with the scenario. `kept`: each client keeps its
    connection; else each request has one of its own. `every`: the time from one request of a client to its next.
    """

    clients: Annotated[int, Meta(ge=1, le=_MOST_CLIENTS)] = 4
    kept: bool = False
    lasts: Duration = field(default_factory=lambda: _NEVER)
    every: Duration = field(default_factory=lambda: _NEVER)

    def pass_on(self, scene: Scene, name: str) -> None:
        """Let a later step end it."""
        scene.loads.append(name)

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Begin; return when each client has got its first octets, or failed."""
        stage.begin(name, self._asking(stage, clients=self.clients, lasts=self.lasts, kept=self.kept,
                                       every=self.every))
        return {}

    @property
    def told(self) -> str:
        return f"{self.clients} clients ask for /{self.page}{', on kept connections' if self.kept else ''}"


class Finish(Step, frozen=True, kw_only=True):
    """Wait for the end of a load that has one, or end it; what is expected of the load is judged here."""

    load: str

    FIGURES: ClassVar[dict[str, Figure]] = figures.OF_LOADS

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say where no earlier step is such a load, or it is over."""
        if self.load not in scene.loads:
            known = ", ".join(scene.loads) or "none"
            yield "load", f"no load \"{self.load}\" has begun and not ended before this step: there is {known}"

    def pass_on(self, scene: Scene, name: str) -> None:
        """Leave the load to no later step."""
        if self.load in scene.loads:
            scene.loads.remove(self.load)

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        return stage.finish(self.load)

    @property
    def told(self) -> str:
        return f"end of {self.load}"
