"""The bearers, by their names in the VC table: the only place where a depot learns which there are.

A row has what a depot needs of a bearer. Beside it stand the bearer's rules for the table (`config/bearer_rules.py`),
the way its ports are opened (`net/ports.py`) and its needs on the host (`net/host_parts.py`), in tables like this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atmdepot.bearer.atm import AtmBearer
from atmdepot.bearer.ethernet import EthernetBearer
from atmdepot.bearer.frame_relay import RelayBearer
from atmdepot.bearer.mixed import MixedBearer
from atmdepot.bearer.rewrite import RewriteBearer

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.bearer.base import Bearer
    from atmdepot.config.model import Network
    from atmdepot.config.pools import BearerName
    from atmdepot.config.qos import QosMap


class BearerKind(NamedTuple):
    """A bearer."""

    make: Callable[[Network, str, QosMap], Bearer]
    """Makes a depot's bearer out of a VC table, for the servers that the table puts behind it."""


BEARERS: dict[BearerName, BearerKind] = {
    "atm": BearerKind(AtmBearer),
    "frame-relay": BearerKind(RelayBearer),
    "ethernet": BearerKind(EthernetBearer),
    "rewrite": BearerKind(RewriteBearer),
}
"""By `servers.X.bearer`."""


def bearer_of(network: Network, depot: str, qos: QosMap) -> Bearer:
    """The bearer of a depot of a VC table: the only one that the table uses there, or one that leads to each."""
    made = [BEARERS[name].make(network, depot, qos) for name in network.bearers_of(depot)]
    return MixedBearer(made) if len(made) > 1 else made[0]
