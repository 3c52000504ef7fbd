"""Tables for people."""

from __future__ import annotations

import pytest

from atmdepot.tables import make_table


@pytest.mark.parametrize("rows", [[{"cells": 7}, {"cells": 12}], [{"cells": ""}, {"cells": 12}], [{}, {"cells": 0.5}]])
def test_numbers_are_to_the_right_also_where_a_row_has_none(rows: list[dict[str, object]]) -> None:
    assert make_table("links", ["node", "cells"], rows).columns[1].justify == "right"


def test_words_are_to_the_left() -> None:
    assert make_table("links", ["node"], [{"node": "sw1"}]).columns[0].justify == "left"
