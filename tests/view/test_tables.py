"""The tables of `top`: sorted, filtered, and each row about something."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atmdepot.config.reading import load
from atmdepot.view import tables
from atmdepot.view.model import Model
from atmdepot.view.tables import Order, Row, arranged
from tests.effort import examples

values = st.one_of(st.integers(-5, 5), st.floats(-5, 5), st.sampled_from(["", "web1", "WEB2", "to-web1"]))
rows = st.lists(st.builds(lambda number, one, other: Row(str(number), {"a": one, "b": other}), st.integers(0, 99),
                          values, values), max_size=12)


@given(rows, st.sampled_from(["", "web", "WEB 1", "zz"]), st.sampled_from(["", "a", "b", "none"]), st.booleans())
@examples(80)
def test_rows_are_filtered_and_sorted(found: list[Row], words: str, column: str, down: bool) -> None:
    shown = arranged(found, words, Order(column, down))
    assert all(row in found for row in shown)
    for row in found:
        has_all = all(any(word in str(value).lower() for value in row.values.values())
                      for word in words.lower().split())
        assert has_all == (row in shown)
    numbers = [value for row in shown if isinstance(value := row.values.get(column), int | float)]
    assert numbers == sorted(numbers, reverse=down) or not column
    if not column:
        assert shown == [row for row in found if row in shown]


def test_each_row_leads_to_its_subject() -> None:
    network = load("backbone")
    model = Model(network, elsewhere=["berlin"])
    model.happen(1, "drop", "paris", "cells", ("link", "d-paris"), bad=True)
    tick = model.tick(10**18)
    assert [row.subject for row in tables.links(tick, network)] == [("link", name) for name in network.links]
    assert [row.subject for row in tables.nodes(tick, network)] == [("node", name) for name in network.nodes]
    assert {row.values["daemon"] for row in tables.nodes(tick, network)} == {"silent", "elsewhere"}
    assert [row.subject for row in tables.servers(tick)] == [("server", name) for name in network.servers]
    [event] = tables.events(model.ticks, str)
    assert (event.subject, event.look) == (("link", "d-paris"), "bad")


def test_the_vcs_that_carry_most_come_first() -> None:
    found = tables.vcs([{"node": "sw", "link": "l", "vc": "1/2", "tx_cells": 1, "rx_cells": 1},
                        {"node": "sw", "link": "l", "vc": "3", "tx_cells": 9, "rx_cells": 0}])
    assert [row.subject for row in found] == [("link", "l"), ("vc", "l 1/2")]
