"""Readable names: the two ends of a flow."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from atmdepot.wire.flows import flow_of_key
from atmdepot.wire.ip import endpoint

if TYPE_CHECKING:
    from atmdepot.wire.flows import FlowKey


@lru_cache(maxsize=4096)
def flow_ends(key: FlowKey) -> tuple[str, str]:
    """Client and service of a flow as text."""
    _, source, sport, destination, dport = flow_of_key(key)
    return endpoint(source, sport), endpoint(destination, dport)
