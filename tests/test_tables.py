"""Tables for people."""

from __future__ import annotations

import pytest

from atmdepot.tables import fitting, heading_of, make_table


@pytest.mark.parametrize("rows", [[{"cells": 7}, {"cells": 12}], [{"cells": ""}, {"cells": 12}], [{}, {"cells": 0.5}]])
def test_numbers_are_to_the_right_also_where_a_row_has_none(rows: list[dict[str, object]]) -> None:
    assert make_table("links", ["node", "cells"], rows).columns[1].justify == "right"


def test_words_are_to_the_left() -> None:
    assert make_table("links", ["node"], [{"node": "sw1"}]).columns[0].justify == "left"


@pytest.mark.parametrize(("key", "heading"), [
    ("age_s", "age (s)"), ("lag_ms", "lag (ms)"), ("octets_in_per_s", "octets in/s"), ("rate_cps", "rate (cells/s)"),
    ("tx_cells", "tx cells"), ("sessions", "sessions")])
def test_the_unit_of_a_key_stands_behind_its_heading(key: str, heading: str) -> None:
    assert heading_of(key) == heading


@pytest.mark.parametrize(("width", "columns"), [
    (10, ["node"]), (17, ["node"]), (18, ["node", "tx_cells"]), (40, ["node", "tx_cells", "why"])])
def test_columns_fill_the_terminal_in_their_order(width: int, columns: list[str]) -> None:
    rows = [{"node": "sw1", "tx_cells": 7, "why": "of no importance"}]
    assert fitting(["node"], ["tx_cells", "why"], rows, width) == columns


def test_no_value_is_an_empty_cell() -> None:
    [cell] = make_table("servers", ["load"], [{"load": None}]).columns[0].cells
    assert str(cell) == ""
