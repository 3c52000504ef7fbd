"""20,000 requests by ab, none of them failed; and each connection of the client is a session of the depot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import VIP, Site

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.namespaces

REQUESTS = 20_000


@pytest.mark.parametrize("at_once", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_no_request_fails(direct: Site, needs: Callable[[str], None], at_once: int) -> None:
    needs("ab")
    drops, opened, reused = direct.drops(), direct.count("opened"), direct.kernel("client", "Tcp.ActiveOpens")
    done = direct.run("client", "ab", "-q", "-n", str(REQUESTS), "-c", str(at_once), f"http://{VIP}/1KB")
    told = dict(re.findall(r"^([A-Z][A-Za-z ]+):\s+(\d+)", done.stdout, re.MULTILINE))
    assert (int(told["Complete requests"]), int(told["Failed requests"])) == (REQUESTS, 0)
    assert "Non-2xx" not in done.stdout
    assert int(told["Document Length"]) == 1024
    # ab opens a few connections more than it needs; the client's kernel knows how many.
    [connections] = direct.kernel("client", "Tcp.ActiveOpens")
    assert REQUESTS <= connections - reused[0] <= REQUESTS + 2 * at_once
    assert direct.count("opened") - opened == connections - reused[0]
    assert direct.drops() == drops
    sessions = [row["sessions_total"] for row in direct.rows("servers")]
    assert abs(sessions[0] - sessions[1]) <= 1, "round robin"
