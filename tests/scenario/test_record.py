from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.scenario.record import Looks, Totals
from tests.effort import examples

GROWN = st.lists(st.integers(0, 100), max_size=5)


@examples(50)
@given(st.integers(0, 1000), st.lists(GROWN, min_size=1, max_size=5))
def test_totals_go_on_over_the_ends_of_daemons(before: int, lives: list[list[int]]) -> None:
    totals = Totals()
    totals.feed([("x", before)])
    value, expected = before, 0
    for life, growths in enumerate(lives):
        value = 0 if life else value
        for grown in growths:
            value += grown
            before_restart = expected
            expected = before_restart + grown
            totals.feed([("x", value)])
    found = dict(totals.items())["x"]
    # A counter that a restart has reset is only seen to be so when it is below what it was.
    assert found == expected if len(lives) == 1 else found <= expected


def counters(**values: int) -> list[dict[str, Any]]:
    return [{"place": "here", "counter": name.replace("_", ":", 1), "value": value} for name, value in values.items()]


def server(name: str, **more: Any) -> dict[str, Any]:
    return {"server": name, "list": "alive", "draining": False, "sessions": 1, "sessions_total": 5} | more


def test_a_sample_has_what_the_daemons_show() -> None:
    looks = Looks(["depot1", "depot2"], ["web1"])
    row = {"node": "depot1", "role": "active", "term": 3, "digest": "7"}
    other = {"node": "depot2", "role": "standby", "term": 2, "digest": "7"}
    shown: dict[str, Any] = {
        "depot1": {"counters": counters(drop_a=5, opened=1), "servers": [server("web1")], "depots": [row],
                   "links": [{"link": "one", "tx_cells": 3, "rx_cells": 4}]},
        "depot2": {"counters": counters(drop_a=1), "servers": [server("web1", list="dead")], "depots": [other]},
        "web1": {"depots": [{"node": "web1", "follows": "depot1"}],
                 "links": [{"link": "one", "tx_cells": 4, "rx_cells": 2}]}}
    looks.sample(0.0, shown)
    shown["depot1"]["counters"] = counters(drop_a=9, drop_multicast=3, opened=4)
    shown["depot1"]["links"][0]["rx_cells"] = 10
    seen = looks.sample(1.0, shown)
    assert (seen.drops, seen.counters["opened"]) == ({"a": 4, "multicast": 3, "all": 4}, 3)
    assert (seen.condition, seen.sessions) == ({"web1": "alive"}, {"web1": 1})
    assert (seen.roles, seen.terms) == ({"depot1": "active", "depot2": "standby"}, {"depot1": 3, "depot2": 2})
    assert (seen.follows, seen.links, seen.same_sessions) == ({"web1": "depot1"}, {"one": 6}, True)
    other["digest"] = "8"
    assert not looks.sample(2.0, shown).same_sessions
    del shown["depot1"]
    silent = looks.sample(3.0, shown)
    assert (silent.roles["depot1"], silent.same_sessions, silent.condition) == ("", False, {"web1": "dead"})
    assert silent.drops["a"] == 4
