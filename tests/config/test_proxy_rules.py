"""Rules of a service whose servers are caching proxies."""

from __future__ import annotations

import pytest

from atmdepot.config.reading import find, load, parse
from atmdepot.errors import AtmdepotError

TABLE = find("proxies").read_text()


def test_the_servers_of_a_service_of_proxies_are_proxies() -> None:
    assert load("proxies").proxies == {"proxy1", "proxy2", "proxy3"}
    assert not load("direct").proxies


@pytest.mark.parametrize(("old", "new", "key"), [
    ("ports = [3128]\n", "", "ports"),
    ("ports = [3128]\n", 'ports = [3128]\nprotocols = ["udp"]\n', "protocols")])
def test_a_proxy_that_none_can_reach_is_refused(old: str, new: str, key: str) -> None:
    with pytest.raises(AtmdepotError, match=rf"services\.proxy\.{key}: "):
        parse(TABLE.replace(old, new))
