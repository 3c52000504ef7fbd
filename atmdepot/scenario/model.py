"""A scenario and its steps. Pure: what a step does, it does by the stage that it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct, field

from atmdepot.config.problem import list_of
from atmdepot.config.units import Duration
from atmdepot.lab.web import web_servers
from atmdepot.scenario import figures
from atmdepot.scenario.figures import Figure  # noqa: TC001 - msgspec reads the annotations at run time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from atmdepot.config.model import Network
    from atmdepot.lab.plan import Plan
    from atmdepot.scenario.bounds import Bounds, Value
    from atmdepot.scenario.stage import Stage


class Step(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A step. A kind of step is a subclass; `steps/__init__.py` names them all."""

    expect: dict[str, Any] = {}

    FIGURES: ClassVar[dict[str, Figure]] = figures.TIME

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Keys whose values do not fit the scene, each with what would be right."""
        yield from ()

    def pass_on(self, scene: Scene, name: str) -> None:
        """Change the scene as later steps find it."""

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it; return its figures. Raises AtmdepotError when it cannot be done."""
        raise NotImplementedError

    @property
    def told(self) -> str:
        """The step in a few words."""
        raise NotImplementedError


class Scene(Struct):
    """The place of a step: the network, its plan, and the loads that have begun and not ended."""

    network: Network
    plan: Plan
    loads: list[str] = []

    @property
    def web_nodes(self) -> list[str]:
        """The nodes that have a web server."""
        return [web.node for web in web_servers(self.network)]

    @property
    def live_nodes(self) -> list[str]:
        """The nodes that have a daemon or a web server."""
        return list(dict.fromkeys([*self.plan.daemons, *self.web_nodes]))


def not_among(what: str, name: str, known: Collection[str]) -> Iterator[str]:
    """A message when a name is not among those known."""
    if name not in known:
        yield f"the table has no {what} \"{name}\": {list_of(f'{what}s', known)}"


class Scenario(Struct, frozen=True):
    """A scenario that can be played: its table as changed, its steps by name, and what is expected of each."""

    name: str
    description: str
    table: str
    text: str
    network: Network
    timeout: Duration
    steps: dict[str, Step]
    expectations: dict[str, dict[str, Bounds]]


class Head(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of a scenario's file; its steps are read one by one."""

    name: str
    table: str
    description: str = ""
    timeout: Duration = field(default_factory=lambda: Duration.parse("60s"))
    changes: dict[str, Any] = {}
    steps: dict[str, Any]
