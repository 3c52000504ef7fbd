"""Steps that wait and look: `wait`, `run` and `expect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, field

from atmdepot.config.units import Duration
from atmdepot.scenario import figures
from atmdepot.scenario.figures import Figure  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.scenario.model import Step, not_among

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.scenario.bounds import Value
    from atmdepot.scenario.model import Scene
    from atmdepot.scenario.stage import Stage


class Wait(Step, frozen=True, kw_only=True):
    """Let time pass: of `lasts`. For a condition, wait with `expect` and `within`."""

    lasts: Duration

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        stage.sleep(self.lasts / 1e9)
        return {}

    @property
    def told(self) -> str:
        return f"wait {self.lasts}"


class Run(Step, frozen=True, kw_only=True):
    """Run a command in a node, to its end; it is killed after `within`. Its exit code must be 0 if none is expected."""

    node: str
    command: Annotated[list[str], Meta(min_length=1)]
    within: Duration = field(default_factory=lambda: Duration.parse("60s"))

    FIGURES: ClassVar[dict[str, Figure]] = figures.OF_COMMANDS

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say where the lab has no such node."""
        yield from (("node", fault) for fault in not_among("node", self.node, list(scene.plan.nodes)))

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        return stage.run(self.node, self.command, self.within / 1e9, self.expect)

    @property
    def told(self) -> str:
        return f"at {self.node}: {' '.join(self.command)}"


class Expect(Step, frozen=True, kw_only=True):
    """Look at the network until all is as expected; it fails when it is not so `within` a time."""

    within: Duration = field(default_factory=lambda: Duration(0))

    FIGURES: ClassVar[dict[str, Figure]] = figures.OF_NETWORK

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say where nothing is expected."""
        if not self.expect:
            yield "expect", f"write what is expected, of {', '.join(self.FIGURES)}"

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        return stage.look(name, self.within / 1e9)

    @property
    def told(self) -> str:
        return f"look{f' for {self.within}' if self.within else ''}"
