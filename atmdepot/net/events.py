"""The records that a running node sends to its tracers, in the order of the events.

The records cross the control socket as MessagePack arrays (`[tag, field, ...]`, see `net/stream.py`). Times are
wall-clock nanoseconds since 1970. `node` is not sent: the receiver fills it in, since a connection belongs to a single
node.
"""

from __future__ import annotations

import msgspec


# gc=False spares the garbage collector the records, which cannot be part of a reference cycle.
class Cells(msgspec.Struct, array_like=True, tag="cells", gc=False):
    """Cells that crossed a link together.

    `direction` is `in` or `out`, as the node sees it; `octets` are whole cells of 53, HEC included, back to back.
    """

    time: int
    link: str
    direction: str
    octets: bytes
    node: str = ""


class FrameSeen(msgspec.Struct, array_like=True, tag="frame", gc=False):
    """A frame that crossed a port of another kind than ATM: `medium` is the port's (`Port.medium`)."""

    time: int
    link: str
    direction: str
    medium: str
    octets: bytes
    node: str = ""


class Drop(msgspec.Struct, array_like=True, tag="drop", gc=False):
    """A drop: cells, PDUs, packets or datagrams that were not forwarded.

    `link` is empty when the node itself dropped them. `reason` is a `DropReason`; its `unit` is the unit of `count`.
    `octets` is the beginning of the dropped data: a cell with its HEC, an IP packet, a CPCS-PDU, a datagram; empty
    where only the number is known. `vc` is VPI and VCI, where they are known.
    """

    time: int
    link: str
    reason: str
    count: int
    octets: bytes = b""
    vc: tuple[int, ...] | None = None
    node: str = ""


class SessionChange(msgspec.Struct, array_like=True, tag="session", gc=False):
    """A change of state of a session at the depot.

    `event` is `known` (the session existed when the trace began), `opened` (a server and a VC were chosen),
    `established`, `closed` (it left the primary table), `revived` (it came back) or `gone` (its VC is free again).
    `why` gives the reason. For `opened` it is how the server was chosen: the balancing criterion, the use of a backup,
    or `probe`. For `closed` and `gone` it is FIN, RST, the time that ran out, or the cause of an eviction. `client`
    and `service` are address and port. UDP flows and the depot's own probes have numbers, too.
    """

    time: int
    number: int
    event: str
    protocol: str
    client: str
    service: str
    server: str
    link: str
    vc: tuple[int, ...]
    category: str
    why: str = ""
    node: str = ""


class Missed(msgspec.Struct, array_like=True, tag="missed", gc=False):
    """Counts of records lost since the previous record, for lack of room: the trace was slower than the node."""

    time: int
    cells: int = 0
    drops: int = 0
    sessions: int = 0
    node: str = ""


class Watermark(msgspec.Struct, array_like=True, tag="watermark", gc=False):
    """A time up to which a node's trace is complete: all its records of times before `time` were sent before this.

    This does not hold when the wall clock is set back: then a record or watermark with an earlier time follows.
    """

    time: int
    node: str = ""


Record = Cells | FrameSeen | Drop | SessionChange | Missed
"""A record of an event."""
Told = Record | Watermark
"""A message on the control socket."""
