"""The management agent of a node: its answers to operators and to the daemon, in one class for each kind of node.

A daemon asks an agent, never the class of a node: for rows (`show`), counters, metrics, readiness and existing
sessions, and for the commands of its kind. An agent has no state of its own, and time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from msgspec import UNSET, UnsetType

from atmdepot.bearer.circuits import CircuitEnd
from atmdepot.net.protection import ProtectionRequest, obey

if TYPE_CHECKING:
    import msgspec

    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.adaptation import LinkAdaptation
    from atmdepot.bearer.oam import NodeOam
    from atmdepot.bearer.protected import ProtectedVp
    from atmdepot.net.agents.facts import Count, Fact
    from atmdepot.net.agents.rows import CounterRow, Row
    from atmdepot.node.node import Node

Clock = Callable[[], int]
"""The time in ns."""

View = Callable[[Any, int, Clock], Iterator["Row"]]
"""A method of an agent: at most so many rows of a subject, each made on demand, with the time of that moment."""


class Command(NamedTuple):
    """A command of a kind of node; its name is the first key of its request."""

    request: type[msgspec.Struct]
    run: Callable[[Any, Any, int], dict[str, Any]]
    """A method of an agent: from the request and the time (ns) to the answer. Raises AtmdepotError to refuse."""
    changes: bool = True
    """False for a command that changes no state."""


class Family(NamedTuple):
    """Definition of a metric: counters grow until the node is restarted, and have `_total` behind their name."""

    counts: bool
    text: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """A value of a metric, and the values of its labels."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


PLACE = "place"
"""Stands for the place of a counter, in the labels of the metric that the counter becomes."""


class Agent:
    """The agent of a node without views, commands and metrics of its own: the base for all kinds."""

    views: ClassVar[Mapping[str, View]] = {}
    """The subjects that only this kind of node has."""
    commands: ClassVar[Mapping[str, Command]] = {}
    families: ClassVar[Mapping[str, Family]] = {}
    """The metrics that only this kind of node has."""
    metric_of_counter: ClassVar[Mapping[str, tuple[str, tuple[str, ...]]]] = {}
    """The metric and labels that a counter of `counters` becomes, by the counter's name."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def not_ready(self) -> str:
        """The reason that the node is not ready; empty when it is."""
        return ""

    def role(self) -> str:
        """The role of the node in its set of depots; empty for a node that is in none."""
        return ""

    def counters(self) -> Iterator[CounterRow]:
        """Counters beside those that every node has."""
        return iter(())

    def samples(self, clock: Clock) -> Iterator[Sample]:
        """Values of `families` that are no counters."""
        del clock
        return iter(())

    def tries_not_made(self) -> int:
        """Count of connections to try servers that the node's host could not make."""
        return 0

    def carries(self, vc: Vc) -> str:
        """The client's end of the flow that a VC carries; `many` when it is not for a single flow."""
        del vc
        return "many"

    def ends(self, link: LinkAdaptation) -> Iterator[Vc] | None:
        """The VCs of a link in the order in which they are shown; None for that of the link's table."""
        del link
        return None

    def leads_to(self, vc: Vc) -> str | UnsetType:
        """The place to which a VC goes on; unset where it ends here."""
        del vc
        return UNSET

    def link_troubles(self) -> dict[str, str]:
        """The troubles that the node has found on the paths of its links; an empty text for a path without any."""
        return {}

    def oam(self) -> NodeOam | None:
        """The OAM of the VPs that end at the node; None where none does."""
        return None

    def protected(self) -> Mapping[str, ProtectedVp]:
        """The protected VPs that end at the node, by name."""
        return {}

    def move(self, request: ProtectionRequest, now: int) -> dict[str, Any]:
        """Obey a command for a protected VP. Raises AtmdepotError for none, and where a higher request is in force."""
        return obey(self.protected(), request, now)

    def links_without_signal(self) -> list[str]:
        """The supervised links that are silent."""
        oam = self.oam()
        return [] if oam is None else [name for name, link in oam.links.items() if not link.has_signal]

    def facts(self, now: int) -> Iterator[Fact]:
        """The conditions that the log tells when they change, beside those that every node has."""
        del now
        return iter(())

    def sample(self, now: int) -> None:
        """Note what is counted, for rates; called twice a second."""

    def counts(self) -> Iterator[Count]:
        """The counts that the log tells when they rise, beside drops."""
        return iter(())

    def known_servers(self) -> Sequence[str]:
        """The names that servers of sessions may have."""
        return ()

    def known_sessions(self, most: int) -> list[Any]:
        """The newest of the existing sessions, at most so many."""
        del most
        return []

    def session_numbered(self, number: int, clock: Clock) -> Iterator[Row | None]:
        """The session with a number, if there is one, and None for each that was looked at before."""
        del number, clock
        return iter(())


_Circuit = TypeVar("_Circuit")


def in_use_first(
    circuits: Sequence[_Circuit], is_permanent: Callable[[_Circuit], bool], is_used: Callable[[_Circuit], bool],
) -> Iterator[_Circuit]:
    """VCs or PVCs, each once: the permanent ones, those of sessions that were used by their turn, and the idle ones.

    A table that is cut off after some rows then has those that are looked for.
    """
    yield from filter(is_permanent, circuits)
    later = []
    for circuit in circuits:
        if not is_permanent(circuit):
            if is_used(circuit):
                yield circuit
            else:
                later.append(circuit)
    yield from later


def circuit_text(vc: Vc) -> str:
    """The place of a VC's circuit in the VC table, such as `vps.web1-web2`; empty for a VC of no circuit."""
    if not isinstance(vc.owner, CircuitEnd):
        return ""
    return f"{'vcs' if vc.owner.circuit.vp is None else 'vps'}.{vc.owner.name}"
