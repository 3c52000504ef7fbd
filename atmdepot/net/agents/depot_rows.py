"""Rows of `atmdepot show` that only a depot has; see `net/agents/rows.py`."""

from __future__ import annotations

from msgspec import field

from atmdepot.net.agents.rows import Row


class SessionRow(Row, gc=False):
    """A session or UDP flow; times in seconds, `in` is from the client. The states of a UDP flow are empty."""

    narrow = ("number", "client", "server", "vc", "table", "client_state", "server_state", "idle")

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
    age: float
    idle: float
    packets_in: int
    packets_out: int
    octets_in: int
    octets_out: int


class ServerRow(Row, gc=False):
    """A server: its list (`alive` or `dead`), for how long (s) and why; `load` is None before the first report."""

    narrow = ("server", "node", "list", "for", "why", "draining", "sessions", "flows", "sessions_total")

    server: str
    node: str
    link: str
    list: str
    since: float = field(name="for")
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
