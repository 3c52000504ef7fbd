"""Plans of labs with several depots: the LANs, their addresses, the client's routes; and what such a lab cannot do."""

from __future__ import annotations

import pytest

from atmdepot.config.reading import find, load, parse
from atmdepot.errors import AtmdepotError
from atmdepot.lab.plan import Plan, Route, plan_of
from tests.config.test_set_rules import STANDBY, THIRD

SETS = find("sets").read_text(encoding="utf-8")


def addresses(plan: Plan, *wires: str) -> dict[str, list[str]]:
    """The addresses at the first end of wires: that of a node on a LAN."""
    found = {wire.name: [f"{one.local}/{one.prefix}" for one in wire.ends[0].addresses] for wire in plan.wires}
    return {name: found[name] for name in wires}


def test_client_and_depots_have_the_first_addresses_that_are_no_gateway() -> None:
    plan = plan_of(load("standby"))
    assert plan.nodes["lan.clients"] == plan.nodes["sync.main"] == "lan"
    assert addresses(plan, "client.lan", "depot1.client", "depot2.client", "depot1.sync", "depot2.sync") == {
        "client.lan": ["10.9.0.2/24", "fd00:9::2/64"], "depot1.client": ["10.9.0.3/24", "fd00:9::3/64"],
        "depot2.client": ["10.9.0.4/24", "fd00:9::4/64"], "depot1.sync": ["10.60.0.1/24"],
        "depot2.sync": ["10.60.0.2/24"]}
    assert plan.routes == (Route("", ("10.9.0.1",)), Route("", ("fd00:9::1",)))
    assert (list(plan.daemons), plan.hubs) == (["depot1", "depot2", "web1", "web2"], ())
    assert plan.routers == list(plan.daemons)


def test_only_a_hot_set_makes_the_lan_a_hub() -> None:
    assert plan_of(load("hot")).hubs == ("lan.clients",)


def test_route_of_the_client_is_shared_by_the_gateways_of_all_sets() -> None:
    plan = plan_of(load("sets"))
    assert plan.routes == (Route("", ("10.9.0.1", "10.9.0.2")), Route("", ("fd00:9::1", "fd00:9::2")))
    assert plan.route_to("10.80.0.1").gateways == ("10.9.0.1", "10.9.0.2")


def test_route_to_a_vip_leads_only_over_sets_that_serve_it() -> None:
    lines = ["[services.own]", 'vip = ["10.80.0.2"]', "ports = [80]", 'servers = ["web9"]',
             "[servers.web9]", 'node = "web9"', "[nodes.web9]", 'kind = "edge"']
    for number, depot in enumerate(("host1-a", "host2-a"), 1):
        ends = f'{depot} = "10.57.{number}.1:5600", web9 = "10.57.{number}.2:5600"'
        lines += [f"[links.{depot}-web9]", f"ends = {{ {ends} }}",
                  f"[vps.{depot}-web9]", f'ends = ["{depot}", "web9"]', "vpi = 9"]
    plan = plan_of(parse(SETS + "\n".join(lines)))
    assert plan.routes[2:] == (Route("10.80.0.2", ("10.9.0.1",)),)
    assert plan.route_to("10.80.0.2").gateways == ("10.9.0.1",)
    assert len(plan.route_to("10.80.0.1").gateways) == 2


def test_depot_without_a_gateway_that_moves_is_the_gateway_itself() -> None:
    plan = plan_of(parse(STANDBY + THIRD))
    assert addresses(plan, "depot3.client", "client.lan", "depot1.client")["depot3.client"][0] == "10.9.0.2/24"
    assert plan.routes[0] == Route("", ("10.9.0.1", "10.9.0.2"))


@pytest.mark.parametrize(("old", "new", "told"), [
    ("10.60.0.2:7500", "10.61.0.2:7500", "depots.main.sync: in the lab these addresses lie on one LAN"),
    ("10.60.0.2:7500", "127.0.0.2:7500", "depots.main.sync.depot2: 127.0.0.2:7500: the lab needs the IP address of"),
    ("10.60.0.2:7500", "172.31.3.1:7500", "depots.main.sync.depot2: 172.31.3.1:7500: in the lab the depots of a set"),
    ("10.60.0.2:7500", "10.9.0.4:7500", "depots.main.sync.depot2: 10.9.0.4:7500: in the lab the depots of a set have"),
    ('"10.9.0.1/24", ', '"10.8.0.1/24", ', "depots.main.gateway: 10.8.0.1/24: no network of the lab is 10.8.0.0/24"),
    ('ownership = "keepalived"\ngateway = ["10.9.0.1/24", "fd00:9::1/64"]\ninterface = "client"',
     'ownership = "manual"', "depots.main.gateway: in the lab the client's route leads to an address that moves"),
    ('standby = "warm"', 'standby = "hot"\nwatch = { depot1 = "copy0", depot2 = "client" }',
     "depots.main.watch.depot1: in the lab a depot sees the clients' packets on the interface to them: write \"client"),
    ('interface = "client"', 'interface = "sync"', "depots.main.interface: in the lab \"sync\" is the depot's"),
    ('gateway = ["10.9.0.1/24", "fd00:9::1/64"]', 'gateway = ["10.9.0.1/30", "fd00:9::1/64"]',
     "lab.networks: the client, the depots and their gateways have no room there"),
])
def test_table_that_only_the_lab_cannot_bring_up(old: str, new: str, told: str) -> None:
    assert old in STANDBY
    text = STANDBY.replace(old, new, 1)
    if "/30" in new:
        text += '[lab]\nnetworks = ["10.9.0.0/30", "fd00:9::/64"]\n'
    with pytest.raises(AtmdepotError) as caught:
        plan_of(parse(text))
    assert any(line.startswith(told) for line in str(caught.value).splitlines()), str(caught.value)
