"""The interface of a bearer: it carries packets to a far node on paths, over ports. ATM is the bearer in `atm.py`.

The depot decides which server serves, a bearer how a packet gets there. A bearer opens and closes paths, and turns the
octets that a port receives into packets, each with its path. Output waits at its port until the node asks for it
(`Port.transmit`). All times are arguments, in ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from atmdepot.config.contract import ServiceCategory
    from atmdepot.config.model import Network
    from atmdepot.drops import DropReason, Drops
    from atmdepot.wire.flows import FlowKey
    from atmdepot.wire.offload import PlainFrame
    from atmdepot.wire.packet import Arrival, Packet


class PathCondition(NamedTuple):
    """Counts of a port: packets received whole, damaged, and with congestion experienced.

    `fillers_sent` counts the datagrams of full length sent, and `idle_received` the units of filling received. On an
    `is_detour` way packets cross another port, so that these two say nothing of it.
    """

    whole: int = 0
    damaged: int = 0
    congested: int = 0
    fillers_sent: int = 0
    idle_received: int = 0
    is_detour: bool = False

    def share_since(self, earlier: PathCondition) -> float:
        """The share of the packets since `earlier` that were damaged or met congestion: 0 to 1."""
        whole, damaged = self.whole - earlier.whole, self.damaged - earlier.damaged
        bad = damaged + self.congested - earlier.congested
        return bad / (whole + damaged) if whole + damaged > 0 else 0.0


class PortCounts(NamedTuple):
    """Counts of a port's cells, and of its PDUs where it sees them: for a port of frames, each frame is a PDU.

    `late` left later than the link's rate allowed.
    """

    rx_cells: int = 0
    tx_cells: int = 0
    unassigned_cells: int = 0
    hec_corrected: int = 0
    rx_pdus: int | None = None
    tx_pdus: int | None = None
    late: int = 0


class Counter(NamedTuple):
    """A counter of a bearer, for `show counters`: the place that it counts for, its name, value and unit."""

    place: str
    name: str
    value: int
    unit: str
    meaning: str = ""


class QueueCounts(NamedTuple):
    """A queue of a port's output: its room and what it holds (and held at most), and totals.

    `shaped` wait for the time of their contracts, beside the room. `marked` left with congestion experienced.
    """

    name: str
    room: int
    held: int
    most: int
    shaped: int
    entered: int
    left: int
    dropped: int
    marked: int


class PathText(Struct, frozen=True):
    """A path in words, for people, and `fields` for programs, whose keys are the bearer's (`Bearer.no_path`).

    `stage` is the bearer's word for a path (`VC`), `name` the path's own name (`1/64`), `place` its whole description,
    `category` its service category. `load` and `mark` say what a packet becomes on it, and how it is marked.
    """

    stage: str
    name: str
    place: str
    category: str
    load: str
    mark: str
    fields: dict[str, Any]


NEVER = 1 << 62
"""A time (ns) that does not come."""


class Port:
    """A port of a node, as its bearer uses it: output waits here, and received octets become packets here.

    Output that a port shapes or schedules waits until `due` (ns); a port `is_timed` if its output ever waits so.
    """

    is_timed = False
    medium = "cells"
    """The kind of octets that cross the port: a daemon opens it by this (`net/ports.py`), and a trace reads it so."""
    reasons: Sequence[DropReason] = ()
    """The reasons by which the port drops; empty for those of cells."""

    def __init__(self, name: str, drops: Drops) -> None:
        self.name = name
        self.drops = drops
        self.number = 0
        self.due = NEVER
        self.ready: list[int] = []
        """The numbers of the node's ports that have output; the node's ports share the list."""

    def transmit(self, now: int) -> bytes:
        """Remove and return the octets to send, in order; empty when no output is due.

        That may be a part, as much as a system call takes: then the port is ready again.
        """
        raise NotImplementedError

    def keep_frames(self, wanted: bool) -> None:
        """Have packets that follow one another become frames, where the bearer can."""

    def fill(self, count: int) -> bytes:
        """Make a datagram of `count` units of filling, and count it as sent."""
        raise NotImplementedError

    def frames_in(self, octets: bytes) -> Sequence[bytes]:
        """The frames in octets that cross the port, as a trace shows them; not of a port of cells."""
        return (octets,) if octets else ()

    def peer(self) -> str:
        """The far end of the port in words, where it is no link of the VC table."""
        return ""

    def channels(self) -> int:
        """The number of its open channels."""
        raise NotImplementedError

    def condition(self) -> PathCondition:
        """The condition of the way to this end, in totals; a caller compares two of them."""
        raise NotImplementedError

    def counts(self) -> PortCounts:
        """The units and packets that crossed the port."""
        raise NotImplementedError

    def queues(self) -> Sequence[QueueCounts]:
        """The queues of its output; none where output never waits."""
        return ()

    def next_timer(self) -> int | None:
        """The time (ns) at which `handle_timer` is next due, or None."""
        raise NotImplementedError

    def handle_timer(self, now: int) -> None:
        """Do the work that is due."""
        raise NotImplementedError


class Path:
    """A channel to a far node.

    `owner` is its only session, None for a path that packets of many sessions share. Packets of `is_management` are for
    the node itself. A path that `is_routed` carries packets by their destination, without sessions (`Bearer.route`).
    """

    __slots__ = ("is_management", "is_routed", "mtu", "node", "owner", "port")

    node: str
    port: str
    mtu: int
    owner: object
    is_management: bool
    is_routed: bool

    @property
    def channel(self) -> tuple[int, ...]:
        """The numbers by which the bearer tells the path from others of its port."""
        raise NotImplementedError

    def number(self) -> int:
        """The number of a session's own path, by which both its ends and the other depots of a set know it; else 0."""
        return 0

    def answers(self) -> FlowKey:
        """The flow of the answers on a session's own path that rewrites headers, by which other depots know it.

        Empty where packets stay as they are.
        """
        return b""

    @property
    def label(self) -> str:
        """The path in a word, for rows about sessions."""
        return "/".join(map(str, self.channel))

    def send(self, packet: bytes, clp: int) -> None:
        """Send a packet of at most `mtu` octets; `clp` is 1 when it may be lost first."""
        raise NotImplementedError

    def send_frame(self, frame: PlainFrame, clp: int) -> None:
        """Send the packets of a frame, each of at most `mtu` octets."""
        for packet in frame.packets():
            self.send(packet, clp)

    def takes(self, packet: Packet) -> bool:
        """True for a packet that may come on this path, which `is_routed`."""
        raise NotImplementedError


class Owner(Protocol):
    """The session of a path."""

    @property
    def key(self) -> FlowKey:
        """The flow, as its client sees it."""


class Bearer:
    """The paths of a node to its far nodes, each named by the far node."""

    kind = ""
    """Its name in the VC table."""

    def __init__(self) -> None:
        self.links: Mapping[str, Port] = {}
        self.straying: list[Any] = []
        """The openers of stray paths: for packets on channels that no session uses. Empty most of the time."""
        self.recognise: Callable[[str, bytes], bool] | None = None
        """True when the octets may begin a packet from a node that is worth a stray path."""
        self.troubles: dict[str, str] = {}
        """The troubles of the ways to far nodes, in words, by node; a way without trouble is not in it."""
        self.trouble_changed: Callable[[str, int], None] | None = None
        """Called with a far node and the time (ns) when the trouble of the way to it changes."""
        self.way_changed: Callable[[str, int], None] | None = None
        """Called with a far node and the time (ns) when packets take another way to it from now on."""
        self.has_routes = False
        """True when `route` may give a path."""
        self.hears_host = False
        """True when packets of far nodes come from the host, too: `from_host` tells which."""

    def parts(self) -> Sequence[Bearer]:
        """The bearers that this one is made of: itself."""
        return (self,)

    def part(self, kind: str) -> Any:
        """The bearer of a kind that this one is or has, for what is that bearer's own; None where it has none."""
        return next((bearer for bearer in self.parts() if bearer.kind == kind), None)

    def tell(self, trouble_changed: Callable[[str, int], None], way_changed: Callable[[str, int], None]) -> None:
        """Call these from now on as `trouble_changed` and `way_changed` have it."""
        self.trouble_changed, self.way_changed = trouble_changed, way_changed

    def ask(self, recognise: Callable[[str, bytes], bool]) -> None:
        """Ask this from now on, as `recognise` has it."""
        self.recognise = recognise

    def leads_to(self, node: str) -> bool:
        """True for a far node of this bearer's."""
        raise NotImplementedError

    def reconfigure(self, network: Network, now: int) -> None:
        """Take over the servers of a changed VC table; raise ValueError, and change nothing, for what cannot be."""

    def counters(self) -> Iterable[Counter]:
        """Counters beside those of its ports."""
        return ()

    def open(self, node: str, category: ServiceCategory, owner: Owner) -> Path:
        """Open a path for a new session: its own, or, where the bearer has no channel free, a shared path."""
        raise NotImplementedError

    def claim(self, node: str, number: int, category: ServiceCategory, owner: Owner) -> Path | None:
        """Open the path with a number (`Path.number`) that another depot of the set gave to a session.

        None while the number is taken, is no session's, or where paths have no numbers.
        """
        return None

    def path_with(self, node: str, number: int) -> Path | None:
        """The open path with a number (`Path.number`) to a node, or None."""
        return None

    def claim_rewritten(self, node: str, answers: FlowKey, category: ServiceCategory, owner: Owner) -> Path | None:
        """Open the path with these answers (`Path.answers`) that another depot of the set gave to a session.

        None while an open path has them, and where headers are not rewritten.
        """
        return None

    def path_with_answers(self, node: str, answers: FlowKey) -> Path | None:
        """The open path to a node with these answers (`Path.answers`), or None."""
        return None

    def role_changed(self, is_active: bool, now: int) -> None:
        """Note that this depot is the active one of its set from now on, or stands by."""

    def management(self, node: str) -> Path | None:
        """The path for what a depot and a far node tell each other; None where the bearer has none."""
        return None

    def default(self, node: str) -> Path:
        """The path for packets that belong to no session."""
        raise NotImplementedError

    def for_unanswered(self, node: str, category: ServiceCategory, owner: Owner) -> Path:
        """The path of a flow that no server has answered yet: where channels are few it is shared, for the floods."""
        raise NotImplementedError

    def for_answered(self, path: Path, category: ServiceCategory, owner: Owner) -> Path:
        """The path of a flow from its first answer on, in place of the one before: its own."""
        return self.open(path.node, category, owner)

    def for_probe(self, node: str, owner: Owner) -> Path:
        """The path of a probe, a session of the depot's own host."""
        return self.default(node)

    def would_open(
        self, node: str, category: ServiceCategory, leaving: Iterable[Path], key: FlowKey,
    ) -> tuple[Path, str]:
        """The path that `open` would give a flow once the sessions of `leaving` had ended, and why; opens no path."""
        raise NotImplementedError

    def would_share(self, node: str, category: ServiceCategory, key: FlowKey) -> tuple[Path, str]:
        """The path that `for_unanswered` gives, and why."""
        raise NotImplementedError

    def lead_to_host(self, packets_out: list[Any]) -> None:
        """Put packets and frames whose way leads over the depot's own host into this list from now on."""

    def from_host(self, octets: bytes, packet: Packet, now: int) -> Sequence[Arrival] | None:
        """The arrivals that a packet of the host brings; None where it is no far node's, but a client's.

        There are none where it is held, went on or was dropped (and counted).
        """
        return None

    def frame_from_host(self, frame: PlainFrame, packet: Packet) -> Arrival | None:
        """The arrival of a far node's frame from the host; None for a client's, or to take it packet by packet."""
        return None

    def route(self, destination: bytes) -> Path | None:
        """The path that the VC table gives packets for an address (4 or 16 octets) that is no service's, or None."""
        return None

    def is_adoptable(self, path: Path) -> bool:
        """True for a stray path, which a session may adopt. A bearer without strays has none."""
        return False

    def adopt(self, path: Path, category: ServiceCategory, owner: Owner) -> Path:
        """Give a stray path to a session."""
        raise NotImplementedError

    def close(self, path: Path, owner: object) -> None:
        """Close the path of a session that has ended, if it was the session's own."""
        raise NotImplementedError

    def close_strays(self) -> None:
        """Close the stray paths that no session has adopted, unless part of a packet waits on them."""
        for opener in self.straying:
            opener.close_strays()
        self.straying[:] = [opener for opener in self.straying if opener.strays]

    def condition(self, path: Path) -> PathCondition:
        """The condition of the way of a path to this end, in totals."""
        return self.links[path.port].condition()

    def stood_still(self, span: int, now: int) -> None:
        """Note that this process did not run for `span` ns until now, so that no far node counts as silent."""

    def receive(self, port: str, octets: bytes, now: int) -> Sequence[Arrival]:
        """Take octets from a port; return the packets that they complete."""
        raise NotImplementedError

    def no_path(self) -> dict[str, Any]:
        """The keys of `PathText.fields`, each with its value where no path is known."""
        raise NotImplementedError

    def describe(self, path: Path, octets: int | None, clp: int) -> PathText:
        """A path in words, and what a packet of `octets` octets becomes on it; None for no packet."""
        raise NotImplementedError
