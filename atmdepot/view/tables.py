"""The tables of `atmdepot top`: rows of what a tick tells, sorted and filtered. Pure: it knows no screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from atmdepot.config.model import Network
    from atmdepot.view.ticks import Tick

Subject = tuple[str, str]
"""The subject of a row: its kind and name, as in a request for details."""

Value = str | int | float


class Row(NamedTuple):
    """A row: its values by column, what it is about, and how it stands out (`bad`, `good`, or empty)."""

    key: str
    values: Mapping[str, Value]
    subject: Subject | None = None
    look: str = ""


class Order(NamedTuple):
    """The order of a table: by a column, the greatest first with `down`; without a column as the rows come."""

    column: str = ""
    down: bool = True


def links(tick: Tick, network: Network) -> list[Row]:
    """The links, with what crosses them both ways."""
    rows = []
    for name, link in tick.links.items():
        settings = network.links.get(name)
        ends = list(settings.ends) if settings is not None else ["", ""]
        state = link.trouble or ("impaired" if link.impaired else "ok")
        rows.append(Row(name, {
            "link": name, "from": ends[0], "there/s": round(link.there), "back/s": round(link.back), "to": ends[-1],
            "cells": link.total, "drops": link.drops, "condition": state,
        }, ("link", name), "bad" if link.trouble else ""))
    return rows


def nodes(tick: Tick, network: Network) -> list[Row]:
    """The nodes, with the condition of their daemons."""
    return [Row(name, {
        "node": name, "kind": network.nodes[name].kind if name in network.nodes else "", "daemon": node.state,
        "role": "" if node.role == "alone" else node.role,
        "cells": "each is seen" if node.mode == "every" else "counted, sampled",
    }, ("node", name), "bad" if node.state == "silent" else "") for name, node in tick.nodes.items()]


def servers(tick: Tick) -> list[Row]:
    """The servers, with their sessions and condition."""
    return [Row(name, {
        "server": name, "sessions": server.sessions, "opened": server.opened, "closed": server.closed,
        "since start": server.total, "condition": "drains" if server.draining else server.list, "why": server.why,
    }, ("server", name), "bad" if server.list != "alive" else "") for name, server in tick.servers.items()]


def drops(tick: Tick) -> list[Row]:
    """The drops since the view began, by node and reason."""
    rows = []
    for key, count in tick.drops.items():
        node, _, reason = key.partition(" ")
        rows.append(Row(key, {"node": node, "reason": reason, "dropped": count}, ("node", node), "bad"))
    return rows


def events(ticks: Iterable[Tick], clock: Any) -> list[Row]:
    """The events of the last minute, the newest first; `clock` makes text of a time (ns)."""
    rows = [Row(str(event.number), {"time": clock(event.time), "node": event.node, "event": event.text}, event.subject,
                "bad" if event.bad else "") for tick in ticks for event in tick.events]
    return rows[::-1]


def vcs(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The rows of `show vcs` of all nodes, those that carry most first."""
    found = [Row(f"{row.get('node')} {row.get('link')} {row.get('vc')}", {
        "node": str(row.get("node", "")), "link": str(row.get("link", "")), "VC": str(row.get("vc", "")),
        "category": str(row.get("category") or ""), "carries": str(row.get("carries") or ""),
        "tx cells": int(row.get("tx_cells") or 0), "rx cells": int(row.get("rx_cells") or 0),
    }, ("vc", f"{row.get('link')} {row.get('vc')}") if "/" in str(row.get("vc")) else ("link", str(row.get("link"))))
        for row in rows]
    return sorted(found, key=lambda row: -int(row.values["tx cells"]) - int(row.values["rx cells"]))


def sessions(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Row]:
    """The rows of `show sessions` without probes, each with its depot; the newest first."""
    found = [Row(f"{depot}/{row.get('number')}", {
        "session": int(row.get("number") or 0), "client": str(row.get("client", "")),
        "server": str(row.get("server", "")), "VC": str(row.get("vc", "")),
        "client state": str(row.get("client_state", "")), "server state": str(row.get("server_state", "")),
        "octets in": int(row.get("octets_in") or 0), "octets out": int(row.get("octets_out") or 0),
    }, ("session", f"{depot}/{row.get('number')}")) for depot, row in rows if not row.get("probe")]
    return sorted(found, key=lambda row: -int(row.values["session"]))


def arranged(rows: Sequence[Row], words: str, order: Order) -> list[Row]:
    """The rows that have all of the words in some value, in an order."""
    wanted = words.lower().split()
    kept = [row for row in rows if all(any(word in str(value).lower() for value in row.values.values())
                                       for word in wanted)]
    if order.column:
        kept.sort(key=lambda row: _sortable(row.values.get(order.column, "")), reverse=order.down)
    return kept


def _sortable(value: Value) -> tuple[bool, float, str]:
    """A key by which numbers stand among numbers, and texts among texts."""
    return (True, float(value), "") if isinstance(value, int | float) else (False, 0.0, value.lower())
