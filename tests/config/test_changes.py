"""The words of a reload: every value that differs, with its place, and nothing else."""

from __future__ import annotations

import pytest

from atmdepot.config.changes import changes, told
from atmdepot.config.reading import find, load, parse, shipped_tables

DIRECT = find("direct").read_text()


@pytest.mark.parametrize("table", shipped_tables())
def test_nothing_differs_from_the_same_table(table: str) -> None:
    assert changes(load(find(table)), load(find(table))) == []


@pytest.mark.parametrize(("old", "new", "found"), [
    ('node = "web2"', 'node = "web2"\nweight = 3', ["servers.web2.weight: 1 -> 3"]),
    ("[services.web]", '[services.more]\nvip = ["10.80.0.2"]\nports = [81]\nservers = ["web1"]\n[services.web]',
     ["services.more: new"]),
    ('servers = ["web1", "web2"]', 'servers = ["web1"]', ["services.web.servers: [web1,web2] -> [web1]"]),
    ('name = "direct"', 'name = "direct"\nsessions.idle = "5min"', ["sessions.idle: 20min -> 5min"])])
def test_a_value_is_told_with_its_place_as_the_table_writes_it(old: str, new: str, found: list[str]) -> None:
    before, after = parse(DIRECT, "t"), parse(DIRECT.replace(old, new, 1), "t")
    assert changes(before, after) == found
    assert len(changes(after, before)) == len(found)


def test_a_long_list_is_counted_and_an_empty_one_is_said() -> None:
    assert told([]) == "nothing changed"
    assert told([str(n) for n in range(25)]).endswith("; 19; and 5 more")
