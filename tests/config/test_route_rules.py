"""Rules for switches, routes, contracts on links, networks: each mistake at its place, with what is right."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from atmdepot.config.derived import derived
from atmdepot.config.reading import NetworkError, load, parse, shipped_tables
from atmdepot.depot.forwarding import Depot
from atmdepot.switch.node import SwitchNode
from tests.config.test_reading import dump
from tests.effort import examples

BACKBONE, MESH, DIRECT, BRIDGED = (shipped_tables()[name].read_text(encoding="utf-8")
                                   for name in ("backbone", "mesh", "direct", "bridged"))

Edit = dict[str, Any]
"""Values by the path of their key; None takes the key away."""


def changed(text: str, edit: Edit) -> str:
    document = tomllib.loads(text)
    for path, value in edit.items():
        *above, key = path.split(".")
        table = document
        for name in above:
            table = table.setdefault(name, {})
        if value is None:
            table.pop(key)
        else:
            table[key] = value
    return dump(document)


def mistakes(text: str, edit: Edit) -> list[tuple[str, str]]:
    with pytest.raises(NetworkError) as caught:
        parse(changed(text, edit), "t")
    return [(place, rest) for _, place, rest in (problem.split(": ", 2) for problem in caught.value.problems)]


RATED: Edit = {"links.to-web1.rate": "oc3"}
CASES: dict[str, tuple[str, Edit, dict[str, str]]] = {
    # Names.
    "via of an edge node": (BACKBONE, {"vps.web3.via": ["web2"]}, {"vps.web3.via": "the switches are paris, lyon"}),
    "via of no node": (BACKBONE, {"vps.web3.via": ["rome"]}, {"vps.web3.via": "the switches are paris, lyon"}),
    "via without switches": (DIRECT, {"vps.web1.via": ["sw1"]}, {"vps.web1.via": "there is no switch"}),
    "a switch twice": (BACKBONE, {"vps.web3.via": ["paris", "paris"]}, {"vps.web3.via": "leave one of them out"}),
    "a segment of no switch": (BACKBONE, {"vps.web3.segments": ["web3"]}, {"vps.web3.segments": "the switches are"}),
    "a VP that ends at a switch": (BACKBONE, {"vps.web3.ends": ["depot", "paris"]}, {"vps.web3.ends": "via = "}),
    "a server at a switch": (BACKBONE, {"servers.web3.node": "paris"}, {"servers.web3.node": "stands behind an edge"}),
    "networks of no end": (MESH, {"vps.web1-web2.networks": {"depot": ["10.81.3.0/24"]}},
                           {"vps.web1-web2.networks.depot": "its ends are web1 and web2"}),
    "networks of the depot's VP": (MESH, {"vps.web1.networks": {"depot": ["10.81.3.0/24"]}},
                                   {"vps.web1.networks": "between edge nodes"}),
    "networks of a leaf": (MESH, {"vcs.news.networks": {"web1": ["10.81.3.0/24"]}},
                           {"vcs.news.networks.web1": "only the root, depot, sends"}),
    "a VC with a single end": (MESH, {"vcs.news.ends": ["depot"]}, {"vcs.news.ends": "write ends = "}),
    "a VC with an end twice": (MESH, {"vcs.news.ends": ["depot", "web1", "web1"]}, {"vcs.news.ends": "write ends = "}),
    "a VC to no node": (MESH, {"vcs.news.ends": ["depot", "rome"]}, {"vcs.news.ends": "write the depot or an edge"}),
    "a VC to a switch": (MESH, {"vcs.news.ends": ["depot", "sw1"]}, {"vcs.news.ends": "write the depot or an edge"}),
    # Routes and numbers.
    "no way": (MESH, {"links.to-web2": None, "links.to-web3": {"ends": {"sw1": "172.31.32.1:5503",
                                                                        "web3": "172.31.32.2:5503"}},
                      "nodes.web3": {"kind": "edge"}},
               {"vps.web2.ends": "no way over sw1 either; add one", "vps.web1-web2.ends": "add one to [links]"}),
    "via that no link joins": (BACKBONE, {"vps.web3.via": ["berlin"]}, {"vps.web3.via": "the links of depot lead to"}),
    "a VPI twice": (BACKBONE, {"vps.web3.vpi": 1}, {"vps.web3.vpi": "write vpi = "}),
    "a VPI beyond a UNI": (BACKBONE, {"vps.web3.vpi": 256}, {"vps.web3.vpi": 'interface = "nni" on links.d-paris'}),
    "a VC in a VP": (MESH, {"vcs.news.vpi": 1}, {"vcs.news.vpi": "vps.web1 has it; write vpi = "}),
    "a VC twice": (MESH, {"vcs.more": {"ends": ["depot", "web1"], "vpi": 9, "vci": 100}},
                   {"vcs.more.vpi": "vcs.news has it; write vpi = "}),
    "a VC without a way": (MESH, {"nodes.web3": {"kind": "external"}, "vcs.news.ends": ["depot", "web1", "web3"]},
                           {"vcs.news.ends": "add a link"}),
    # Switches.
    "a switch with a link": (BACKBONE, {"nodes.rome": {"kind": "switch"}, "links.rome": {
        "ends": {"rome": "172.31.29.1:5529", "paris": "172.31.29.2:5529"}}}, {"nodes.rome": "add one to [links]"}),
    "a switch without links": (BACKBONE, {"nodes.rome": {"kind": "switch"}}, {"nodes.rome": "no link reaches"}),
    "a switch with an address": (BACKBONE, {"nodes.paris.address": ["10.1.0.1"]},
                                 {"nodes.paris.address": "leave it out"}),
    # Protection and segments.
    "protected by the same route": (BACKBONE, {"vps.web1.protect": ["paris", "berlin"]},
                                    {"vps.web1.protect": "passes paris and berlin"}),
    "protected by a route with a link in common": (DIRECT, {"vps.web1.protect": []},
                                                   {"vps.web1.protect": "has links.to-web1"}),
    "protected by no route": (BACKBONE, {"vps.web1.protect": ["berlin"]}, {"vps.web1.protect": "no link joins depot"}),
    "protected towards other gear": (BACKBONE, {"nodes.web1.kind": "external", "links.berlin-web1.supervise": None,
                                                "links.lyon-web1.supervise": None}, {"vps.web1.protect": "external"}),
    "a segment elsewhere": (BACKBONE, {"vps.web1.segments": ["paris", "lyon"]},
                            {"vps.web1.segments": "the switches there are paris, berlin"}),
    "a segment on a direct way": (
        BACKBONE, {"links.direct": {"ends": {"depot": "172.31.29.1:1", "web3": "172.31.29.2:1"}},
                   "vps.web3.segments": ["paris"]}, {"vps.web3.segments": "no switch is there"}),
    "keys of protection without it": (BACKBONE, {"vps.web1.protect": None},
                                      {f"vps.web1.{key}": "add protect" for key in ("protection", "wait_to_restore")}),
    "an FCS of packets": (DIRECT, {"vps.web1.fcs": "yes", "vps.web2.fcs": "no", "vps.web2.encapsulation": "llc"},
                          {"vps.web1.fcs": '"vc-mux-bridged"', "vps.web2.fcs": '"llc-bridged"'}),
    "a bridged VC to several ends": (MESH, {"vcs.news.encapsulation": "llc-bridged"},
                                     {"vcs.news.encapsulation": 'write "llc" or "vc-mux"'}),
    "circuits of a TAP device": (
        BRIDGED, {"vps.between": {"ends": ["web3", "web2"], "vpi": 7}, "vcs.news": {
            "ends": ["depot", "web2", "web3"], "vpi": 9, "vci": 100},
                  "links.between": {"ends": {"web3": "172.31.99.1:1", "web2": "172.31.99.2:1"}}},
        {"vps.between.ends": "give it a TUN device", "vcs.news.ends": "give it a TUN device"}),
    # Contracts.
    "no contract": (DIRECT, {"vps.web1.contract": "cbr"}, {"vps.web1.contract": "add pcr="}),
    "ABR": (DIRECT, {"vps.web1.contract": "abr:pcr=9"}, {"vps.web1.contract": "nrt-VBR.1"}),
    "GFR of a VP": (DIRECT, {"vps.web1.contract": "gfr:pcr=9,mcr=5,mbs=4"}, {"vps.web1.contract": "[qos.contracts]"}),
    "a VC's contract": (MESH, {"vcs.news.contract": "cbr:pcr=x"}, {"vcs.news.contract": "write cells per second"}),
    "a peak above the link": (DIRECT, {**RATED, "vps.web1.contract": "ubr:pcr=353208"},
                              {"vps.web1.contract": "links.to-web1 on the way carries 353207cps"}),
    "a mean above a direction": (
        DIRECT, {"links.to-web1.from": {"web1": {"rate": "10kcps"}}, "vps.web1.contract": "ubr:mdcr=11kcps"},
        {"vps.web1.contract": "mdcr is 11000cps"}),
    "a peak above the second route": (BACKBONE, {"links.d-lyon.rate": "ds3", "vps.web1.contract": "cbr:pcr=100kcps"},
                                      {"vps.web1.contract": "links.d-lyon"}),
    "a peak above a VC's link": (MESH, {"links.to-web2.rate": "1kcps", "vcs.news.contract": "cbr:pcr=2kcps"},
                                 {"vcs.news.contract": "links.to-web2"}),
    "a rate of IP, with LLC": (
        DIRECT, {"links.to-web1.rate": "9999cps", "vps.web1.encapsulation": "llc",
                 "vps.web1.contract": "cbr:ip=1.6Mbps,packet=40"}, {"vps.web1.contract": "pcr is 10000cps"}),
    "a VC beyond its VP": (DIRECT, {"vps.web1.contract": "ubr:pcr=9kcps", "qos.contracts": {"CBR": "cbr:pcr=10kcps"}},
                           {"vps.web1.contract": "qos.contracts.CBR"}),
    "too much on a link": (
        BACKBONE, {"links.d-paris.rate": "oc3", "vps.web1.contract": "cbr:pcr=200kcps",
                   "vps.web3.contract": "nrt-vbr:pcr=200kcps,scr=160kcps,mbs=9"},
        {"links.d-paris": "vps.web1, vps.web3; write less there, a greater rate or overbook = true"}),
    # Links.
    "keys of a rate without it": (
        DIRECT, {f"links.to-web1.{key}": value for key, value in (
            ("queues", {"UBR": 9}), ("weights", {"UBR": 9}), ("overbook", True))},
        {f"links.to-web1.{key}": 'add rate = "oc3"' for key in ("queues", "weights", "overbook")}),
    "weights of what goes first": (DIRECT, {**RATED, "links.to-web1.weights": {"CBR": 9, "rt-VBR": 9, "GFR": 9}},
                                   {f"links.to-web1.weights.{key}": "leave it out" for key in ("CBR", "rt-VBR")}),
    "supervised too often": (DIRECT, {"links.to-web1.supervise": "9ms"},
                             {"links.to-web1.supervise": '"10ms" to "10s"'}),
    "supervised too seldom": (DIRECT, {"links.to-web1.supervise": "11s"},
                              {"links.to-web1.supervise": '"10ms" to "10s"'}),
    "other gear supervised": (DIRECT, {"nodes.web1.kind": "external", "links.to-web1.supervise": "1s"},
                              {"links.to-web1.supervise": "continuity_check"}),
    # Networks.
    "a network with the VIP": (MESH, {"vps.web1-web2.networks": {"web1": ["10.80.0.0/16"]}},
                               {"vps.web1-web2.networks.web1": "the VIP 10.80.0.1 lies in 10.80.0.0/16"}),
    "a network with a link": (MESH, {"vps.web1-web2.networks": {"web1": ["172.16.0.0/12"]}},
                              {"vps.web1-web2.networks.web1": "the link address 172.31.30.1 lies in"}),
    "networks to and fro": (
        MESH, {"vps.web1-web2.networks": {"web1": ["10.81.0.0/16"], "web2": ["10.81.1.0/24"]}},
        {"vps.web1-web2.networks.web1": "common with 10.81.1.0/24", "vps.web1-web2.networks.web2": "in common with"}),
    "a network on two circuits": (MESH, {"vcs.more": {"ends": ["web1", "web2"], "vpi": 8, "vci": 99,
                                                      "networks": {"web1": ["10.81.2.0/24"]}}},
                                  {"vcs.more.networks.web1": "on vps.web1-web2"}),
    "an MTU for IPv6": (MESH, {"vps.web1-web2.mtu": 1279}, {"vps.web1-web2.mtu": "1280"}),
    "a server behind edge nodes alone": (MESH, {"vps.web2": None}, {"servers.web2.node": "from the depot: add one"}),
    # Locations.
    "the same location": (DIRECT, {"nodes.web1.location": "aB" * 16, "nodes.web2.location": "Ab" * 16},
                          {"nodes.web2.location": "nodes.web1 has the same"}),
    "locations with a meaning": (DIRECT, {"nodes.web1.location": "FF" * 16, "nodes.web2.location": "00" * 16,
                                          "nodes.depot.location": "6a" * 16},
                                 {f"nodes.{name}.location": "I.610" for name in ("web1", "web2", "depot")}),
    "a location too short": (DIRECT, {"nodes.web1.location": "AB" * 15}, {"nodes.web1.location": "32 hexadecimal"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told_at_its_place_with_what_is_right(name: str) -> None:
    text, edit, expected = CASES[name]
    told = dict(mistakes(text, edit))
    assert told.keys() == expected.keys(), told
    for place, words in expected.items():
        assert words in told[place]


def test_all_of_them_are_told_at_once() -> None:
    edit: Edit = {"nodes.rome": {"kind": "switch"}, "vps.web1.segments": ["lyon"], "vps.web3.vpi": 1,
                  "links.d-paris.weights": {"UBR": 9}, "vps.web2.contract": "abr", "links.d-lyon.supervise": "1ms"}
    assert {place for place, _ in mistakes(BACKBONE, edit)} == {
        "nodes.rome", "vps.web1.segments", "vps.web3.vpi", "links.d-paris.weights", "vps.web2.contract",
        "links.d-lyon.supervise"}


GOOD: dict[str, tuple[str, Edit]] = {
    "overbooked": (BACKBONE, {"links.d-paris.rate": "oc3", "links.d-paris.overbook": True,
                              "vps.web1.contract": "cbr:pcr=200kcps", "vps.web3.contract": "cbr:pcr=200kcps"}),
    "full to the last cell": (DIRECT, {**RATED, "vps.web1.contract": "cbr:pcr=353207"}),
    "peaks are no guarantees": (BACKBONE, {"links.d-paris.rate": "oc3", "vps.web1.contract": "ubr:pcr=353207",
                                           "vps.web3.contract": "ubr:pcr=353207"}),
    "a rate in a direction": (DIRECT, {"links.to-web1.from": {"depot": {"rate": "oc3"}},
                                       "links.to-web1.queues": {"UBR": 9}}),
    "PM without CC": (BACKBONE, {"vps.web1.continuity_check": False, "vps.web1.performance_monitoring": 128}),
    "CC towards other gear": (DIRECT, {"nodes.web1.kind": "external", "vps.web1.continuity_check": True}),
    "an edge node behind another": (
        MESH, {"nodes.lan": {"kind": "edge"}, "links.lan": {"ends": {"lan": "172.31.33.1:1", "sw1": "172.31.33.2:1"}},
               "vps.lan": {"ends": ["web1", "lan"], "vpi": 5,
                           "networks": {"web1": ["10.81.3.0/24"], "lan": ["0.0.0.0/0"]}}}),
    "a part of another network": (MESH, {"vcs.more": {"ends": ["web1", "web2"], "vpi": 8, "vci": 99,
                                                      "networks": {"web1": ["10.81.2.128/25"]}}}),
    "VCs of a VPI": (MESH, {"vcs.more": {"ends": ["depot", "web1"], "vpi": 9, "vci": 99}}),
    "a bridged VP": (DIRECT, {"vps.web1.encapsulation": "llc-bridged", "vps.web1.fcs": "yes"}),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right(name: str) -> None:
    text, edit = GOOD[name]
    assert parse(changed(text, edit)).routes.problems == []


def test_what_a_vp_says_of_itself() -> None:
    vps = load("backbone").vps
    assert (vps["web1"].protection, vps["web1"].wait_to_restore) == ("1+1", 10 * 10**9)
    assert (vps["web3"].protection, vps["web3"].wait_to_restore) == ("1+1", 300 * 10**9)
    assert [vps[name].checks_continuity for name in ("web1", "web3")] == [True, False]
    for encapsulation, fcs, octets in (("vc-mux", "auto", 0), ("llc", "auto", 8), ("vc-mux-bridged", "no", 16),
                                       ("llc-bridged", "auto", 28), ("llc-bridged", "yes", 28)):
        edit: Edit = {"vps.web1.encapsulation": encapsulation, "vps.web1.fcs": fcs}
        assert parse(changed(DIRECT, edit)).vps["web1"].header_octets == octets


names = st.sampled_from(["depot", "paris", "lyon", "berlin", "sw1", "web1", "web2", "web3", "rome", ""])
some_names = st.lists(names, max_size=3)
contracts = st.sampled_from(["ubr", "abr:pcr=9", "cbr:pcr=100kcps", "cbr:pcr=353208", "gfr:pcr=9,mcr=5,mbs=3", "cbr",
                             "", "nrt-vbr:pcr=300kcps,scr=200kcps,mbs=9", "cbr:ip=2Mbps,packet=40", "ubr:mdcr=5"])
subnets = st.lists(st.sampled_from(["10.81.2.0/24", "10.81.2.0/25", "0.0.0.0/0", "10.80.0.0/16", "fd00:81::/32",
                                    "239.1.1.1", "172.31.0.0/16", "x"]), max_size=2)
destinations = st.dictionaries(names, subnets, max_size=2)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "nodes.{}.kind": st.sampled_from(["depot", "edge", "switch", "external"]),
    "nodes.{}.location": st.sampled_from(["ff" * 16, "ab" * 16, "AB" * 16, "ab"]),
    "links.{}.interface": st.sampled_from(["uni", "nni"]),
    "links.{}.rate": st.sampled_from(["oc3", "ds3", "1cps"]),
    "links.{}.overbook": st.booleans(),
    "links.{}.supervise": st.sampled_from(["10ms", "10s", "1ns"]),
    "links.{}.queues": st.dictionaries(st.sampled_from(["CBR", "UBR", "ubr"]), st.sampled_from([0, 1, 9]), max_size=2),
    "links.{}.weights": st.dictionaries(st.sampled_from(["CBR", "UBR"]), st.sampled_from([0, 1]), max_size=2),
    "links.{}.ends": st.dictionaries(names, st.sampled_from(["172.31.99.1:1", "172.31.99.2:2"]), min_size=2,
                                     max_size=2),
    "links.{}": st.none(),
    "vps.{}.ends": some_names, "vcs.{}.ends": some_names,
    "vps.{}.vpi": st.integers(0, 300), "vcs.{}.vpi": st.integers(0, 12), "vcs.{}.vci": st.integers(31, 101),
    "vps.{}.via": some_names, "vps.{}.protect": some_names, "vps.{}.segments": some_names,
    "vps.{}.protection": st.sampled_from(["1+1", "1:1"]),
    "vps.{}.contract": contracts, "vcs.{}.contract": contracts,
    "vps.{}.encapsulation": st.sampled_from(["llc", "llc-bridged"]), "vps.{}.fcs": st.sampled_from(["auto", "yes"]),
    "vps.{}.networks": destinations, "vcs.{}.networks": destinations,
    "vps.{}": st.none(), "vcs.{}": st.none(),
}


@st.composite
def edited(draw: st.DrawFn) -> str:
    """A table with switches whose routes, contracts and VCs are changed in a few places."""
    text = draw(st.sampled_from([BACKBONE, MESH]))
    document = tomllib.loads(text)
    edit: Edit = {}
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(sorted(VALUES)))
        known = sorted(document.get(path.partition(".")[0], {}))
        value = draw(VALUES[path])
        if known:
            place = path.format(draw(st.sampled_from(known)))
            if not any(place.startswith(other) or other.startswith(place) for other in edit):
                edit[place] = value
    return changed(text, edit)


@given(edited())
@examples(200)
def test_a_table_that_checks_has_routes_and_switches_that_start(text: str) -> None:
    problems, network = [], None
    try:
        network = parse(text, "t")
    except NetworkError as error:
        problems = error.problems
    if network is None:
        event("has mistakes")
        assert all(problem.startswith("t:") and "\n" not in problem for problem in problems)
        return
    assert network.routes.working.keys() == network.vps.keys()
    assert network.routes.trees.keys() == network.vcs.keys()
    assert network.routes.protection.keys() == {name for name, vp in network.vps.items() if vp.protect is not None}
    assert derived(network)["routes"]
    Depot(network, 0)
    for switch in network.switches:
        connects = network.routes.cross_connects(switch)
        assert len({connect.place for connect in connects}) == len(connects)
        assert len(SwitchNode(network, switch).crossed) == len(connects)
