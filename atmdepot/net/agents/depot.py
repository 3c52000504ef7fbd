"""The management agent of a depot: sessions and servers, their metrics, and a depot's commands."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from atmdepot.bearer.base import Path, PortCounts
from atmdepot.config.units import Duration
from atmdepot.depot.explain import explain
from atmdepot.depot.question import Question  # noqa: TC001 - msgspec reads the annotation
from atmdepot.depot.rates import Counts
from atmdepot.depot.servers import Fault, Outcome
from atmdepot.depot.session import Session
from atmdepot.depot.sync_peer import resync
from atmdepot.errors import AtmdepotError
from atmdepot.net.agents import depot_set, proxy_counters
from atmdepot.net.agents.agent import Agent, Command, circuit_text
from atmdepot.net.agents.depot_metrics import FAMILIES, METRIC_OF_COUNTER, of_server
from atmdepot.net.agents.depot_recall import recall_counters
from atmdepot.net.agents.depot_rows import NeighbourRow, ServerRow, SessionRow
from atmdepot.net.agents.facts import Count, Fact
from atmdepot.net.agents.facts import of_server as of_server_fact
from atmdepot.net.agents.rows import CounterRow
from atmdepot.net.protection import ProtectionRequest
from atmdepot.net.takeovers import Release, Standing, Takeover, release, standing, take_over
from atmdepot.node.names import flow_ends
from atmdepot.quantiles import quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from atmdepot.atm.vc import Vc
    from atmdepot.bearer.atm import AtmBearer
    from atmdepot.bearer.ethernet import EthernetBearer
    from atmdepot.bearer.oam import NodeOam
    from atmdepot.bearer.protected import ProtectedVp
    from atmdepot.depot.forwarding import Depot
    from atmdepot.depot.servers import Server
    from atmdepot.net.agents.agent import Clock, Family, Sample, View
    from atmdepot.net.agents.set_rows import DepotRow

_NS, _MS = 1_000_000_000, 1_000_000
_RATES = ("new_per_s", "octets_in_per_s", "octets_out_per_s", "link_cells_in_per_s", "link_cells_out_per_s")
"""The rates of a row, in the order of `Counts`."""
_LONGEST_DRAIN = 366 * 86_400 * _NS  # ns: a year


class Drain(msgspec.Struct, forbid_unknown_fields=True):
    """A request to drain a server; its UDP flows leave `after` ns, by default after `udp_idle`."""

    drain: str
    after: Annotated[int, Meta(ge=0, le=_LONGEST_DRAIN)] | None = None


class Undrain(msgspec.Struct, forbid_unknown_fields=True):
    """A request to give a server new sessions again."""

    undrain: str


class Explain(msgspec.Struct, forbid_unknown_fields=True):
    """A request to explain what the depot would do with a packet."""

    explain: Question


class Resync(msgspec.Struct, forbid_unknown_fields=True):
    """A request to send or get all sessions of the set anew."""

    resync: bool


class DepotAgent(Agent):
    """The agent of a depot."""

    node: Depot
    families: ClassVar[Mapping[str, Family]] = FAMILIES | depot_set.FAMILIES | proxy_counters.FAMILIES
    metric_of_counter = METRIC_OF_COUNTER | depot_set.METRIC_OF_COUNTER | proxy_counters.METRIC_OF_COUNTER

    def not_ready(self) -> str:
        """The reason that no request gets through: no server is alive, or has answered its last probe, or no engine."""
        servers = self.node.management.servers.values()
        if not any(server.alive for server in servers):
            return "no server is alive: " + "; ".join(f"{server.name}: {server.condition.why}" for server in servers)
        probed = self.node.network.probing.probe != "none"
        if probed and not any(server.alive and server.condition.last_outcome == Outcome.ANSWERED
                              for server in servers):
            return "no server has answered a probe yet"
        if trouble := self.node.roles.engine_trouble:
            return f"ownership by {self.node.roles.settings.ownership}: {trouble}"
        if trouble := self.node.roles.servers_side_trouble:
            return f"server_gateway: {trouble}"
        return ""

    def role(self) -> str:
        """The depot's role in its set."""
        return self.node.roles.role

    def tries_not_made(self) -> int:
        """Count of probes that this host could not make."""
        return sum(server.condition.not_made for server in self.node.management.servers.values())

    def carries(self, vc: Vc) -> str:
        """The client's end of the flow that a VC carries, or its circuit; `many` when it is for many flows."""
        owner = vc.owner.owner if isinstance(vc.owner, Path) else None
        return flow_ends(owner.key)[0] if isinstance(owner, Session) else circuit_text(vc) or "many"

    def link_troubles(self) -> dict[str, str]:
        """The reports of full datagrams that the links' paths do not pass."""
        troubles: dict[str, str] = {}
        for server in self.node.management.servers.values():
            lost = server.condition.faults.get(Fault.FULL_DATAGRAMS, "")
            troubles[server.link] = troubles.get(server.link) or lost
        return troubles

    def oam(self) -> NodeOam | None:
        """The OAM of the depot's VPs."""
        atm: AtmBearer | None = self.node.bearer.part("atm")
        return None if atm is None else atm.oam

    def protected(self) -> Mapping[str, ProtectedVp]:
        """The depot's protected VPs."""
        atm: AtmBearer | None = self.node.bearer.part("atm")
        return {} if atm is None else atm.protected

    def facts(self, now: int) -> Iterator[Fact]:
        """The servers' lists, and their draining."""
        for server in list(self.node.management.servers.values()):
            yield from of_server_fact(server, now)

    def sample(self, now: int) -> None:
        """Note the servers' counts, for their rates."""
        for server in list(self.node.management.servers.values()):
            port = self.node.links.get(server.link)
            link = PortCounts() if port is None else port.counts()
            server.rates.note(Counts(server.total_sessions, server.octets_in, server.octets_out, link.tx_cells,
                                     link.rx_cells), now)

    def counts(self) -> Iterator[Count]:
        """Evictions that made room in the table, and sessions that found no VCI free."""
        tables = self.node.sessions
        for reason, count in (("half-open", tables.evicted), ("unanswered", tables.evicted_unanswered)):
            yield Count("table-full", "sessions", reason, count, "sessions", f"evicted to make room ({reason})")
        for place, counter, value, unit, *_ in self.node.bearer.counters():
            if counter == "vcis-exhausted":
                yield Count("vcis-full", place, counter, value, unit, "found no VCI free and took the default VC")

    def known_servers(self) -> Sequence[str]:
        """The names of the VC table's servers, other sets' too, and of those that a reload took out."""
        node = self.node
        return [*node.network.servers, *(server.name for server in node.management.removed())]

    def known_sessions(self, most: int) -> list[Session]:
        """The newest sessions, at most so many."""
        return self.node.sessions.index.newest(most)

    # What is shown.

    def sessions(self, limit: int, clock: Clock) -> Iterator[SessionRow]:
        """The sessions that have not ended before their turn: few of them by table and number, many in no order."""
        tables = self.node.sessions
        for entry in islice(tables.index.walk(), limit):
            session = tables.find(entry.key)
            if session is not None:
                yield _session_row(session, clock())

    def session_numbered(self, number: int, clock: Clock) -> Iterator[SessionRow | None]:
        """The session with a number, if there is one, and None for each that was looked at before."""
        tables = self.node.sessions
        session: Session
        for session in tables.index.walk():
            if session.number == number:
                if tables.find(session.key) is session:
                    yield _session_row(session, clock())
                return
            yield None

    def servers(self, limit: int, clock: Clock) -> Iterator[ServerRow]:
        """The servers: alive-list or dead-list, since when and why."""
        services: dict[str, list[str]] = {}
        for pool in self.node.management.pools.values():
            for server in pool.servers:
                services.setdefault(server.name, []).append(pool.name)
        for server in list(islice(self.node.management.servers.values(), limit)):  # a reload changes them
            yield _server_row(server, services.get(server.name, []), clock())

    def counters(self) -> Iterator[CounterRow]:
        """Counters of the session tables and of the bearer."""
        name, tables = self.node.name, self.node.sessions
        for counter, value in (("opened", tables.opened), ("primary", len(tables.primary)),
                               ("secondary", len(tables.secondary)), ("evicted-half-open", tables.evicted),
                               ("evicted-closed", tables.evicted_closed),
                               ("evicted-unanswered", tables.evicted_unanswered), ("adopted", tables.adopted)):
            yield CounterRow(name, "sessions", counter, value, "sessions")
        yield from depot_set.counters_of(self._standing())
        yield from recall_counters(name, self.node.announcing, self.node.recall)
        for server in self.node.management.servers.values():
            yield from proxy_counters.rows_of(name, server.name, server.asked)
        for of_bearer in self.node.bearer.counters():
            yield CounterRow(name, *of_bearer)

    def samples(self, clock: Clock) -> Iterator[Sample]:
        """Metrics of each server."""
        for row in self.servers(len(self.node.management.servers), clock):
            yield from of_server(row)
        yield from depot_set.samples_of(self._standing())

    def depots(self, limit: int, clock: Clock) -> Iterator[DepotRow]:
        """The depot in its set."""
        if limit:
            yield depot_set.row_of(self._standing(), clock())

    def neighbours(self, limit: int, clock: Clock) -> Iterator[NeighbourRow]:
        """The servers on Ethernet."""
        del clock
        ethernet: EthernetBearer | None = self.node.bearer.part("ethernet")
        for station in () if ethernet is None else ethernet.stations()[:limit]:
            server = self.node.management.server_at.get(station.node)
            yield NeighbourRow(self.node.name, station.node if server is None else server.name, *station[1:])

    views: ClassVar[Mapping[str, View]] = {"sessions": sessions, "servers": servers, "depots": depots,
                                           "neighbours": neighbours}

    # What is asked of it.

    def drain(self, request: Drain, now: int) -> dict[str, Any]:
        """Stop giving a server new sessions; its TCP sessions go on.

        UDP flows have no end of their own, so they get a time to leave. Raises AtmdepotError for an unknown server.
        """
        server = self._server(request.drain)
        server.draining = True
        wait = Duration(int(self.node.network.sessions.udp_idle) if request.after is None else request.after)
        server.flows_leave_at = now + wait
        done = f"{server.name} takes no new sessions; {server.primary_sessions - server.flows} go on"
        flows = f", and its UDP flows ({server.flows}) leave after {wait}" if server.flows else ""
        return {"done": done + flows}

    def undrain(self, request: Undrain, now: int) -> dict[str, Any]:
        """Give a server new sessions again. Raises AtmdepotError for an unknown server."""
        del now
        server = self._server(request.undrain)
        server.draining = False
        return {"done": f"{server.name} takes new sessions"}

    def explain(self, request: Explain, now: int) -> dict[str, Any]:
        """Explain what would be done with a packet. Raises AtmdepotError for a question that makes no packet."""
        try:
            packet = request.explain.packet()
        except ValueError as error:
            raise AtmdepotError(str(error)) from None
        return {"explanation": explain(self.node, packet, now)}

    def resync(self, request: Resync, now: int) -> dict[str, Any]:
        """Have all sessions sent anew: to this depot, or to all others if it is active. Raises AtmdepotError."""
        del request, now
        return {"done": resync(self.node)}

    def take_over(self, request: Takeover, now: int) -> dict[str, Any]:
        """Begin to become the active depot of the set. Raises AtmdepotError to refuse."""
        return take_over(self.node.roles, request, now)

    def release(self, request: Release, now: int) -> dict[str, Any]:
        """Begin to hand over to another depot of the set. Raises AtmdepotError to refuse."""
        return release(self.node.roles, request, now)

    def standing(self, request: Standing, now: int) -> dict[str, Any]:
        """The depot's role in its set."""
        del request
        return standing(self.node.roles, self.node.network.name_of_set_of(self.node.name), now)

    commands: ClassVar[Mapping[str, Command]] = {
        "takeover": Command(Takeover, take_over), "release": Command(Release, release),
        "role": Command(Standing, standing, changes=False),
        "resync": Command(Resync, resync),
        "drain": Command(Drain, drain), "undrain": Command(Undrain, undrain),
        "protection": Command(ProtectionRequest, Agent.move),
        "explain": Command(Explain, explain, changes=False)}

    def _standing(self) -> depot_set.Standing:
        node = self.node
        return depot_set.Standing(
            node.name, node.network.name_of_set_of(node.name), node.count_sessions(),
            len(node.sessions.primary) + len(node.sessions.secondary), node.opened_as_standby, node.roles, node.peers,
            node.replication, node.replica, node.watching)

    def _server(self, name: str) -> Server:
        servers = self.node.management.servers
        if name not in servers:
            raise AtmdepotError(f"there is no server \"{name}\": the servers are {', '.join(servers)}")
        return servers[name]


def _session_row(session: Session, now: int) -> SessionRow:
    client, service = flow_ends(session.key)
    return SessionRow(
        number=session.number, client=client, service=service, server=session.server.name,
        table=session.table, protocol="TCP" if session.is_tcp else "UDP",
        client_state=session.client.state if session.is_tcp else "",
        server_state=session.server_side.state if session.is_tcp else "",
        vc=session.path.label, category=session.category, closed_by=session.closed_by,
        age=round((now - session.opened) / _NS, 3), idle=round((now - session.last_seen) / _NS, 3),
        packets_in=session.packets_in, packets_out=session.packets_out,
        octets_in=session.octets_in, octets_out=session.octets_out, probe=session.probe)


def _server_row(server: Server, services: list[str], now: int) -> ServerRow:
    condition, settings = server.condition, server.settings
    measured: dict[str, Any] = dict(zip(_RATES, server.rates.per_second(), strict=True))
    measured |= _connect_times(condition.connect_times) | _of_a_proxy(server)
    return ServerRow(
        server=server.name, node=settings.node, link=server.link, list="alive" if server.alive else "dead",
        since=round((now - condition.since) / _NS, 3), why=condition.why, draining=server.draining,
        weight=settings.weight, backup=settings.backup,
        load=None if server.load is None else round(server.load, 3), last_probe=condition.last_outcome or "",
        services=tuple(services), sessions=server.primary_sessions, flows=server.flows,
        sessions_total=server.total_sessions, max_sessions=settings.max_sessions or None,
        flows_leave_s=round(max(0, server.flows_leave_at - now) / _NS, 3) if server.draining else None,
        deaths=condition.deaths,
        dead_s=round((condition.dead_time + (0 if server.alive else now - condition.since)) / _NS, 3), **measured)


def _connect_times(times: Sequence[int]) -> dict[str, float]:
    """The time to connect: the last, the median and the 95th percentile; nothing before the first."""
    ordered = sorted(times)
    return {} if not ordered else {
        "connect_ms": round(times[-1] / _MS, 3), "connect_p50_ms": round(quantile(ordered, 0.5) / _MS, 3),
        "connect_p95_ms": round(quantile(ordered, 0.95) / _MS, 3)}


def _of_a_proxy(server: Server) -> dict[str, int]:
    """The columns that only a caching proxy has."""
    told = server.proxy
    return {} if told is None else {"hits": told.hits, "misses": told.misses, "fetches": told.fetches,
                                    "fetched": told.fetched, "unread": told.unread}
