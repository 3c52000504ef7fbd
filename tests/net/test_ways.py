"""The ways to servers whose headers are rewritten, as the host tells them."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio

from atmdepot.depot.servers import Outcome
from atmdepot.net import ways
from tests.bearer.rewritten import Host

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize(("mtus", "mtu", "has_trouble"), [
    ({4: 1400, 16: 1500}, 1400, False), ({4: 1500, 16: 1280}, 1280, False), ({4: 1400, 16: None}, 1400, True),
    ({4: None, 16: None}, 1500, True)])
async def test_mtu_is_the_least_of_the_routes_to_a_server(
        monkeypatch: pytest.MonkeyPatch, mtus: Mapping[int, int | None], mtu: int, has_trouble: bool) -> None:
    host = Host()
    monkeypatch.setattr(ways, "mtu_towards", lambda address: mtus[len(address)])
    pump: Any = SimpleNamespace(clock=lambda: host.now)
    await ways.Ways(host.depot, pump)._look("web1", None)
    assert host.bearer.default("web1").mtu == mtu
    assert bool(host.bearer.troubles) is has_trouble


async def test_host_without_descriptors_left_learns_nothing_of_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    host = Host()
    monkeypatch.setattr(ways, "mtu_towards", lambda _: 1500)
    monkeypatch.setattr(trio.socket, "socket", refused)
    pump: Any = SimpleNamespace(clock=lambda: host.now)
    await ways.Ways(host.depot, pump)._look("web1", Outcome.SILENT)
    assert not host.bearer.troubles
