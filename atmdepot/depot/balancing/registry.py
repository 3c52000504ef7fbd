"""The class of each balancing criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.balancing.hashing import Maglev, SourceHash
from atmdepot.depot.balancing.least_connections import (
    LeastConnections,
    LeastLoad,
    RandomOfTwo,
    WeightedLeastConnections,
)
from atmdepot.depot.balancing.round_robin import RoundRobin, WeightedRoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.depot.balancing.base import Balancer

BALANCERS: dict[str, Callable[[], Balancer]] = {
    "round-robin": RoundRobin,
    "weighted-round-robin": WeightedRoundRobin,
    "least-connections": LeastConnections,
    "weighted-least-connections": WeightedLeastConnections,
    "least-load": LeastLoad,
    "random-of-two": RandomOfTwo,
    "source-hash": SourceHash,
    "maglev": Maglev,
}
"""The class of each criterion, by its name in a VC table."""
