from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from atmdepot.paths import find_program
from tests.end_to_end.sites import Site, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = {"curl": "curl", "ab": "apache2-utils", "ping": "iputils-ping", "nginx": "nginx", "nft": "nftables",
            "ip": "iproute2", "tc": "iproute2", "iperf3": "iperf3", "keepalived": "keepalived", "etcd": "etcd-server",
            "bird": "bird2", "faketime": "faketime", "dnsmasq": "dnsmasq-base", "squid": "squid",
            "chromium": "chromium", "chromedriver": "chromium-driver", "wrk": "wrk"}


@pytest.fixture(scope="package")
def needs() -> Callable[[str], None]:
    """`needs("ab")`: without the program the test is skipped, but in CI it fails."""
    def look(program: str) -> None:
        # Where an ordinary user's PATH has no sbin, nginx is found as the lab finds it.
        if find_program(program):
            return
        reason = f"{program} is not installed (Debian and Ubuntu have it in the package {PACKAGES[program]})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    return look


@pytest.fixture(scope="package")
def direct(needs: Callable[[str], None]) -> Iterator[Site]:
    """The lab of `direct`, for tests that leave it as it was."""
    needs("curl")
    with site("direct") as made:
        yield made
