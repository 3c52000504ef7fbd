"""The tables of the contenders' labs."""

from __future__ import annotations

import tomllib

import pytest

from atmdepot.bench.contenders import BEARERS, Contender
from atmdepot.bench.lab_table import BULK_PORT, IDLE_ENDS, Server, addresses_of, idle_vip_of, table_for
from atmdepot.bench.peers import steps
from atmdepot.config.reading import NetworkError, find, parse
from atmdepot.errors import AtmdepotError
from atmdepot.lab.web import web_servers

DIRECT = find("direct").read_text()


@pytest.mark.parametrize("table", ["direct", "compose", "lossy"])
@pytest.mark.parametrize("cells", [None, 1, 5])
def test_a_lab_has_a_table_of_its_own(table: str, cells: int | None) -> None:
    text = find(table).read_text()
    before, after = parse(text), parse(table_for(text, "bench-x", cells))
    assert after.name == "bench-x"
    assert {name: link.cells for name, link in after.links.items()} == {
        name: cells or link.cells for name, link in before.links.items()}
    assert list(after.services)[:-1] == list(before.services)
    assert after.nodes == before.nodes
    if "probing" not in tomllib.loads(text):
        assert (after.probing.probe, after.probing.statistics) == ("none", 0)


def test_addresses() -> None:
    ours = addresses_of(parse(table_for(DIRECT, "bench-x")))
    assert (ours.vip, ours.port, ours.bulk_vip) == ("10.80.0.1", 80, "10.80.0.2")
    assert ours.servers == (Server("web1", "172.31.1.2", "172.31.1.1"), Server("web2", "172.31.2.2", "172.31.2.1"))
    assert ours.bulk_server == ours.servers[0]


@pytest.mark.parametrize("contender", BEARERS.values(), ids=lambda each: each.name)
def test_each_bearer_has_a_table_with_a_service_and_servers_in_the_lab(contender: Contender) -> None:
    network = parse(table_for(find(contender.table or "direct").read_text(), "bench-x"))
    ours = addresses_of(network)
    assert ours.bulk_server.node == network.servers[network.services["bench-bulk"].servers[0]].node
    assert all(server.address for server in ours.servers)
    assert contender.table is None or contender.table in {network.servers[name].bearer for name in network.servers} | {
        "ports"}


def test_no_rate_of_a_table_is_measured_in_place_of_the_way() -> None:
    text = find("frame-relay").read_text()
    assert any(dlcis.cir for dlcis in parse(text).dlcis.values())
    assert not any(dlcis.cir for dlcis in parse(table_for(text, "bench-x")).dlcis.values())


def test_ways_through_the_kernel_need_servers_behind_edge_nodes() -> None:
    ours = addresses_of(parse(table_for(find("ports").read_text(), "bench-x")))
    for name in ("kernel", "dnat"):
        with pytest.raises(AtmdepotError, match="edge nodes"):
            steps(name, ours, "depot")


def test_bulk_goes_to_one_server_on_a_port_that_no_web_server_takes() -> None:
    network = parse(table_for(DIRECT, "bench-x"))
    assert (network.services["bench-bulk"].servers, network.services["bench-bulk"].ports) == (["web1"], [BULK_PORT])
    assert not any(BULK_PORT in web.ports for web in web_servers(network))


def test_a_labs_own_values_are_kept() -> None:
    text = DIRECT + '\n[lab]\nnetworks = ["10.9.9.0/24", "fd00:99::/64"]\n'
    lab = parse(table_for(text, "bench-x")).lab
    assert (lab.networks, lab.without_web) == (["10.9.9.0/24", "fd00:99::/64"], ["bench-bulk"])


def test_the_address_for_bulk_is_a_free_one() -> None:
    taken = DIRECT + '\n[services.other]\nvip = ["10.80.0.2"]\nports = [81]\nservers = ["web2"]\n'
    assert addresses_of(parse(table_for(taken, "bench-x"))).bulk_vip == "10.80.0.3"


def test_idle_sessions_have_a_service_and_a_vp_of_their_own() -> None:
    network = parse(table_for(DIRECT, "bench-x", None, 2_000_000))
    assert idle_vip_of(network) == "10.80.0.3"
    assert network.services["bench-idle"].servers == ["bench-idle"]
    assert tuple(map(str, network.links["bench-idle"].ends.values())) == IDLE_ENDS
    assert network.nodes["bench-idle"].kind == "external"
    assert network.sessions.max_sessions > 2_000_000
    assert addresses_of(network) == addresses_of(parse(table_for(DIRECT, "bench-x")))


def test_a_table_that_watches_its_servers_goes_on_doing_so() -> None:
    watched = DIRECT + '\n[probing]\nprobe = "http"\n'
    assert parse(table_for(watched, "bench-x")).probing.probe == "http"


def test_tables_that_cannot_be_changed_are_refused() -> None:
    ends = 'ends = { depot = "172.31.1.1:5501", web1 = "172.31.1.2:5501" }'
    inline = DIRECT.replace(f"[links.to-web1]\n{ends}\ncells = 27\n", f"[links]\nto-web1 = {{ {ends}, cells = 27 }}\n")
    assert inline != DIRECT
    parse(inline)
    with pytest.raises(AtmdepotError, match="lines of their own"):
        table_for(inline, "bench-x", 1)
    with pytest.raises(AtmdepotError, match="lines of their own"):
        table_for(DIRECT.replace('name = "direct"', '"name" = "direct"'), "bench-x")
    with pytest.raises(AtmdepotError, match="IPv4"):
        table_for(DIRECT.replace('"10.80.0.1", ', ""), "bench-x")
    with pytest.raises(NetworkError):
        table_for("nonsense", "bench-x")
