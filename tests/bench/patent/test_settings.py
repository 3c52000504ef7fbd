"""The file that fixes the small servers: read, changed, refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atmdepot.bench.patent import settings
from atmdepot.errors import AtmdepotError
from tests.bench.patent.made import small

if TYPE_CHECKING:
    from pathlib import Path


def test_the_shipped_file_is_the_checkouts() -> None:
    assert settings.shipped().name == "small-servers.toml"
    assert small().server.period_ms == 5


def test_ten_requests_fit_a_server_and_twenty_do_not() -> None:
    assert small().server.backlog + 1 >= 10
    assert small().server.places < 20


def test_each_change_changes_one_parameter() -> None:
    base = small().server
    for change in small().changes():
        changed = small().changed(change)
        different = [name for name in changed.__struct_fields__ if getattr(changed, name) != getattr(base, name)]
        assert different == [change.partition("=")[0]]
    assert small().changed("") == base


@pytest.mark.parametrize(("old", "new", "told"), [
    ("quota = 0.25", "quota = 2", "server.quota"),
    ("backlog = 9", 'backlog = "many"', "server.backlog"),
    ("processes = 5", "workers = 5", "workers"),
    ("period_ms = 5", "period_ms = 1", "period_ms"),
    ("quota = [0.2,", "quota = [0.15,", "range.quota"),
    ("[server]", "[server", "no TOML"),
    ("syn_retries = 2", "", "syn_retries"),
])
def test_a_mistake_is_told_with_file_and_field(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(settings.shipped().read_text().replace(old, new, 1))
    with pytest.raises(AtmdepotError, match=told) as error:
        settings.load(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(AtmdepotError, match="cannot be read"):
        settings.load(tmp_path / "none.toml")
