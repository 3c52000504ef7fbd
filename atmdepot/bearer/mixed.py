"""The bearer of a depot whose servers stand behind several: each call goes to the bearer of its far node or path.

A packet goes out by its path, which is of its own bearer, so packets of open sessions meet nothing of this. The names
of the ports are different ones in a VC table, and those of the far nodes too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from atmdepot.bearer.base import Bearer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from atmdepot.bearer.base import Counter, Owner, Path, PathCondition, PathText, Port
    from atmdepot.config.contract import ServiceCategory
    from atmdepot.config.model import Network
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Arrival, Packet


class MixedBearer(Bearer):
    """Several bearers as one."""

    kind = "mixed"

    def __init__(self, bearers: Sequence[Bearer]) -> None:
        """Join the bearers of a depot, each of another kind."""
        Bearer.__init__(self)  # not by super(), which the compiled module does not have
        self._parts = bearers
        self.links: dict[str, Port] = {}
        self._of_port: dict[str, Bearer] = {}
        for bearer in self._parts:
            self.links |= bearer.links
            self._of_port |= dict.fromkeys(bearer.links, bearer)
            # The troubles and the openers of strays of each are the depot's: all have the same dict and list.
            bearer.troubles, bearer.straying = self.troubles, self.straying
        self.has_routes = any(bearer.has_routes for bearer in self._parts)
        self.hears_host = any(bearer.hears_host for bearer in self._parts)

    def parts(self) -> Sequence[Bearer]:
        """The bearers."""
        return self._parts

    def _to(self, node: str) -> Bearer:
        return next(bearer for bearer in self._parts if bearer.leads_to(node))

    def _of(self, path: Path) -> Bearer:
        return self._of_port[path.port]

    def tell(self, trouble_changed: Callable[[str, int], None], way_changed: Callable[[str, int], None]) -> None:
        """Have each bearer call these."""
        for bearer in self._parts:
            bearer.tell(trouble_changed, way_changed)

    def ask(self, recognise: Callable[[str, bytes], bool]) -> None:
        """Have each bearer ask this."""
        for bearer in self._parts:
            bearer.ask(recognise)

    def leads_to(self, node: str) -> bool:
        """True for a far node of any of them."""
        return any(bearer.leads_to(node) for bearer in self._parts)

    def reconfigure(self, network: Network, now: int) -> None:
        """Have each bearer take over a changed VC table."""
        for bearer in self._parts:
            bearer.reconfigure(network, now)

    def counters(self) -> Iterable[Counter]:
        """The counters of each."""
        return [counter for bearer in self._parts for counter in bearer.counters()]

    def open(self, node: str, category: ServiceCategory, owner: Owner) -> Path:
        """Open a path by the bearer of a far node."""
        return self._to(node).open(node, category, owner)

    def claim(self, node: str, number: int, category: ServiceCategory, owner: Owner) -> Path | None:
        """Open the path with a number by the bearer of a far node."""
        return self._to(node).claim(node, number, category, owner)

    def path_with(self, node: str, number: int) -> Path | None:
        """The open path with a number to a node, or None."""
        return self._to(node).path_with(node, number)

    def claim_rewritten(self, node: str, answers: FlowKey, category: ServiceCategory, owner: Owner) -> Path | None:
        """Open the path with these answers by the bearer of a far node."""
        return self._to(node).claim_rewritten(node, answers, category, owner)

    def path_with_answers(self, node: str, answers: FlowKey) -> Path | None:
        """The open path with these answers to a node, or None."""
        return self._to(node).path_with_answers(node, answers)

    def role_changed(self, is_active: bool, now: int) -> None:
        """Tell each whether this depot is the active one from now on."""
        for bearer in self._parts:
            bearer.role_changed(is_active, now)

    def management(self, node: str) -> Path | None:
        """The path for what a depot and a far node tell each other."""
        return self._to(node).management(node)

    def default(self, node: str) -> Path:
        """The path for packets that belong to no session."""
        return self._to(node).default(node)

    def for_unanswered(self, node: str, category: ServiceCategory, owner: Owner) -> Path:
        """The path of a flow that no server has answered yet."""
        return self._to(node).for_unanswered(node, category, owner)

    def for_answered(self, path: Path, category: ServiceCategory, owner: Owner) -> Path:
        """The path of a flow from its first answer on."""
        return self._of(path).for_answered(path, category, owner)

    def for_probe(self, node: str, owner: Owner) -> Path:
        """The path of a probe."""
        return self._to(node).for_probe(node, owner)

    def would_open(
        self, node: str, category: ServiceCategory, leaving: Iterable[Path], key: FlowKey,
    ) -> tuple[Path, str]:
        """The path that `open` would give, and why; paths of other bearers that leave make no room there."""
        bearer = self._to(node)
        return bearer.would_open(node, category, [path for path in leaving if self._of(path) is bearer], key)

    def would_share(self, node: str, category: ServiceCategory, key: FlowKey) -> tuple[Path, str]:
        """The path that `for_unanswered` gives, and why."""
        return self._to(node).would_share(node, category, key)

    def lead_to_host(self, packets_out: list[Any]) -> None:
        """Have each bearer put into this list what its way leads over the host."""
        for bearer in self._parts:
            bearer.lead_to_host(packets_out)

    def from_host(self, octets: bytes, packet: Packet, now: int) -> Sequence[Arrival] | None:
        """The arrivals that a packet of the host brings, by the bearer that knows it; None where it is a client's."""
        return next((arrivals for bearer in self._parts if bearer.hears_host
                     and (arrivals := bearer.from_host(octets, packet, now)) is not None), None)

    def frame_from_host(self, frame: PlainFrame, packet: Packet) -> Arrival | None:
        """The arrival of a frame of the host's; None for a client's."""
        return next((arrival for bearer in self._parts if bearer.hears_host
                     and (arrival := bearer.frame_from_host(frame, packet)) is not None), None)

    def route(self, destination: bytes) -> Path | None:
        """The path that a bearer has for packets for an address that is no service's, or None."""
        return next((path for bearer in self._parts if bearer.has_routes
                     and (path := bearer.route(destination)) is not None), None)

    def is_adoptable(self, path: Path) -> bool:
        """True for a stray path of its bearer."""
        return self._of(path).is_adoptable(path)

    def adopt(self, path: Path, category: ServiceCategory, owner: Owner) -> Path:
        """Give a stray path to a session."""
        return self._of(path).adopt(path, category, owner)

    def close(self, path: Path, owner: object) -> None:
        """Close the path of a session that has ended."""
        self._of(path).close(path, owner)

    def condition(self, path: Path) -> PathCondition:
        """The condition of the way of a path."""
        return self._of(path).condition(path)

    def stood_still(self, span: int, now: int) -> None:
        """Tell each that this process did not run for `span` ns until now."""
        for bearer in self._parts:
            bearer.stood_still(span, now)

    def receive(self, port: str, octets: bytes, now: int) -> Sequence[Arrival]:
        """Have the bearer of a port make packets of octets."""
        return self._of_port[port].receive(port, octets, now)

    def no_path(self) -> dict[str, Any]:
        """The keys of all of them."""
        return {key: value for bearer in reversed(self._parts) for key, value in bearer.no_path().items()}

    def describe(self, path: Path, octets: int | None, clp: int) -> PathText:
        """A path in the words of its bearer; keys of the others have their empty values."""
        text = self._of(path).describe(path, octets, clp)
        return replace(text, fields=self.no_path() | text.fields)
