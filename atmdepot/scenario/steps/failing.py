"""Steps that make nodes and wires fail, and mend them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Literal

from atmdepot.scenario.model import Step, not_among

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.scenario.bounds import Value
    from atmdepot.scenario.model import Scene
    from atmdepot.scenario.stage import Stage

DAEMON, WEB = "daemon", "web"


class _OfNode(Step, frozen=True, kw_only=True):
    """A step that does something to the processes of a node: its daemon, or its web server."""

    node: str
    what: Literal["daemon", "web"] = "daemon"

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say where the table has no such node, or the node no such process."""
        nodes = scene.live_nodes
        yield from (("node", fault) for fault in not_among("node", self.node, nodes))
        if self.node in nodes:
            if self.what == DAEMON and self.node not in (daemons := scene.plan.daemons):
                yield "node", f"{self.node} has no daemon: write what = \"web\", or one of {', '.join(daemons)}"
            if self.what == WEB and self.node not in (servers := scene.web_nodes):
                yield "what", f"{self.node} has no web server: those that have one are {', '.join(servers)}"

    @property
    def _whom(self) -> str:
        return self.node if self.what == DAEMON else f"the web server of {self.node}"


class Kill(_OfNode, frozen=True, kw_only=True):
    """End a process at once (SIGKILL), or with `host` the whole node, as when its power is lost."""

    host: bool = False

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        if self.host:
            stage.ground.remove(self.node)
        else:
            stage.ground.signal(self.node, self.what, signal.SIGKILL)
        return {}

    @property
    def told(self) -> str:
        return f"kill {self._whom}{', its whole host' if self.host else ''}"


class Stop(_OfNode, frozen=True, kw_only=True):
    """End a process in good order (SIGTERM)."""

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it, and wait for the end."""
        stage.ground.stop(self.node, self.what)
        return {}

    @property
    def told(self) -> str:
        return f"stop {self._whom}"


class Silence(_OfNode, frozen=True, kw_only=True):
    """Make a process hang (SIGSTOP): its kernel answers, it does not."""

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        stage.ground.signal(self.node, self.what, signal.SIGSTOP)
        return {}

    @property
    def told(self) -> str:
        return f"let {self._whom} hang"


class Wake(_OfNode, frozen=True, kw_only=True):
    """Let a process go on that was silenced (SIGCONT)."""

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        stage.ground.signal(self.node, self.what, signal.SIGCONT)
        return {}

    @property
    def told(self) -> str:
        return f"wake {self._whom}"


class Restart(Step, frozen=True, kw_only=True):
    """Start what has ended at a node; what runs is stopped first where nothing has ended."""

    node: str

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say where the table has no such node, or none with a process."""
        yield from (("node", fault) for fault in not_among("node", self.node, scene.live_nodes))

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it; return when it is ready."""
        if stage.ground.runs(self.node):
            stage.ground.stop(self.node, DAEMON if stage.ground.has_daemon(self.node) else WEB)
        stage.ground.start(self.node)
        return {}

    @property
    def told(self) -> str:
        return f"start {self.node} again"


class _OfWires(Step, frozen=True, kw_only=True):
    wires: list[str]

    def mistakes(self, scene: Scene) -> Iterator[tuple[str, str]]:
        """Say which wires the lab of the table does not have."""
        known = [wire.name for wire in scene.plan.wires]
        if not self.wires:
            yield "wires", f"name at least one: there are {', '.join(known)}"
        for wire in self.wires:
            yield from (("wires", fault) for fault in not_among("wire", wire, known))


class Cut(_OfWires, frozen=True, kw_only=True):
    """Cut wires: links, or NODE.INTERFACE on a LAN of several depots; `silent` keeps the carrier."""

    silent: bool = False

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        stage.ground.cut(self.wires, silent=self.silent)
        return {}

    @property
    def told(self) -> str:
        return f"cut {', '.join(self.wires)}{' in silence' if self.silent else ''}"


class Restore(_OfWires, frozen=True, kw_only=True):
    """Restore wires that were cut."""

    def carry_out(self, stage: Stage, name: str) -> dict[str, Value]:
        """Do it."""
        stage.ground.restore(self.wires)
        return {}

    @property
    def told(self) -> str:
        return f"restore {', '.join(self.wires)}"
