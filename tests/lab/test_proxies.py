"""The lab's plan, servers and configuration for a pool of caching proxies."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.reading import find, load, parse
from atmdepot.errors import AtmdepotError, EnvironmentLacks
from atmdepot.lab import proxies
from atmdepot.lab import web as webs
from atmdepot.lab.pages import ORIGIN
from atmdepot.lab.plan import plan_of
from atmdepot.paths import find_program

if TYPE_CHECKING:
    from pathlib import Path

TABLE = find("proxies").read_text()
HEAD, SERVICE = TABLE[:TABLE.index("[nodes.proxy1]")], TABLE[TABLE.index("[services."):]
ON_ETHERNET = HEAD + "".join(f'[servers.proxy{number}]\nbearer = "ethernet"\nport = "eth1"\n'
                             f'address = ["10.62.0.1{number}"]\n' for number in (1, 2, 3)) + SERVICE


@pytest.mark.parametrize("text", [TABLE, ON_ETHERNET], ids=["edge nodes", "on Ethernet"])
def test_origin_and_proxies_share_a_lan_on_which_neither_client_nor_depot_is(text: str) -> None:
    plan = plan_of(parse(text))
    assert plan.nodes[ORIGIN] == "server"
    ends = {wire.ends[0].node: [address.local for address in wire.ends[0].addresses]
            for wire in plan.wires_of(proxies.ORIGIN_LAN)}
    assert ends == {ORIGIN: ["198.51.100.1", "2001:db8:51::1"], "proxy1": ["198.51.100.2", "2001:db8:51::2"],
                    "proxy2": ["198.51.100.3", "2001:db8:51::3"], "proxy3": ["198.51.100.4", "2001:db8:51::4"]}


def test_squid_stands_where_a_server_is_a_proxy_and_a_web_server_at_the_origin() -> None:
    origin, *others = webs.web_servers(load("proxies"))
    assert (origin.node, origin.ports, origin.is_proxy) == (ORIGIN, (80,), False)
    assert [(web.node, web.ports, web.is_proxy) for web in others] == [
        (f"proxy{number}", (3128,), True) for number in (1, 2, 3)]
    assert not any(web.is_proxy or web.node == ORIGIN for web in webs.web_servers(load("direct")))


def test_a_node_called_origin_is_refused() -> None:
    with pytest.raises(AtmdepotError, match=r"nodes\.origin: "):
        plan_of(parse(TABLE.replace("proxy3", "origin")))


@pytest.mark.skipif(find_program("squid") is None, reason="squid is not installed")
def test_squid_accepts_its_configuration_and_all_its_files_are_recorded(tmp_path: Path) -> None:
    web = webs.web_servers(load("proxies"))[1]
    webs.command_of(tmp_path, load("proxies"), web, None)
    done = subprocess.run([find_program("squid") or "", "-k", "parse", "-f", str(tmp_path / "proxy1/squid.conf")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if "ERROR" in line or "WARN" in line]
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} <= set(webs.made_paths(web))


def test_without_squid_the_lab_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "find_program", lambda name: None)
    with pytest.raises(EnvironmentLacks, match="install squid"):
        webs.command_of(tmp_path, load("proxies"), webs.web_servers(load("proxies"))[1], None)


def test_squid_is_asked_by_vips_by_the_depot_and_by_addresses_that_it_writes_into_packets(tmp_path: Path) -> None:
    network = parse(find("rewrite").read_text().replace("ports = [80]", "ports = [3128]\nproxies = true"))
    proxies.lay_out(tmp_path, network, "web3", (3128,))
    [askers] = [line.split()[3:] for line in (tmp_path / "squid.conf").read_text().splitlines() if "acl asker" in line]
    assert {"10.80.0.1", "fd00:80::1", "10.9.0.1", "10.71.0.1", "fd00:71::1"} <= set(askers)
