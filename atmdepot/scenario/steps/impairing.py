"""The step that impairs a link while cells pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from atmdepot.config.units import CellRate, Duration  # noqa: TC001 - msgspec reads the annotations at run time
from atmdepot.scenario.model import Step, not_among

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.scenario.bounds import Value
    from atmdepot.scenario.model import Scene
    from atmdepot.scenario.stage import Stage

Ratio = Annotated[float, Meta(ge=0, le=1)]


class Impair(Step, frozen=True, kw_only=True, rename={"sender": "from"}):
    """Impair a link, in both directions or only what a node sends (`from`); `clear` goes back to the table's values."""

    link: str
    sender: str | None = None
    loss: Ratio | None = None
    bit_errors: Ratio | None = None
    misinsert: Ratio | None = None
    reorder: Ratio | None = None
    delay: Duration | None = None
    jitter: Duration | None = None
    rate: CellRate | None = None
    clear: bool = False

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say where there is no such link, or no such end of it, or nothing to do."""
        yield from (("link", fault) for fault in not_among("link", self.link, scene.network.links))
        ends = scene.network.links[self.link].ends if self.link in scene.network.links else {}
        if self.sender is not None and ends:
            yield from (("from", fault) for fault in not_among("end of the link", self.sender, ends))
        if not self._options:
            yield "link", "there is nothing to do: write a value, such as loss = 0.01, or clear = true"

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it, at each end that sends."""
        ends = stage.network.links[self.link].ends
        for node in [self.sender] if self.sender is not None else filter(stage.ground.has_daemon, ends):
            stage.command(node, "impair", self.link, "--from", node, *self._options)
        return {}

    @property
    def told(self) -> str:
        of = f", what {self.sender} sends" if self.sender else ""
        return f"impair {self.link}{of}: {' '.join(self._options).replace('--', '')}"

    @property
    def _options(self) -> list[str]:
        values = {"loss": self.loss, "bit-errors": self.bit_errors, "misinsert": self.misinsert,
                  "reorder": self.reorder, "delay": self.delay, "jitter": self.jitter, "rate": self.rate}
        words = [word for name, value in values.items() if value is not None for word in (f"--{name}", f"{value}")]
        return [*words, *(["--clear"] if self.clear else [])]
