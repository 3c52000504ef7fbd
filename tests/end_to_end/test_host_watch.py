"""A set-up that is taken from a running daemon's host comes back; one that a killed daemon left goes with the next."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.sites import VIP, VIP6, Site, end, site, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.namespaces

LOSSES = {
    "down and up": ["ip link set atm0 down", "ip link set atm0 up"],
    "down": ["ip link set atm0 down"],
    "MTU": ["ip link set atm0 mtu 1280"],
    "small MTU": ["ip link set atm0 mtu 576"],
    "name": ["ip link set atm0 down", "ip link set atm0 name elsewhere"],
}
OF_DEPOT = {
    "a rival": [f"ip route replace {VIP}/32 dev lo", f"ip -6 route replace {VIP6}/128 dev lo"],
    "routes": ["ip route flush dev atm0", "ip -6 route flush dev atm0"],
    "one route": [f"ip route del {VIP}"],
}
OF_EDGE = {
    "rules": [f"ip rule del from {VIP}", f"ip -6 rule del from {VIP6}"],
    "all rules": ["ip rule flush", "ip rule add lookup main pref 32766", "ip rule add lookup default pref 32767",
                  "ip -6 rule flush", "ip -6 rule add lookup main pref 32766"],
    "table": ["ip route flush table 5300", "ip -6 route flush table 5300"],
    "addresses": [f"ip addr del {VIP}/32 dev lo", f"ip addr del {VIP6}/128 dev lo"],
    "loopback": ["ip link set lo down", "ip link set lo up"],
    "rival": ["ip route replace default dev lo table 5300"],
    "rp_filter": ["sh -c 'echo 1 > /proc/sys/net/ipv4/conf/atm0/rp_filter'"],
}
CASES = [*((node, name) for name in LOSSES for node in ("depot", "web1")),
         *(("depot", name) for name in OF_DEPOT), *(("web1", name) for name in OF_EDGE)]


@pytest.fixture(scope="module")
def frail(needs: Callable[[str], None]) -> Iterator[Site]:
    needs("curl")
    needs("ip")
    with site("direct") as made:
        yield made


def host(it: Site, node: str) -> str:
    """All of a node's links, addresses, routes and rules."""
    commands = ["ip -o link show dev atm0", "ip -o addr", "ip rule", "ip -6 rule", "ip route show table all",
                "ip -6 route show table all", "cat /proc/sys/net/ipv4/conf/atm0/rp_filter"]
    done = it.run(node, "sh", "-c", "; ".join(commands), check=False).stdout
    # An interface that is made anew has another number.
    lines = (re.sub(r"^\d+: (atm0|lo)", r"\1", line.split(" expires ")[0]).strip() for line in done.splitlines())
    # Whose link-local addresses and routes there are is the kernel's own business.
    return "\n".join(sorted(line for line in lines if "fe80::" not in line and "multicast" not in line))


def serves(it: Site) -> bool:
    """True when a page of each server comes to each address."""
    for vip in (VIP, f"[{VIP6}]"):
        ask = f"curl -gs -m 1 http://{vip}/server"
        got = it.run("client", "sh", "-c", f"{ask}; {ask}", check=False)
        if sorted(got.stdout.split()) != ["web1", "web2"]:
            return False
    return True


@pytest.mark.parametrize(("node", "name"), CASES, ids=lambda word: word)
def test_lost_interfaces_and_routes_are_restored(frail: Site, node: str, name: str) -> None:
    until(lambda: serves(frail))
    before = host(frail, node)
    restored = frail.counters(node)["host", "restored"]
    for command in (LOSSES | OF_DEPOT | OF_EDGE)[name]:
        frail.run(node, "sh", "-c", command)
    until(lambda: serves(frail) and host(frail, node) == before)
    assert frail.counters(node)["host", "restored"] > restored
    assert frail.counters(node)["host", "missing"] == 0
    assert frail.counters(node).get(("tun", "vanished")) is None
    assert "Traceback" not in (frail.lab.directory / f"{node}.log").read_text()


# Stopped and killed.


@pytest.mark.parametrize("node", ["depot", "web1"])
def test_a_stop_after_a_kill_and_a_start_cleans_the_host(needs: Callable[[str], None], node: str) -> None:
    needs("ip")
    with site("direct") as made:
        os.kill(made.pid(node), signal.SIGTERM)
        until(lambda: made.lab.state.processes[node].exit_code is not None)
        clean = host(made, node)
        first = made.start(node)
        set_up = host(made, node)
        end(first, signal.SIGKILL)
        second = made.start(node)
        assert host(made, node) == set_up
        assert serves(made)
        assert end(second, signal.SIGTERM) == 0
        assert host(made, node) == clean
        assert not (made.lab.directory / f"{node}.host").exists()
