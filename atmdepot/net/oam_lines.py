"""Lines by which a daemon answers a request for OAM (`net/oam.py`), as clients read them."""

from __future__ import annotations

from msgspec import Struct, field


class Head(Struct):
    """The beginning of an answer: the VP or VC, its flow, and the node that asks."""

    name: str
    flow: str
    node: str


class Echo(Struct):
    """A loopback that has ended: its round-trip time in ns, None where nobody answered."""

    number: int
    node: str = field(name="from")
    tag: int
    round_trip: int | None


class Line(Struct):
    """A line: one of these, or what was done. Raises ValueError, as msgspec passes it on, for none."""

    oam: Head | None = None
    echo: Echo | None = None
    done: str | None = None

    def __post_init__(self) -> None:
        """Refuse a line that has none of them."""
        if self.oam is None and self.echo is None and self.done is None:
            raise ValueError("a line has `oam`, `echo` or `done`")
