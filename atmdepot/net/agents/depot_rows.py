"""Rows of `atmdepot show` that only a depot has; see `net/agents/rows.py`."""

from __future__ import annotations

from msgspec import UNSET, UnsetType, field

from atmdepot.net.agents.rows import Row


class SessionRow(Row, gc=False):
    """A session or UDP flow; `in` is from the client. The states of a UDP flow are empty; a `probe` is the depot's."""

    narrow = ("number", "client", "server", "vc", "table", "client_state", "server_state", "idle_s", "probe")

    number: int
    client: str
    service: str
    server: str
    table: str
    protocol: str
    client_state: str
    server_state: str
    vc: str
    category: str
    closed_by: str
    age: float = field(name="age_s")
    idle: float = field(name="idle_s")
    packets_in: int
    packets_out: int
    octets_in: int
    octets_out: int
    probe: bool = False


class ServerRow(Row, gc=False):
    """A server: its list (`alive` or `dead`), for how long and why; `load` is None before the first report.

    `max_sessions` is None without a bound. While it drains, `sessions` counts down, and its UDP flows may stay for
    `flows_leave_s`. Rates are of the last 5 s, with `in` from clients; those of cells are of its whole link. The times
    to connect are of the last 100 probes, None without any. `deaths` counts how often it came on the dead-list,
    `dead_s` how long it was there in all. Of a caching proxy there are the clients' `hits` and `misses`, its `fetches`
    from origins and the KB that came with them (`fetched`), and how often its counters could not be read (`unread`).
    """

    narrow = ("server", "node", "list", "for_s", "why", "draining", "sessions", "flows", "sessions_total")
    narrow_where_known = ("hits", "misses")
    wide = ("max_sessions", "new_per_s", "octets_in_per_s", "octets_out_per_s", "weight", "backup", "connect_p50_ms",
            "connect_p95_ms", "deaths", "dead_s", "link_cells_in_per_s", "link_cells_out_per_s", "flows_leave_s",
            "load", "connect_ms", "last_probe", "services")

    server: str
    node: str
    link: str
    list: str
    since: float = field(name="for_s")
    why: str
    draining: bool
    weight: int
    backup: bool
    load: float | None
    last_probe: str
    services: tuple[str, ...]
    sessions: int
    flows: int
    sessions_total: int
    max_sessions: int | None = None
    flows_leave_s: float | None = None
    new_per_s: float = 0.0
    octets_in_per_s: float = 0.0
    octets_out_per_s: float = 0.0
    link_cells_in_per_s: float = 0.0
    link_cells_out_per_s: float = 0.0
    connect_ms: float | None = None
    connect_p50_ms: float | None = None
    connect_p95_ms: float | None = None
    deaths: int = 0
    dead_s: float = 0.0
    hits: int | UnsetType = UNSET
    misses: int | UnsetType = UNSET
    fetches: int | UnsetType = UNSET
    fetched: int | UnsetType = UNSET
    unread: int | UnsetType = UNSET


class NeighbourRow(Row, gc=False):
    """A server on Ethernet as its port knows it: its MAC address, empty while none answers, and `by` whose word it is.

    `changes` counts how often it was learnt anew, `claims` what others said of it, which was not believed.
    """

    narrow = ("node", "server", "port", "mac", "by", "tx_frames", "rx_frames", "changes", "claims", "trouble")

    node: str
    server: str
    port: str
    address: str
    mac: str
    by: str
    trouble: str
    tx_frames: int
    rx_frames: int
    changes: int
    claims: int


ROWS: dict[str, type[Row]] = {"sessions": SessionRow, "servers": ServerRow, "neighbours": NeighbourRow}
