"""Steps of an operator: servers drained and given sessions again, and planned takeovers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import field

from atmdepot.config.units import Duration
from atmdepot.errors import AtmdepotError
from atmdepot.net.control_client import is_refusal
from atmdepot.scenario import figures
from atmdepot.scenario.figures import Figure  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.scenario.model import Step, not_among

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.scenario.bounds import Value
    from atmdepot.scenario.model import Scene
    from atmdepot.scenario.stage import Stage


class _OfServer(Step, frozen=True, kw_only=True):
    server: str

    COMMAND: ClassVar[str] = ""

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say where the table has no such server."""
        yield from (("server", fault) for fault in not_among("server", self.server, list(scene.network.servers)))

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        stage.command("", self.COMMAND, self.server)
        return {}

    @property
    def told(self) -> str:
        return f"{self.COMMAND} {self.server}"


class Drain(_OfServer, frozen=True, kw_only=True):
    """Give a server no new sessions."""

    COMMAND: ClassVar[str] = "drain"


class Undrain(_OfServer, frozen=True, kw_only=True):
    """Give a server new sessions again."""

    COMMAND: ClassVar[str] = "undrain"


class Takeover(Step, frozen=True, kw_only=True):
    """Make a depot take over; a depot that refuses fails the step, unless `refused` or `why` is expected.

    A depot that is active already has nothing to do. One that refuses is asked again `within` a time, as one that is
    not in sync yet. A depot that does not answer, or is not given the address, has not refused, and fails the step.
    """

    depot: str
    force: bool = False
    within: Duration = field(default_factory=lambda: Duration(0))

    FIGURES: ClassVar[dict[str, Figure]] = figures.OF_TAKEOVERS

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say where the table has no such depot."""
        yield from (("depot", fault) for fault in not_among("depot", self.depot, scene.network.depots))

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it; return when the depot is active."""
        deadline = stage.now + self.within / 1e9
        while not stage.is_active(self.depot):
            try:
                stage.command(self.depot, "takeover", "--node", self.depot, *(["--force"] if self.force else []))
                break
            except AtmdepotError as error:
                if stage.now < deadline:
                    continue
                if not (self.expect.keys() & {"refused", "why"} and is_refusal(str(error), self.depot)):
                    raise
                return {"refused": True, "why": str(error)}
        return {"refused": False, "why": ""}

    @property
    def told(self) -> str:
        return f"{self.depot} takes over{', forced' if self.force else ''}"
