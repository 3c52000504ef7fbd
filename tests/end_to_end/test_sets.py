"""Two sets of two depots on two hosts, behind one route that shares flows (ECMP); one host is lost and comes back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import find
from tests.end_to_end.sites import KEEP_ALIVE, PATIENCE, VIP, VIP6, Site, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]

HOST1, HOST2 = ("host1-a", "host1-b"), ("host2-a", "host2-b")
CONNECTIONS = 64
"""Connections of the client's program: four for each VIP that is named, and it is given 16."""


@pytest.fixture(scope="module")
def sets(needs: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A loaded machine may be late: a depot is given up after a second of silence."""
    needs("curl")
    needs("keepalived")
    table = tmp_path_factory.mktemp("tables") / "sets.toml"
    text = find("sets").read_text(encoding="utf-8")
    table.write_text(re.sub(r"^vrid = \d+$", r'\g<0>\nsilence = "1s"', text, flags=re.MULTILINE), encoding="utf-8")
    with site(table, watched=True) as made:
        yield made


def role(it: Site, depot: str) -> tuple[str, list[str]]:
    """The role of a depot, and those of its peers as it knows them."""
    [row] = it.rows("depots", depot)
    return row["role"], row["peers"]


def is_whole(it: Site) -> bool:
    """True when each host is active in one set and stands by in the other."""
    return [role(it, depot) for depot in (*HOST1, *HOST2)] == [
        ("active", ["host2-a: standby"]), ("standby", ["host2-b: active"]),
        ("standby", ["host1-a: active"]), ("active", ["host1-b: standby"])]


def test_host_that_is_active_in_one_set_and_stands_by_in_the_other_is_lost_and_comes_back(sets: Site) -> None:
    until(lambda: is_whole(sets), 2 * PATIENCE)
    with sets.helper("client", "-c", KEEP_ALIVE, *[VIP, VIP6] * 8) as client:
        assert client.stdin is not None
        assert client.stdout is not None

        def all_answer() -> None:
            client.stdin.write("\n")
            client.stdin.flush()
            assert client.stdout.readline() == "still there\n"

        opened = {depot: len(sets.rows("sessions", depot)) for depot in ("host1-a", "host2-b")}
        assert all(count >= CONNECTIONS // 8 for count in opened.values()), "ECMP spreads connections over both sets"
        sets.lab.remove(*HOST1)
        all_answer()
        assert [role(sets, depot)[0] for depot in HOST2] == ["active", "active"]
        assert sets.fetch(VIP, "10KB").server in ("web1", "web2")
        for depot in HOST1:
            sets.lab.start(depot)
        until(lambda: is_whole(sets), 2 * PATIENCE)
        all_answer()
        client.stdin.close()
        client.wait(10)
    assert sets.drops().keys() & {(depot, "depot", "drop:unknown-session") for depot in (*HOST1, *HOST2)} == set()
