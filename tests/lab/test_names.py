"""The lab's name server: its records, and a table with aliases where it is not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import NetworkError, find, load, parse
from atmdepot.errors import EnvironmentLacks
from atmdepot.lab import names

if TYPE_CHECKING:
    from pathlib import Path

CLUSTERS = find("clusters").read_text(encoding="utf-8")


def test_each_address_of_an_alias_has_a_record() -> None:
    assert names.records(load("clusters")) == [
        f"host-record=www.example.net,{vip}" for vip in ("10.80.0.1", "fd00:80::1", "10.80.0.2", "fd00:80::2")]


def test_table_without_an_alias_needs_no_name_server() -> None:
    assert names.has_aliases(load("clusters"))
    assert not names.has_aliases(load("direct"))


def test_missing_name_server_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(EnvironmentLacks, match="dnsmasq-base"):
        names.lay_out(tmp_path, load("clusters"))


@pytest.mark.parametrize("alias", ["www example", "", "-www", "www.", "a\\nhost-record=x,1.2.3.4", "www,example"])
def test_alias_is_a_name_of_dns(alias: str) -> None:
    """It goes into a configuration file, so no other text may."""
    with pytest.raises(NetworkError, match="alias"):
        parse(CLUSTERS.replace('"www.example.net"', f'"{alias}"', 1))
