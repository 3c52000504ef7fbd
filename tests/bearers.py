"""The bearers as the suites in memory run over them: how a table puts a server behind each, and its far end.

A test that takes `each_bearer` (`pytestmark = over_each_bearer`) runs once for each row: `make_network` and
`InMemoryNetwork` then use that bearer. A new bearer is a row here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.routed_servers import RoutedServer
from tests.stations import Station

if TYPE_CHECKING:
    from collections.abc import Callable

    from atmdepot.config.model import Network


class BearerRow(NamedTuple):
    """A bearer: the lines of a table for the server of a number and name, and what stands at the far end."""

    lines: Callable[[int, str, str], list[str]]
    """The number and name of a server, and the text of a VP, to lines."""
    far_end: Callable[[Network, str], Any] | None = None
    """The stand-in for a server without an edge node, of its name; edge nodes are the real ones."""


def _behind_atm(number: int, name: str, vp: str) -> list[str]:
    return [
        f"[nodes.{name}]", 'kind = "edge"', f'address = ["10.255.0.{number + 1}", "fd00:255::{number + 1}"]',
        f"[links.to-{name}]",
        f'ends = {{ depot = "127.0.0.1:{6000 + number}", {name} = "127.0.0.1:{7000 + number}" }}',
        f"[vps.{name}]", f'ends = ["depot", "{name}"]', f"vpi = {number}", vp,
        f"[servers.{name}]", f'node = "{name}"']


def _on_ethernet(number: int, name: str, _vp: str) -> list[str]:
    """Put the servers on two interfaces in turn, the even ones found by IPv6."""
    address = f"10.60.0.{number + 10}" if number % 2 else f"fd00:60::{number + 10}"
    return [f"[servers.{name}]", 'bearer = "ethernet"', f'port = "eth{number % 3 // 2 + 1}"',
            f'address = ["{address}"]']


def _rewritten(number: int, name: str, _vp: str) -> list[str]:
    """Put the servers on a network of their own, the even ones with another port."""
    return [f"[servers.{name}]", 'bearer = "rewrite"', f'address = ["10.70.0.{number + 10}", "fd00:70::{number + 10}"]',
            *(["listen_port = 8080"] if number % 2 == 0 else [])]


def _on_frame_relay(number: int, name: str, vp: str) -> list[str]:
    """Put the servers behind PVCs; a DLCI for each session where the VP's text has a VCI for each."""
    own = ['session_dlcis = "200-991"'] if "session_vcis" in vp else []
    mtu = [line for line in vp.splitlines() if line.startswith("mtu")] or ["mtu = 9180"]
    return [
        f"[nodes.{name}]", 'kind = "edge"', f'address = ["10.255.0.{number + 1}", "fd00:255::{number + 1}"]',
        f"[links.to-{name}]", 'bearer = "frame-relay"',
        f'ends = {{ depot = "127.0.0.1:{6000 + number}", {name} = "127.0.0.1:{7000 + number}" }}',
        f"[dlcis.{name}]", f'ends = ["depot", "{name}"]', "dlci = 100", *own, *mtu,
        f"[servers.{name}]", 'bearer = "frame-relay"', f'node = "{name}"']


def _mixed(number: int, name: str, vp: str) -> list[str]:
    """Put the servers behind ATM, Ethernet, rewritten headers and Frame Relay in turn."""
    return (_on_frame_relay, _behind_atm, _on_ethernet, _rewritten)[number % 4](number, name, vp)


ROWS = {
    "atm": BearerRow(_behind_atm),
    "ethernet": BearerRow(_on_ethernet, Station),
    "frame-relay": BearerRow(_on_frame_relay),
    "rewrite": BearerRow(_rewritten, RoutedServer),
    "mixed": BearerRow(_mixed),
}
"""By the bearer's name in a VC table; `mixed` is several in a table."""

_chosen = ["atm"]


def chosen() -> str:
    """The bearer over which the test runs."""
    return _chosen[-1]


@pytest.fixture(params=list(ROWS), scope="module")
def each_bearer(request: pytest.FixtureRequest) -> Any:
    """Run a module's tests over each bearer in turn."""
    _chosen.append(request.param)
    yield request.param
    _chosen.pop()


over_each_bearer = pytest.mark.usefixtures("each_bearer")
of_atm = pytest.mark.of_atm
"""Marks a test of a module that runs over each bearer: it looks at channels of ATM, and runs over that alone."""


def runs(item: pytest.Item) -> bool:
    """False for a test `of_atm` over another bearer."""
    over = getattr(item, "callspec", None)
    return over is None or item.get_closest_marker("of_atm") is None or over.params.get("each_bearer") == "atm"
