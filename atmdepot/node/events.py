"""What a running node tells those who trace it, in the order in which it happens.

The records cross the control socket as MessagePack arrays (`[tag, field, ...]`, see `net/stream.py`). Times are
wall-clock nanoseconds since 1970. `node` does not cross: whoever receives the records fills it in, since a
connection is one node's.
"""

from __future__ import annotations

import msgspec


class Cells(msgspec.Struct, array_like=True, tag="cells", gc=False):
    """Cells as they crossed a link in one go.

    `direction` is `in` or `out`, as the node sees it; `octets` are whole cells of 53, HEC included, back to back.
    """

    time: int
    link: str
    direction: str
    octets: bytes
    node: str = ""


class Drop(msgspec.Struct, array_like=True, tag="drop", gc=False):
    """Something that was not forwarded.

    `link` is empty when it was no link that dropped it; `reason` is a `DropReason`, whose `unit` says what is counted.
    `octets` is the beginning of what was dropped: a cell with its HEC, an IP packet, a CPCS-PDU, a datagram; empty
    where there is nothing to show. `vc` is VPI and VCI, where they are known.
    """

    time: int
    link: str
    reason: str
    count: int
    octets: bytes = b""
    vc: tuple[int, int] | None = None
    node: str = ""


class SessionChange(msgspec.Struct, array_like=True, tag="session", gc=False):
    """A session of the depot's was opened, became established, was closed, came back, or is gone.

    `event` is `known` (it was there when the trace began), `opened` (a server and a VC were chosen), `established`,
    `closed` (it left the primary table), `revived` or `gone` (its VC is free again). `why` says why: for `opened`
    how the server was chosen (the balancing criterion, whether a backup was, or `probe`), for `closed` and `gone` FIN,
    RST, which time ran out, or what took its place. `client` and `service` are address and port. UDP flows and the
    depot's own probes have numbers, too.
    """

    time: int
    number: int
    event: str
    protocol: str
    client: str
    service: str
    server: str
    link: str
    vc: tuple[int, int]
    category: str
    why: str = ""
    node: str = ""


class Missed(msgspec.Struct, array_like=True, tag="missed", gc=False):
    """What the node saw but had no room for, since the record before: the trace was slower than the node."""

    time: int
    cells: int = 0
    drops: int = 0
    sessions: int = 0
    node: str = ""


class Watermark(msgspec.Struct, array_like=True, tag="watermark", gc=False):
    """How far a node is: all that it has to tell of times before `time` was sent before this.

    It is so unless the wall clock is set back; then a record or watermark comes whose time is before this one's.
    """

    time: int
    node: str = ""


Record = Cells | Drop | SessionChange | Missed
"""What happened."""
Told = Record | Watermark
"""What crosses the control socket."""
