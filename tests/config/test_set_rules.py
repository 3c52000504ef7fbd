"""Sets of depots in a VC table: each mistake is told at its place, with what to write."""

from __future__ import annotations

import pytest

from atmdepot.config.agreement import agreement
from atmdepot.config.derived import derived
from atmdepot.config.reading import NetworkError, find, parse
from atmdepot.config.units import VciRange

STANDBY = find("standby").read_text(encoding="utf-8")
RELAY = find("relay-standby").read_text(encoding="utf-8")
PVCS = 'ends = ["depot2", "web2"]\ndlci = 100\nmanagement_dlci = 16\nsession_dlcis = "200-991"'
NODES = 'nodes = ["depot1", "depot2"]'
SYNC = 'sync = { depot1 = "10.60.0.1:7500", depot2 = "10.60.0.2:7500" }'
GATEWAY = 'gateway = ["10.9.0.1/24", "fd00:9::1/64"]\n'
INTERFACE = 'interface = "client"\n'
KEEPALIVED = 'ownership = "keepalived"'
VP = 'ends = ["depot2", "web2"]\nvpi = 2\nsession_vcis = "64-65535"'
INTERVAL = '\ninterval = "0s"'
WARM = 'standby = "warm"'
BETWEEN_DEPOTS = """[links.x]
ends = { depot1 = "10.1.1.1:1", depot2 = "10.1.1.2:1" }
[vps.x]
ends = ["depot1", "depot2"]
vpi = 9
[servers.web1]"""

THIRD = """
[nodes.depot3]
kind = "depot"
[links.third]
ends = { depot3 = "172.31.5.1:5505", web1 = "172.31.5.2:5505" }
[vps.third]
ends = ["depot3", "web1"]
vpi = 1
"""
OTHER = THIRD + """
[nodes.depot4]
kind = "depot"
[links.fourth]
ends = { depot4 = "172.31.6.1:5506", web1 = "172.31.6.2:5506" }
[vps.fourth]
ends = ["depot4", "web1"]
vpi = 1
[depots.other]
nodes = ["depot3", "depot4"]
sync = { depot3 = "10.60.0.3:7500", depot4 = "10.60.0.4:7500" }
gateway = ["10.9.0.9/24"]
interface = "client"
vrid = 52
"""

MISTAKES: dict[tuple[str, str], str] = {
    # Names.
    (NODES, 'nodes = ["depot1", "web1"]'): 'depots.main.nodes: "web1" is no depot: the depots are depot1, depot2',
    (NODES, 'nodes = ["depot1", "depot1"]'): 'depots.main.nodes: "depot1" is already in depots.main: a depot is in',
    (INTERFACE, f'{INTERFACE}[depots.more]\nnodes = ["depot2"]\n'): 'depots.more.nodes: "depot2" is already in',
    (SYNC, f'{SYNC[:-2]}, web1 = "10.60.0.3:7500" }}'): 'depots.main.sync.web1: "web1" is not in this set: its depots ',
    (SYNC, f'{SYNC}\nwatch = {{ web1 = "copy0" }}'): 'depots.main.watch.web1: "web1" is not in this set',
    (SYNC, f'{SYNC}\nprefer = "web1"'): 'depots.main.prefer: "web1" is not in this set: write depot1 or depot2',
    # Times.
    (INTERVAL, '\ninterval = "9ms"'): 'depots.main.interval: 9ms is too short for a period: write at least "10ms"',
    (SYNC, f'{SYNC}\nannounce = "9ms"'): 'depots.main.announce: 9ms is no time between announcements: write "10m',
    (SYNC, f'{SYNC}\nannounce = "11s"'): "depots.main.announce: 11s is no time between announcements",
    (SYNC, f'{SYNC}\nannounce = "200ms"'): 'depots.main.silence: 300ms is less than two announcements, 200ms each',
    # Sync and watch.
    (SYNC, 'sync = { depot2 = "10.60.0.2:7500" }'):
        'depots.main.sync: depot1 has no address for the sessions that the depots tell each other: write depot1 = ',
    ("10.60.0.2:7500", "10.60.0.1:7500"): "depots.main.sync.depot2: 10.60.0.1:7500 is already that of depot1: write",
    ("10.60.0.2:7500", "two.example:7500"):
        "depots.main.sync.depot2: two.example:7500 has a name, and depots know each other by their addresses: write ",
    ("10.60.0.2:7500", "0.0.0.0:7500"): "depots.main.sync.depot2: 0.0.0.0:7500 is the address of no host",
    ("10.60.0.2:7500", "[::ffff:10.60.0.2]:7500"):
        "depots.main.sync.depot2: ::ffff:a3c:2 is an IPv4 address in the form of IPv6: write 10.60.0.2",
    ("10.60.0.2:7500", "[fe80::2]:7500"): "depots.main.sync.depot2: fe80::2 is a link-local address: write an address",
    ("10.60.0.2:7500", "224.0.0.1:7500"): "depots.main.sync.depot2: 224.0.0.1 is a multicast address",
    ("10.60.0.2:7500", "[fd00:60::2]:7500"):
        "depots.main.sync.depot2: [fd00:60::2]:7500 is an IPv6 address, and depot1 has one of IPv4: each depot ",
    (WARM, 'standby = "hot"\nwatch = { depot1 = "client" }'):
        'depots.main.watch: depot2 has no interface on which it sees the packets of the clients while it stands by',
    (WARM, f'{WARM}\nwatch = {{ depot1 = "client", depot2 = "client" }}'):
        "depots.main.watch: only a hot standby watches the packets of the clients: leave it out, or write standby = ",
    (WARM, 'standby = "none"'): "depots.main.sync: nobody stands by in this set",
    # Ownership.
    (GATEWAY + INTERFACE, ""): "depots.main.gateway: keepalived needs an address to move",
    (GATEWAY, ""): "depots.main.gateway: keepalived needs an address to move",
    (INTERFACE, ""): "depots.main.interface: the interface of the gateway is missing: write the name",
    (f"{KEEPALIVED}\n{GATEWAY}", 'ownership = "manual"\n'): "depots.main.interface: no gateway moves to this interface",
    (KEEPALIVED, 'ownership = "etcd"'):
        'depots.main.etcd: the address of etcd is missing: write etcd = ["10.70.0.1:2379"]',
    (KEEPALIVED, f'{KEEPALIVED}\netcd = ["10.70.0.1:2379"]'):
        "depots.main.etcd: etcd is not asked where keepalived decides",
    (KEEPALIVED, 'ownership = "manual"\nvrid = 7'): "depots.main.vrid: VRRP is not spoken where manual decides",
    ('"fd00:9::1/64"]', '"10.9.0.1/24"]'): "depots.main.gateway: 10.9.0.1 stands there twice",
    ('"10.9.0.1/24"', '"10.80.0.1/24"'): "depots.main.gateway: 10.80.0.1 is already taken by the VIP of a service",
    ('"10.9.0.1/24"', '"172.31.1.1/24"'): "depots.main.gateway: 172.31.1.1 is already taken by links.to-web1",
    (INTERFACE, 'interface = "atm0"\n'): 'depots.main.interface: "atm0" is the TUN device of depot1: write the',
    (INTERFACE, 'interface = "client lan"\n'): "depots.main.interface: ",
    # Keys.
    (SYNC, f'{SYNC}\nkey_file = "key"'): "depots.main.key_file: 'key' depends on where a daemon is started",
    (SYNC, f'{SYNC}\nkey_file = "/key"\nkey = "{"ab" * 32}"'): "depots.main.key_file: the set has a key as well",
    # A single depot.
    (NODES, 'nodes = ["depot1"]'): "depots.main.sync.depot2: ",
    (f"{SYNC}\n{KEEPALIVED}\n{GATEWAY}{INTERFACE}", 'prefer = "depot1"'): "depots.main.sync: depot1 has no address for",
    # VPs.
    ("[servers.web1]", BETWEEN_DEPOTS):
        "vps.x.ends: depot1 and depot2 are both depots, which tell each other their sessions by sync in [depots]",
    ('[vps.web2-b]\nends = ["depot2", "web2"]\nvpi = 2\nsession_vcis = "64-65535"', ""):
        'vps.web2.ends: depot1 has a VP to web2, and depot2, which is in the same set, has none: add an entry',
    (VP, VP.replace("64-", "65-")): 'vps.web2-b.session_vcis: vps.web2, from a depot of the same set, has "64-65535"',
    (VP, f"{VP}\ndefault_vci = 33"): "vps.web2-b.default_vci: vps.web2, from a depot of the same set, has 32",
    (VP, f"{VP}\nmanagement_vci = 40"): "vps.web2-b.management_vci: vps.web2, from a depot of the same set, has 33",
    (VP, f'{VP}\nencapsulation = "llc"'): 'vps.web2-b.encapsulation: vps.web2, from a depot of the same set, has "vc-',
    (VP, f'{VP}\nfcs = "no"'): 'vps.web2-b.fcs: vps.web2, from a depot of the same set, has "auto"',
    (VP, f'{VP}\ncrc = "ignore"'): 'vps.web2-b.crc: vps.web2, from a depot of the same set, has "strict"',
    (VP, f"{VP}\nmtu = 1500"): "vps.web2-b.mtu: vps.web2, from a depot of the same set, has 9180",
}


def problems_of(text: str) -> list[str]:
    with pytest.raises(NetworkError) as caught:
        parse(text, "t")
    return [problem.partition(": ")[2] for problem in caught.value.problems]


@pytest.mark.parametrize(("old", "new"), MISTAKES)
def test_mistake_is_told_at_its_place_with_what_to_write(old: str, new: str) -> None:
    assert old in STANDBY
    found = problems_of(STANDBY.replace(old, new, 1))
    assert any(problem.startswith(MISTAKES[old, new]) for problem in found), found


@pytest.mark.parametrize("host", ["[::ffff:10.60.0.1]", "[::]", "[fe80::1]", "[ff02::1]"])
def test_an_address_that_is_refused_is_no_measure_of_the_other_depots(host: str) -> None:
    found = problems_of(STANDBY.replace("10.60.0.1:7500", f"{host}:7500"))
    assert [problem.split(": ")[0] for problem in found] == ["depots.main.sync.depot1"]


@pytest.mark.parametrize(("changes", "told"), [
    ([], ""),
    ([("vrid = 52", "")], "depots.other.vrid: depots.main has 51 as well, on the same network: keepalived tells"),
    ([("10.9.0.9/24", "10.9.0.1/24")], "depots.other.gateway: 10.9.0.1 is already that of depots.main"),
    ([("10.60.0.3:7500", "10.60.0.1:7500")], "depots.other.sync.depot3: 10.60.0.1:7500 is already that of depot1"),
    ([("10.60.0.3:7500", "10.60.0.1:7501")], ""),
    ([("vrid = 52", 'vrid = 52\nkey_file = "/k"'), (INTERVAL, f'\nkey_file = "/k"{INTERVAL}')],
     "depots.other.key_file: depots.main has the same key"),
    ([("vrid = 52", ""), ("10.9.0.9/24", "10.8.0.9/24")], ""),
])
def test_two_sets_share_neither_number_nor_address_nor_key(changes: list[tuple[str, str]], told: str) -> None:
    text = STANDBY + OTHER
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    assert [problem[:len(told)] for problem in ([] if not told and parse(text) else problems_of(text))] == (
        [told] if told else [])


def test_depot_in_no_set_is_a_set_of_its_own() -> None:
    network = parse(STANDBY + THIRD)
    assert list(network.sets) == ["main", "depot3"]
    assert not network.set_of("depot3").stands_by
    assert (network.serves("depot3", "web1"), network.serves("depot3", "web2")) == (True, False)


def test_depot_that_reaches_no_server_is_refused() -> None:
    assert problems_of(STANDBY + '[nodes.depot3]\nkind = "depot"\n') == [
        "nodes.depot3: no way leads from this depot to a server: add a VP to [vps]"]


def test_single_depot_has_no_keys_of_standbys_or_owners() -> None:
    lone = ['[depots.lone]', 'nodes = ["depot3"]', 'sync = { depot3 = "10.60.0.9:7500" }', "vrid = 9",
            'interface = "eth0"', "half_open = true", 'announce = "1s"', 'silence = "3s"', "recall = false",
            "adopt = false"]
    found = problems_of("\n".join((STANDBY, THIRD, *lone)))
    assert [problem.split(": ")[0] for problem in found] == [
        f"depots.lone.{key}" for key in ("half_open", "sync", "interface", "vrid")]


@pytest.mark.parametrize(("old", "new", "told"), [
    (PVCS, PVCS.replace("100", "101"), "dlcis.web2-b.dlci: dlcis.web2, from a depot of the same set, has 100"),
    (PVCS, PVCS.replace("16", "17"), "dlcis.web2-b.management_dlci: dlcis.web2, from a depot of the same set, has 16"),
    (PVCS, PVCS.replace("200", "201"), 'dlcis.web2-b.session_dlcis: dlcis.web2, from a depot of the same set, '),
    (PVCS, f"{PVCS}\nmtu = 1600", "dlcis.web2-b.mtu: dlcis.web2, from a depot of the same set, has 1500"),
    (f"[dlcis.web2-b]\n{PVCS}", "", "dlcis.web2.ends: depot1 has PVCs to web2, and depot2, which is in the same set, "),
])
def test_all_depots_of_a_set_have_the_same_pvcs_to_an_edge_node(old: str, new: str, told: str) -> None:
    assert old in RELAY
    found = problems_of(RELAY.replace(old, new, 1))
    assert any(problem.startswith(told) for problem in found), found


def test_depots_have_parts_of_the_session_dlcis_and_each_needs_one() -> None:
    network = parse(RELAY)
    assert [row["session_dlcis"]["web1" + end] for row, end in zip(derived(network)["sets"], ("", "-b"), strict=True)
            ] == ["200-595", "596-991"]
    assert [problem.split(": ")[0] for problem in problems_of(RELAY.replace("200-991", "200-200"))] == [
        "dlcis.web1.session_dlcis", "dlcis.web2.session_dlcis"]


def test_depots_agree_on_the_channels_of_servers_behind_each_bearer() -> None:
    agreed = agreement(parse(RELAY), "main")
    assert agreed["servers.web1"] == ["web1", ["200-991"]]
    assert agreement(parse(STANDBY), "main")["servers.web1"] == ["web1", ["64-65535"]]


def test_each_depot_has_a_part_of_the_session_vcis() -> None:
    of = parse(STANDBY).sets["main"]
    parts = [of.part_of(depot, VciRange("64-65535")) for depot in of.nodes]
    assert parts == ["64-32799", "32800-65535"]
    narrow = STANDBY.replace('"64-65535"', '"64-64"')
    assert [problem.split(": ")[:3] for problem in problems_of(narrow)] == [
        [f"vps.{vp}.session_vcis", "each depot of the set gets a part of it",
         "the range 64-64 has no 2 parts"] for vp in ("web1", "web2")]
