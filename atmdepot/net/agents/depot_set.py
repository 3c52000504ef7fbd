"""A depot's own row in `show depots`, and the metrics of its set."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.depot.role import Role
from atmdepot.net.agents.agent import Family, Sample
from atmdepot.net.agents.rows import CounterRow
from atmdepot.net.agents.set_rows import DepotRow
from atmdepot.quantiles import quantile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.depot.peers import Peer, Peers
    from atmdepot.depot.replica import Replica
    from atmdepot.depot.replication import Replication
    from atmdepot.depot.roles import Roles
    from atmdepot.depot.watching import Watching

_NS = 1_000_000_000
_MS = 1_000_000

FAMILIES = {
    "depot_role": Family(False, "1 for the role that the depot has in its set, 0 for the others.", ("role",)),
    "depot_term": Family(False, "The term in which the depot is active, or the highest term that it has heard."),
    "replication_lag_seconds": Family(False, "Age of a change when the other depot acknowledged it, of the last 1,024 "
                                             "acknowledgements.", ("peer", "quantile")),
    "replication_behind_octets": Family(False, "Octets of the stream that the other depot has not applied.", ("peer",)),
    "replication_octets": Family(True, "Octets of the stream between the depots.", ("direction",)),
    "replication_cut_off": Family(True, "Connections of standbys that were closed: the standby was too far behind."),
    "replication_full_syncs": Family(True, "How often the depot began to send all sessions to another depot."),
    "replication_refused": Family(True, "Connections of other depots that the depot refused."),
    "replication_unread": Family(True, "Connections to other depots that ended because the other took no octet."),
    "sessions_inherited": Family(True, "Sessions that another depot of the set sent to this one."),
    "sessions_not_as_told": Family(True, "Sessions that another depot of the set sent and that are not here as they "
                                         "are there: the table is full (no-room), the VC table has no such server "
                                         "(unknown-server), or they are on the default path here (no-channel).",
                                   ("why",)),
    "opened_as_standby": Family(True, "Sessions that this depot opened while another depot of the set was active."),
    "watched_packets": Family(True, "Packets at a hot standby: copies of clients' packets (tracked), packets of no "
                                    "known session (unknown), copies not read in time (lost).", ("what",)),
    "takeovers": Family(True, "How often the depot became active, by the reason.", ("why",)),
    "takeover_gap_seconds": Family(False, "At the last takeover: the time from the last sign of life of the active "
                                          "depot until this depot was active."),
}

METRIC_OF_COUNTER: dict[str, tuple[str, tuple[str, ...]]] = {
    "replication-sent": ("replication_octets", ("tx",)), "replication-received": ("replication_octets", ("rx",)),
    "replication-cut-off": ("replication_cut_off", ()), "replication-full-syncs": ("replication_full_syncs", ()),
    "replication-refused": ("replication_refused", ()), "replication-unread": ("replication_unread", ()),
    "inherited": ("sessions_inherited", ()),
    "told-without-room": ("sessions_not_as_told", ("no-room",)),
    "told-unknown-server": ("sessions_not_as_told", ("unknown-server",)),
    "told-without-channel": ("sessions_not_as_told", ("no-channel",)),
    "opened-as-standby": ("opened_as_standby", ()), "watched": ("watched_packets", ("tracked",)),
    "watched-unknown": ("watched_packets", ("unknown",)), "watched-lost": ("watched_packets", ("lost",))}


class Standing(NamedTuple):
    """The parts of a depot that belong to its set; neither log nor replica without standby."""

    name: str
    of: str
    sessions: int
    entries: int
    opened_as_standby: int
    roles: Roles
    peers: Peers
    replication: Replication | None
    replica: Replica | None
    watching: Watching | None


def row_of(depot: Standing, now: int) -> DepotRow:
    """A depot's row."""
    roles, peers, replica = depot.roles, depot.peers, depot.replica
    row = DepotRow(
        node=depot.name, set=depot.of, role=roles.role, term=roles.term,
        since=_seconds(now - roles.since), why=roles.why, fitness=roles.fitness(now), trouble=roles.trouble,
        peers=tuple(f"{peer.name}: {peer.role}" for peer in peers.open.values()),
        edges=tuple(roles.heard.followers(depot.name, now)), sessions=depot.sessions,
        takeovers=sum(peers.takeovers.values()))
    if replica is None:
        return row
    row.inherited, row.full_syncs, row.cut_off = replica.inherited, peers.full_syncs, peers.cut_off
    if peers.last is not None:
        row.last_takeover, row.took_over = f"{peers.last.kind}: {peers.last.why}", peers.last.inherited
        row.gap = round(peers.last.gap / _NS, 3)
    (_as_active if roles.is_active else _as_standby)(row, depot)
    return row


def _as_active(row: DepotRow, depot: Standing) -> None:
    """Fill in a row from the streams to the other depots."""
    assert depot.replication is not None
    row.digest = _digest(depot.replication.digest)
    told = [peer for peer in depot.peers.open.values() if peer.reader is not None]
    if not told:
        return
    behind, slowest = max((_behind(depot.replication, peer), peer.name) for peer in told)
    row.applied, row.behind = _place(*depot.peers.open[slowest].acked), behind
    row.lag = round(max(max(peer.lags, default=0) for peer in told) / _MS, 1)
    row.full_sync = ", ".join(f"{peer.name}: {peer.reader.told} of {depot.entries}" for peer in told
                              if peer.reader is not None and peer.reader.in_snapshot)


def _as_standby(row: DepotRow, depot: Standing) -> None:
    """Fill in a row from the stream of the active depot."""
    replica, teller = depot.replica, depot.peers.teller
    assert replica is not None
    row.digest, row.applied = _digest(replica.digest), _place(*replica.applied)
    if teller is not None and teller.beat is not None and replica.in_sync:
        row.behind = max(0, teller.beat.offset - replica.offset)
    elif replica.expected and not replica.in_sync:
        row.full_sync = f"{replica.received} of {replica.expected}"


def counters_of(depot: Standing) -> Iterator[CounterRow]:
    """Counters of the links to the other depots; none without standby."""
    if depot.replica is None:
        return
    peers, replica = depot.peers, depot.replica
    for counter, value, unit in (
            ("sent", peers.sent_octets, "octets"), ("received", peers.received_octets, "octets"),
            ("full-syncs", peers.full_syncs, "times"), ("cut-off", peers.cut_off, "times"),
            ("refused", peers.refused, "connections"), ("unread", peers.unread, "connections")):
        yield CounterRow(depot.name, "replication", f"replication-{counter}", value, unit)
    for counter, value in (
            ("inherited", replica.inherited), ("told-without-room", replica.without_room),
            ("told-unknown-server", sum(replica.unknown_servers.values())),
            ("told-without-channel", replica.without_channel), ("opened-as-standby", depot.opened_as_standby)):
        yield CounterRow(depot.name, "sessions", counter, value, "sessions")
    if depot.watching is not None:
        for counter, value in (("watched", depot.watching.packets), ("watched-unknown", depot.watching.unknown),
                               ("watched-lost", depot.watching.lost)):
            yield CounterRow(depot.name, "watch", counter, value, "packets")


def samples_of(depot: Standing) -> Iterator[Sample]:
    """Metrics of a depot in a set."""
    roles, peers = depot.roles, depot.peers
    for role in Role:
        yield Sample("depot_role", roles.role is role, (role,))
    yield Sample("depot_term", roles.term)
    if depot.replication is None:
        return
    for why, count in peers.takeovers.items():
        yield Sample("takeovers", count, (why,))
    if peers.last is not None:
        yield Sample("takeover_gap_seconds", peers.last.gap / _NS)
    for peer in peers.open.values():
        if peer.reader is not None:
            yield Sample("replication_behind_octets", _behind(depot.replication, peer), (peer.name,))
            yield from _lags(peer)


def _lags(peer: Peer) -> Iterator[Sample]:
    """Quantiles of the last lags."""
    lags = sorted(peer.lags)
    for share in (0.5, 0.99, 1.0) if lags else ():
        yield Sample("replication_lag_seconds", quantile(lags, share) / _NS, (peer.name, f"{share:g}"))


def _behind(replication: Replication, peer: Peer) -> int:
    return peer.behind(replication.run, replication.log.end)


def _place(run: int, offset: int) -> str:
    return f"{run:x}:{offset}" if run else ""


def _digest(value: int) -> str:
    return f"{value:016x}"


def _seconds(span: int) -> float:
    return round(span / _NS, 3)
