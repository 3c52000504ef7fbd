"""A tick: the state of a network over half a second. Structs become JSON for the page as they are."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

Mode = Literal["every", "counted"]
"""`every`: each cell is seen. `counted`: there are too many, so cells and sessions are counted."""

Kind = Literal["session", "probe", "management", "oam", "other"]
"""The content of a train's cells."""

NodeState = Literal["up", "silent", "elsewhere"]
"""`silent`: its daemon does not answer. `elsewhere`: it has no daemon on this machine."""


class NodeNow(Struct, gc=False):
    """A node: what is known of its daemon."""

    state: NodeState
    mode: Mode = "every"
    role: str = ""


class LinkNow(Struct, gc=False):
    """A link: cells (or frames) per second in both directions; `there` is from the first end of its wire."""

    there: float = 0.0
    back: float = 0.0
    total: int = 0
    drops: int = 0
    trouble: str = ""
    impaired: bool = False
    cut: bool = False
    """True when a page has cut it."""
    servers: dict[str, float] = field(default_factory=dict)
    """Shares of its cells by server, as far as they are known."""
    categories: dict[str, float] = field(default_factory=dict)
    """Shares by service category."""


class ServerNow(Struct, gc=False):
    """A server: open sessions, and those that opened and closed in this tick."""

    sessions: int = 0
    opened: int = 0
    closed: int = 0
    total: int = 0
    list: str = "alive"
    why: str = ""
    draining: bool = False


class Train(Struct, array_like=True, gc=False):
    """Cells of one VC that crossed a link together; `there` as in LinkNow, `kind` what they carry."""

    time: int
    link: str
    there: bool
    cells: int
    server: str
    category: str
    kind: Kind
    session: int = 0


class Happening(Struct, gc=False):
    """An event of the time line. `subject` is what it is about: its kind and name, as in a request for details."""

    number: int
    time: int
    kind: str
    node: str
    text: str
    subject: tuple[str, str] | None = None
    server: str = ""
    bad: bool = False


class Tick(Struct, gc=False):
    """All that is shown of half a second; `time` is its end, in ns since 1970."""

    number: int
    time: int
    nodes: dict[str, NodeNow]
    links: dict[str, LinkNow]
    servers: dict[str, ServerNow]
    drops: dict[str, int]
    """Drops since the beginning of the view, by `node reason`."""
    trains: list[Train]
    trains_left_out: int
    events: list[Happening]
    events_left_out: int
