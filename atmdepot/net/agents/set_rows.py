"""Rows of `atmdepot show depots`: depots in their sets, and the depots that edge nodes follow; see `rows.py`."""

from __future__ import annotations

from msgspec import UNSET, UnsetType, field

from atmdepot.net.agents.rows import Row


class DepotRow(Row, gc=False):
    """A depot in its set, or at an edge node (role `edge`) the depot that the set's edge follows.

    `for_s` is the time (s) in the role, `why` the reason for it; at an edge node the time since it heard the depot.
    `peers` are the other depots by their links, `edges` the edge nodes that follow this one. `sessions` are all entries
    of the primary table, `inherited` those that only the stream told of. `applied` is how far the log is applied, as
    run:offset: here in a standby, and at the slowest peer in the active; `behind` are the octets of the log that are
    not, `lag_ms` the greatest of the last lags (ms). `full_sync` tells of one under way. `takeovers` are the times that
    this depot became active while it ran, `gap_s` is the time (s) at the last from the last sign of the active before,
    `took_over` how many sessions it had then.
    """

    narrow = ("node", "set", "role", "term", "for_s", "fitness", "peers", "edges", "sessions", "behind", "lag_ms",
              "follows")

    node: str
    set: str
    role: str
    term: int
    since: float | UnsetType = field(name="for_s", default=UNSET)
    why: str | UnsetType = UNSET
    fitness: int | UnsetType = UNSET
    trouble: str | UnsetType = UNSET
    peers: tuple[str, ...] | UnsetType = UNSET
    edges: tuple[str, ...] | UnsetType = UNSET
    sessions: int | UnsetType = UNSET
    inherited: int | UnsetType = UNSET
    applied: str | UnsetType = UNSET
    behind: int | UnsetType = UNSET
    lag: float | UnsetType = field(name="lag_ms", default=UNSET)
    full_sync: str | UnsetType = UNSET
    full_syncs: int | UnsetType = UNSET
    cut_off: int | UnsetType = UNSET
    takeovers: int | UnsetType = UNSET
    last_takeover: str | UnsetType = UNSET
    gap: float | UnsetType = field(name="gap_s", default=UNSET)
    took_over: int | UnsetType = UNSET
    digest: str | UnsetType = UNSET
    follows: str | UnsetType = UNSET


ROWS: dict[str, type[Row]] = {"depots": DepotRow}
