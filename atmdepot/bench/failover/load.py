"""Orders for the client of `bench failover`, as JSON on its standard input."""

from __future__ import annotations

from msgspec import Struct


class Pool(Struct, frozen=True):
    """Sessions with exponential lifetimes: their mean in seconds, the share of new sessions that are of this pool.

    `talk` is the time between two requests of a session in seconds; 0: it is idle until the failure is over.
    """

    mean: float
    share: float
    talk: float


class Load(Struct, frozen=True):
    """The address to ask, and the way to ask.

    Each `every_ms` a new session is opened, and one of `ring` sessions, which are kept, asks.
    """

    address: str
    port: int
    every_ms: float = 5.0
    ring: int = 200
    pools: tuple[Pool, ...] = (Pool(1.0, 0.45, 0.0), Pool(1.0, 0.4, 0.25), Pool(10.0, 0.1, 0.0), Pool(10.0, 0.05, 0.5))


class Failure(Struct, frozen=True):
    """A failure that has just been made.

    Attributes:
        at: when, in ns of the monotonic clock.
        after: seconds until requests count as asked after it (until a planned takeover is over, for example).
        patience: seconds that sessions have from `at` on to answer again.

    """

    at: int
    after: float = 0.3
    patience: float = 3.5
