"""Metrics that only a depot has: name, meaning, labels and source of the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from atmdepot.net.agents.agent import PLACE, Family, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.net.agents.depot_rows import ServerRow

_SERVER = ("server",)
_OF_PROXIES = {"hits": "Clients' requests that the caching proxy answered from its cache.",
               "misses": "Clients' requests that were no hits.",
               "fetches": "Requests of the caching proxy to origins.",
               "fetched": "KB that came from origins."}

FAMILIES = {
    "sessions": Family(False, "Entries of the primary and secondary session table.", ("table",)),
    "sessions_opened": Family(True, "Sessions that were opened."),
    "sessions_evicted": Family(True, "Entries that made room for new ones: half-open sessions, closed sessions, "
                                     "unanswered UDP flows.", ("kind",)),
    "sessions_adopted": Family(True, "Sessions that the depot did not know and took over, as after a restart."),
    "vp_vcis_exhausted": Family(True, "Sessions that found no free VCI and took the default VC.", ("vp",)),
    "server_alive": Family(False, "1 on the alive-list, 0 on the dead-list.", _SERVER),
    "server_draining": Family(False, "1 while the server gets no new sessions because of `atmdepot drain`.",
                              _SERVER),
    "server_weight": Family(False, "The server's weight in the VC table.", _SERVER),
    "server_load": Family(False, "The load in the edge node's statistics.", _SERVER),
    "server_sessions": Family(False, "The server's sessions in the primary table.", _SERVER),
    "server_flows": Family(False, "UDP flows among these sessions.", _SERVER),
    "server_sessions_opened": Family(True, "Sessions that were given to the server.", _SERVER),
    "server_deaths": Family(True, "How often the server was put on the dead-list.", _SERVER),
    "server_connect_seconds": Family(False, "Connect time of the last 100 probes.",
                                     ("server", "quantile")),
    **{f"server_proxy_{name}": Family(True, text, _SERVER) for name, text in _OF_PROXIES.items()},
}

METRIC_OF_COUNTER: dict[str, tuple[str, tuple[str, ...]]] = {
    "opened": ("sessions_opened", ()), "primary": ("sessions", ("primary",)), "secondary": ("sessions", ("secondary",)),
    "evicted-half-open": ("sessions_evicted", ("half-open",)), "evicted-closed": ("sessions_evicted", ("closed",)),
    "evicted-unanswered": ("sessions_evicted", ("unanswered",)), "adopted": ("sessions_adopted", ()),
    "vcis-exhausted": ("vp_vcis_exhausted", (PLACE,))}


def of_server(row: ServerRow) -> Iterator[Sample]:
    """Metrics of a server, from its row in `show servers`."""
    labels = (row.server,)
    yield Sample("server_alive", row.list == "alive", labels)
    yield Sample("server_draining", row.draining, labels)
    yield Sample("server_weight", row.weight, labels)
    yield Sample("server_sessions", row.sessions, labels)
    yield Sample("server_flows", row.flows, labels)
    yield Sample("server_sessions_opened", row.sessions_total, labels)
    yield Sample("server_deaths", row.deaths, labels)
    for quantile, milliseconds in (("0.5", row.connect_p50_ms), ("0.95", row.connect_p95_ms)):
        if milliseconds is not None:
            yield Sample("server_connect_seconds", milliseconds / 1000, (row.server, quantile))
    if row.load is not None:
        yield Sample("server_load", row.load, labels)
    for name in _OF_PROXIES if row.hits is not UNSET else ():
        yield Sample(f"server_proxy_{name}", getattr(row, name), labels)
