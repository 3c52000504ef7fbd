"""Beyond one LAN: etcd decides which depot of a set is active, and BIRD tells a router by BGP, with BFD and ECMP."""

from __future__ import annotations

import json
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from atmdepot.lab import Lab
from atmdepot.net.control_client import ask
from tests.end_to_end.owned import PATIENCE, until
from tests.net.real_etcd import arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]

RECIPE = Path(__file__).parents[2] / "testbed" / "bgp"
VIP = "10.80.0.1"
OWN = {"10.9.0.3": "depot1", "10.9.0.4": "depot2", "10.9.0.1": "depot3"}


class Site:
    """The lab of the recipe; its node `client` is the router."""

    def __init__(self, lab: Lab, directory: str) -> None:
        self.lab, self._directory = lab, directory
        self._started = ExitStack()

    def start(self, node: str, *command: str) -> None:
        """Start a program in a node, until the end."""
        process = self.lab.popen(node, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._started.callback(process.wait, PATIENCE)
        self._started.callback(process.terminate)

    def bird(self, node: str, configuration: str) -> None:
        """Start BIRD in a node."""
        self.start(node, "bird", "-f", "-c", str(RECIPE / configuration), "-s", f"{self._directory}/{node}.bird",
                   "-P", f"{self._directory}/{node}.bird.pid")

    def end(self) -> None:
        self._started.close()

    def hops(self) -> list[str]:
        """The depots to which the router's route to the service leads."""
        told = self.lab.run("client", ["ip", "-j", "route", "show", f"{VIP}/32"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout
        routes = json.loads(told or "[]")
        hops = [hop for route in routes for hop in route.get("nexthops", [route])]
        return sorted(OWN[hop["gateway"]] for hop in hops)

    def role(self, node: str) -> dict[str, Any]:
        return next(ask(Path(self.lab.directory) / f"{node}.sock", {"role": True}))


@contextmanager
def bgp() -> Iterator[Site]:
    """The recipe, running."""
    with tempfile.TemporaryDirectory(prefix="atmdepot-test-") as directory, patch.dict(
            "os.environ", {"ATMDEPOT_RUN_DIR": directory}), Lab.up(
            RECIPE / "bgp.toml", wait=False, timeout=PATIENCE) as lab:
        site = Site(lab, directory)
        try:
            site.start("client", *arguments(directory, "10.9.0.2:2379", "127.0.0.1:2380"))
            site.bird("client", "router.conf")
            for node in OWN.values():
                site.bird(node, f"{node}.conf")
            yield site
        finally:
            site.end()


def test_the_route_follows_the_active_depot_and_is_shared_by_the_sets(needs: Callable[[str], None]) -> None:
    for program in ("bird", "etcd", "ip"):
        needs(program)
    with bgp() as site:
        until(lambda: len(site.hops()) == 2)
        (first,) = {"depot1", "depot2"} & set(site.hops())
        second = {"depot1": "depot2", "depot2": "depot1"}[first]
        assert site.role(first)["role"] == "active"
        before = site.role(first)["term"]

        site.lab.kill(first)
        until(lambda: site.hops() == sorted([second, "depot3"]))
        until(lambda: site.role(second)["role"] == "active")
        assert site.role(second)["term"] > before

        site.lab.start(first)
        until(lambda: site.role(first)["role"] in ("joining", "standby"))
        assert site.hops() == sorted([second, "depot3"]), "who comes back takes nothing over"

        site.lab.remove(second)  # the host: nobody is left to revoke a lease or to withdraw a route
        until(lambda: site.hops() == sorted([first, "depot3"]))
        site.lab.remove("depot3")
        until(lambda: site.hops() == [first])
