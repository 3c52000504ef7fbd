"""The VC table: the tables that ship, each mistake with its own message, and whatever else is in a file."""

from __future__ import annotations

import copy
import json
import os
import socket
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import jsonschema
import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atmdepot.commands.check import _plain as plain
from atmdepot.config import link_formats, links, model, pools
from atmdepot.config import reading as network
from atmdepot.config.reading import NetworkError, parse
from atmdepot.config.toml_lines import Lines
from atmdepot.wire.pseudowire import MPLS_PORT
from tests.checkout import ROOT
from tests.effort import examples
from tests.ip_packets import SYN, tcp
from tests.lab.labs import within
from tests.network_in_memory import CLIENT4, SECOND, InMemoryNetwork

if TYPE_CHECKING:
    from atmdepot.config.model import Network

TABLES = sorted((ROOT / "vc_tables").glob("*.toml"))
DIRECT = next(path for path in TABLES if path.stem == "direct").read_text(encoding="utf-8")

# A table with a bit of everything, short enough to know its lines.
TABLE = """\
name = "small"
[nodes.depot]
kind = "depot"
[nodes.web1]
kind = "edge"
[nodes.web2]
kind = "edge"
address = ["10.1.0.2"]
[links.one]
ends = { depot = "10.0.1.1:5501", web1 = "10.0.1.2:5501" }
rate = "oc3"
[links.two]
ends = { depot = "10.0.2.1:5502", web2 = "10.0.2.2:5502" }
[links.two.from.web2]
rate = "10kcps"
[vps.one]
ends = ["depot", "web1"]
vpi = 1
session_vcis = "64-65535"
[vps.two]
ends = ["depot", "web2"]
vpi = 2
default_vci = 33
shared_vcs = { "CBR" = 40, "UBR.1" = 41 }
[servers.one]
node = "web1"
[servers.two]
node = "web2"
[services.web]
vip = ["10.80.0.1"]
ports = [80, 443]
servers = ["one", "two"]
[services.mail]
vip = ["10.80.0.1"]
ports = [25]
servers = ["one"]
[qos.dscp]
EF = "CBR"
[qos.contracts]
CBR = "cbr:pcr=10kcps"
[sessions]
idle = "5min"
[lab]
networks = ["10.9.0.0/24"]
"""

KEYS = {
    "network": "name, description, nodes, links, vps, vcs, dlcis, connects, servers, services, depots, sessions, "
               "probing, reassembly, qos, lab",
    "node": "kind, tun, tap, mtu, address, configure, metrics, location",
    "line": "rate, delay, jitter, queue, burst, cell_loss, header_bit_errors, payload_bit_errors, misinsertion, "
            "reordering, seed",
    "vp": "ends, vpi, default_vci, management_vci, session_vcis, shared_vcs, encapsulation, fcs, crc, "
          "mtu, via, protect, protection, wait_to_restore, contract, continuity_check, segments, "
          "performance_monitoring, networks",
    "server": "node, bearer, address, port, mac, source, pool, listen_port, weight, max_sessions, backup, slow_start, "
              "allow",
    "lab": "networks, without_web",
}
RATE = ("write cells per second (cps, kcps, Mcps), user bits per second (kbps, Mbps, Gbps) or one of "
        "ds3, oc3, stm1, oc12, oc48")
KEY_RULE = "a key has 16 to 32 octets as hexadecimal digits: `openssl rand -hex 32` makes one"
MISTAKES = {
    # Keys of links.
    'rate = "oc3"->key = "0123"': [f"t:11: links.one.key: {KEY_RULE}"],
    'rate = "oc3"->key = "xyz"': [f"t:11: links.one.key: {KEY_RULE}"],
    'rate = "oc3"->key = 5': [f"t:11: links.one.key: {KEY_RULE}"],
    f'rate = "oc3"->key = "{33 * "ab"}"': [f"t:11: links.one.key: {KEY_RULE}"],
    f'rate = "oc3"->key = "{16 * "ab"}"\nkey_file = "/k"':
        ["t:12: links.one.key_file: the link has a key as well: leave one of them out"],
    f'rate = "oc3"->key = "{16 * "ab"}"\ncells = 1':
        [("t:11: links.one.key: a link of bare cells (cells = 1) has no tag, since its peers know none: leave the key "
          "out, or write cells = 27")],
    'rate = "oc3"->format = "pwe3"':
        [f"t:10: links.one.ends.{node}: port 5501 is not that of MPLS-in-UDP, by which receivers know a pseudowire "
         "(RFC 7510): write port 6635" for node in ("depot", "web1")],
    'rate = "oc3"->format = "pwe3"\nlabel = 15':
        ["t:12: links.one.label: 15 does not fit label: write a whole number from 16 to 1048575"],
    'rate = "oc3"->label = 16':
        ['t:11: links.one.label: a link of cells has no label: leave it out, or write format = "pwe3"'],
    'rate = "oc3"->format = "cells"\nlabel = 17':
        ['t:12: links.one.label: a link of cells has no label: leave it out, or write format = "pwe3"'],
    'rate = "oc3"->key_file = "one.key"':
        ["t:11: links.one.key_file: 'one.key' depends on where a daemon is started: write its path from / on"],
    f'rate = "oc3"\n[links.two]->key = "{16 * "ab"}"\n[links.two]\nkey = "{16 * "AB"}"':
        ["t:13: links.two.key: links.one has the same key: give each link one of its own"],
    # Bridged VPs.
    'vpi = 1->vpi = 1\nfcs = "yes"':
        [("t:19: vps.one.fcs: only Ethernet frames have an FCS, and vc-mux carries none: leave it out, or write "
          'encapsulation = "vc-mux-bridged"')],
    'vpi = 1->vpi = 1\nencapsulation = "vc-mux-bridged"\nmtu = 65508':
        [("t:20: vps.one.mtu: a packet of 65508 octets, in an Ethernet frame, does not fit an AAL5 SDU: write at most "
          "65507")],
    # Unknown keys.
    'name = "small"->name = "small"\nlinkss = 1':
        [f't:2: linkss: unknown key "linkss": did you mean "links"? There are {KEYS["network"]}'],
    "vpi = 1->vpii = 1": [f't:18: vps.one.vpii: unknown key "vpii": did you mean "vpi"? There are {KEYS["vp"]}'],
    "[nodes.web1]->[nodes.web1]\ncolour = 1":
        [f't:5: nodes.web1.colour: unknown key "colour": there are {KEYS["node"]}'],
    'node = "web1"->node = "web1"\naddres = []':
        [f't:27: servers.one.addres: unknown key "addres": did you mean "address"? There are {KEYS["server"]}'],
    'rate = "10kcps"->rat = "10kcps"':
        [f't:15: links.two.from.web2.rat: unknown key "rat": did you mean "rate"? There are {KEYS["line"]}'],
    "networks = ->network = ":
        [f't:44: lab.network: unknown key "network": did you mean "networks"? There are {KEYS["lab"]}'],
    # VCIs.
    "default_vci = 33->default_vci = 31":
        ["t:23: vps.two.default_vci: VCI 31 is reserved (ITU-T I.361 keeps 0 to 31): write 32 to 65535"],
    "64-65535->16-65535":
        ["t:19: vps.one.session_vcis: VCI 16 is reserved (ITU-T I.361 keeps 0 to 31): write 32 to 65535"],
    '"CBR" = 40->"CBR" = 5':
        ["t:24: vps.two.shared_vcs.CBR: VCI 5 is reserved (ITU-T I.361 keeps 0 to 31): write 32 to 65535"],
    "64-65535->65535-64": ['t:19: vps.one.session_vcis: the range 65535-64 runs backwards: write "64-65535"'],
    "64-65535->32-65535":
        ["t:16: vps.one.default_vci: VCI 32 is used twice: it is also in session_vcis (32-65535)"],
    "default_vci = 33->default_vci = 41":
        ["t:24: vps.two.shared_vcs.UBR.1: VCI 41 is used twice: it is also that of default_vci"],
    '"CBR" = 40->"CBR" = 41': ["t:24: vps.two.shared_vcs.UBR.1: VCI 41 is used twice: it is also that of CBR"],
    'session_vcis = "64-65535"->session_vcis = "64-65535"\nshared_vcs = { CBR = 40 }':
        [("t:16: vps.one: a VP has session_vcis (a VC for each session) or shared_vcs (a VC for each service "
          "category), not both: leave one out")],
    '"UBR.1" = 41->"gold" = 41':
        [("t:24: vps.two.shared_vcs.gold: 'gold' is no service category: write one of CBR, rt-VBR.1, rt-VBR.2, "
         "rt-VBR.3, nrt-VBR.1, nrt-VBR.2, nrt-VBR.3, GFR, GFR.2, UBR.1, UBR.2")],
    # VPs.
    'ends = ["depot", "web1"]->ends = ["depot", "web9"]':
        ['t:17: vps.one.ends: this VP leads nowhere: there is no node "web9"; the nodes are depot, web1, web2'],
    'ends = ["depot", "web1"]->ends = ["web2", "web1"]':
        ["t:17: vps.one.ends: this VP leads nowhere: no link joins web2 and web1; add one to [links]"],
    'ends = ["depot", "web1"]->ends = ["depot"]':
        ['t:17: vps.one.ends: a VP has two ends: write ends = ["depot", "web1"]'],
    'ends = ["depot", "web1"]->ends = ["depot", "depot"]':
        ['t:17: vps.one.ends: a VP has two ends: write ends = ["depot", "web1"]'],
    '[servers.two]\nnode = "web2"\n->[nodes.web3]\nkind="edge"\n': [
        't:32: services.web.servers: there is no server "two": the servers are one'],
    'ends = ["depot", "web2"]->ends = ["depot", "web1"]': [
        "t:21: vps.two.ends: vps.one already leads from depot to web1: write all VCIs there",
        't:28: servers.two.node: no VP leads to "web2": add one to [vps]'],
    "vpi = 1->vpi = 256":
        ['t:18: vps.one.vpi: VPI 256 does not fit a UNI\'s 8 bits: write 0 to 255, or interface = "nni" on links.one'],
    "vpi = 1->vpi = 4096": ["t:18: vps.one.vpi: 4096 does not fit vpi: write a whole number from 0 to 4095"],
    "vpi = 1->": ['t:16: vps.one: the key "vpi" is missing: add it'],
    # Addresses.
    "10.0.2.1:5502->10.0.1.1:5501":
        [("t:13: links.two.ends.depot: the address 10.0.1.1:5501 is already taken by links.one.ends.depot: "
         "write another port or address")],
    'vip = ["10.80.0.1"]->vip = ["10.1.0.2"]':
        ["t:30: services.web.vip: the address 10.1.0.2 is already taken by nodes.web2.address"],
    "ports = [25]->ports = [25, 443]":
        [("t:34: services.mail.vip: 10.80.0.1 port 443 is already taken by services.web: write other ports or "
         "another VIP")],
    "ports = [25]\n->":
        [("t:34: services.mail.vip: 10.80.0.1 port any is already taken by services.web: write other ports or "
         "another VIP")],
    'kind = "edge"->kind = "edge"\naddress = ["10.1.0.2"]':
        ["t:9: nodes.web2.address: the address 10.1.0.2 is already taken by nodes.web1.address: write another address"],
    "10.0.2.1:5502->10.0.2.1":
        ["t:13: links.two.ends.depot: '10.0.2.1' is no UDP address: write \"10.0.0.1:5501\" or \"[2001:db8::1]:5501\""],
    '"10.0.2.2:5502" }->"10.0.2.2" }\ninterface = "x"':
        ["t:13: links.two.ends.web2: '10.0.2.2' is no UDP address: write \"10.0.0.1:5501\" or \"[2001:db8::1]:5501\"",
         't:14: links.two.interface: "x" does not fit interface: write "nni" or "uni"'],
    "10.0.2.2:5502->10.0.2.2:*": [
        't:13: links.two.ends.web2: "web2" must listen on a port that the far end knows: write 10.0.2.2:5501'],
    "10.0.2.1:5502->10.0.2.1:99999": ["t:13: links.two.ends.depot: 99999 is no UDP port: write 1 to 65535"],
    'vip = ["10.80.0.1"]->vip = ["10.80.0"]':
        ["t:30: services.web.vip.0: '10.80.0' is no IP address: write \"10.80.0.1\" or \"2001:db8::1\""],
    # Units.
    'rate = "oc3"->rate = 353207':
        [f't:11: links.one.rate: a rate needs a unit, as in "353207cps": {RATE}'],
    'rate = "10kcps"->rate = "10kcps"\n[links.two.from.depot]\nrate = 7':
        [f't:17: links.two.from.depot.rate: a rate needs a unit, as in "7cps": {RATE}'],
    'rate = "10kcps"->rate = "10000"':
        [f't:15: links.two.from.web2.rate: a rate needs a unit, as in "10000cps": {RATE}'],
    'rate = "oc3"->delay = 5':
        ["t:11: links.one.delay: 5 is no duration: write a number and ns, us, ms, s, min or h, as in \"5ms\""],
    'idle = "5min"->idle = "5 minutes"':
        ["t:42: sessions.idle: '5 minutes' is no duration: write a number and ns, us, ms, s, min or h, as in \"5ms\""],
    'rate = "oc3"->cell_loss = 1.5':
        ["t:11: links.one.cell_loss: 1.5 does not fit cell_loss: write a number from 0 to 1"],
    'rate = "oc3"->cell_loss = nan':
        ["t:11: links.one.cell_loss: nan does not fit cell_loss: write a number from 0 to 1"],
    # Nodes, links, servers, services.
    'kind = "depot"->kind = "depo"':
        [('t:3: nodes.depot.kind: "depo" does not fit kind: write "depot" or "edge" or "external" or "interworking" or '
          '"switch"')],
    'kind = "depot"->kind = "edge"': [
        't: nodes: a network has a depot, this one has none: set kind = "depot" on one node'],
    'kind = "edge"->kind = "depot"': [
        't:26: servers.one.node: "web1" is a depot: a server stands behind an edge node'],
    "[nodes.web1]->[nodes.'web 1']": [
        "t:4: nodes.web 1: 'web 1' is no name: a name has 1 to 32 letters, digits, '_' or '-'"],
    'web1 = "10.0.1.2:5501"->web9 = "10.0.1.2:5501"': [
        't:10: links.one.ends.web9: there is no node "web9": the nodes are depot, web1, web2',
        "t:17: vps.one.ends: this VP leads nowhere: no link joins depot and web1; add one to [links]"],
    ', web1 = "10.0.1.2:5501"->': [
        ('t:10: links.one.ends: a link has two ends, this one has 1: write ends = { depot = "10.0.0.1:5501", web1 = '
        '"10.0.0.2:5501" }'),
        "t:17: vps.one.ends: this VP leads nowhere: no link joins depot and web1; add one to [links]"],
    'web2 = "10.0.2.2:5502"->web1 = "10.0.2.2:5502"': [
        't:14: links.two.from.web2: "web2" is no end of this link: its ends are depot and web1',
        't:13: links.two.ends: depot and web1 are already joined by the link "one": one link carries all their VPs',
        "t:21: vps.two.ends: this VP leads nowhere: no link joins depot and web2; add one to [links]"],
    'node = "web2"->node = "web1"':
        ['t:28: servers.two.node: the server "one" is already behind "web1": give this one an edge node of its own'],
    'node = "web2"->node = "web7"':
        ['t:28: servers.two.node: there is no node "web7": the nodes are depot, web1, web2'],
    'servers = ["one", "two"]->servers = ["one", "three"]':
        ['t:32: services.web.servers: there is no server "three": the servers are one, two'],
    'servers = ["one", "two"]->servers = []':
        ["t:32: services.web.servers: an empty array does not fit servers: write an array of at least 1 value, in [ ]"],
    # Keys that are a choice; permanent VCs.
    'rate = "oc3"->rate = "oc3"\nqueues = { CRB = 5 }':
        [('t:12: links.one.queues.CRB: "CRB" does not fit queues: write "CBR" or "GFR" or "UBR" or "nrt-VBR" or '
          '"rt-VBR"')],
    'rate = "oc3"->rate = "oc3"\nweights = { UBR = 0 }':
        ["t:12: links.one.weights.UBR: 0 does not fit UBR: write a whole number from 1 to 1000"],
    "vpi = 1->vpi = 1\nperformance_monitoring = 5":
        [("t:19: vps.one.performance_monitoring: 5 does not fit performance_monitoring: write 128 or 256 or 512 or "
          "1024")],
    '[servers.one]->[vcs.one]\nends = ["depot"]\nvpi = 1\nvci = 5\n[servers.one]':
        ["t:28: vcs.one.vci: VCI 5 is reserved (ITU-T I.361 keeps 0 to 31): write 32 to 65535"],
    "[servers.one]->[vcs]\none = 5\n[servers.one]":
        ["t:26: vcs.one: 5 does not fit one: write a table, in { }"],
    # Values of the wrong kind.
    'servers = ["one", "two"]->servers = "one"':
        ['t:32: services.web.servers: "one" does not fit servers: write an array of at least 1 value, in [ ]'],
    'servers = ["one", "two"]->servers = ["one", 2]':
        ["t:32: services.web.servers.1: 2 does not fit servers: write a text, in quotes"],
    "ports = [25]->ports = [25, 0]":
        ["t:35: services.mail.ports.1: 0 does not fit ports: write a whole number from 1 to 65535"],
    'ports = [25]->ports = [25]\nprotocols = ["sctp"]':
        ['t:36: services.mail.protocols.0: "sctp" does not fit protocols: write "tcp" or "udp"'],
    'rate = "10kcps"->seed = 1.5':
        [("t:15: links.two.from.web2.seed: 1.5 does not fit seed: write a whole number from -9223372036854775808 to "
          "9223372036854775807")],
    'networks = ["10.9.0.0/24"]->networks = {}':
        ["t:44: lab.networks: a table does not fit networks: write an array of at most 16 values, in [ ]"],
    'kind = "depot"->kind = "depot"\nconfigure = "yes"':
        ['t:4: nodes.depot.configure: "yes" does not fit configure: write true or false'],
    'kind = "depot"->kind = "depot"\ntun = "atm 0"':
        ["t:4: nodes.depot.tun: \"atm 0\" does not fit tun: write 1 to 15 letters, digits, '_', '.' or '-', in quotes"],
    f'kind = "depot"->kind = "depot"\ntun = "{"x" * 100}"':
        [("t:4: nodes.depot.tun: a text of 100 characters does not fit tun: write 1 to 15 letters, digits, '_', '.' or "
          "'-', in quotes")],
    '[sessions]\nidle = "5min"->sessions = 5':
        ["t:41: qos.contracts.sessions: 5 does not fit sessions: write a text, in quotes"],
    # Quality of service, lab, sizes.
    'EF = "CBR"->EX = "CBR"': [
        ("t:38: qos.dscp.EX: 'EX' is no DSCP: write 0 to 63 or one of CS0, CS1, CS2, CS3, CS4, CS5, CS6, CS7, AF11, "
        "AF12, AF13, AF21, AF22, AF23, AF31, AF32, AF33, AF41, AF42, AF43, LE, VA, EF, DF, BE")],
    'CBR = "cbr:pcr=10kcps"->CBR = "cbr"': ["t:40: qos.contracts.CBR: CBR needs pcr: add pcr=..."],
    'CBR = "cbr:pcr=10kcps"->CBR = "ubr"':
        ["t:40: qos.contracts.CBR: the contract 'ubr' is UBR.1, but stands under CBR"],
    "10.9.0.0/24->10.9.0.1/24":
        [("t:44: lab.networks: '10.9.0.1/24' is no network for the lab: 10.9.0.1/24 has host bits set; write "
         "\"10.9.0.0/24\""),
         "t:44: lab.networks: no network of IPv4 leads to the VIP 10.80.0.1: add one"],
    "10.9.0.0/24->10.9.0.0/31":
        [("t:44: lab.networks: '10.9.0.0/31' is no network for the lab: it has no room for a client and the depot; "
         "write \"10.9.0.0/24\"")],
    "10.9.0.0/24->fd00:9::/64": ["t:44: lab.networks: no network of IPv4 leads to the VIP 10.80.0.1: add one"],
    'vip = ["10.80.0.1"]->vip = ["10.80.0.1", "fd00:80::1"]':
        ["t:44: lab.networks: no network of IPv6 leads to the VIP fd00:80::1: add one"],
    "vpi = 1->vpi = 1\nmtu = 500": ["t:19: vps.one.mtu: 500 does not fit mtu: write a whole number from 576 to 65527"],
    # The file as a whole.
    'name = "small"\n->': ['t: name: the network has no name: add name = "my-network" at the top'],
    'name = "small"->name = small':
        ['t: is not TOML: Invalid value (at line 1, column 8): write text in straight quotes, as in kind = "depot"'],
    "[links.two.from.web2]->[links.two]":
        ["t: is not TOML: [links.two] is there twice (at line 14, column 11)"],
}


def problems_of(text: str) -> list[str]:
    with pytest.raises(NetworkError) as caught:
        parse(text, "t")
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


# ── tables that are right ──

@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_table_that_ships_is_right(path: Path) -> None:
    table = network.load(path)
    assert table.name == path.stem
    assert table.description
    assert network.load(path.stem) == table
    assert network.shipped_tables()[path.stem].read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_table_that_ships_fits_the_schema(path: Path) -> None:
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(document, network.schema(), cls=jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"nodess": 1}, network.schema(), cls=jsonschema.Draft202012Validator)


def test_the_schema_that_ships_is_that_of_the_code() -> None:
    jsonschema.Draft202012Validator.check_schema(network.schema())
    shipped = ROOT / "vc_tables" / "schema.json"
    assert json.loads(shipped.read_text(encoding="utf-8")) == json.loads(json.dumps(network.schema()))


def test_a_table_is_read_into_its_values() -> None:
    table = parse(TABLE, "t")
    assert (table.depot, table.edges) == ("depot", ["web1", "web2"])
    assert table.vips == ["10.80.0.1"]
    assert list(table.links_of("depot")) == ["one", "two"]
    assert list(table.links_of("web2")) == ["two"]
    assert list(table.vps_of("web1")) == ["one"]
    assert table.vp_between("depot", "web2") == "two"
    assert table.link_between("depot", "web2") == "two"
    assert table.links["two"].other_end("web2") == "depot"
    assert (table.vps["one"].default_vci, table.vps["two"].default_vci) == (32, 33)
    assert table.vps["two"].shared_vcs == {"CBR": 40, "UBR.1": 41}
    assert table.sessions.idle == 300 * 10**9
    assert table.sessions.two_msl == 120 * 10**9


def test_values_of_a_direction_override_the_links() -> None:
    text = TABLE.replace("5502\" }\n", "5502\" }\nrate = \"oc3\"\ndelay = \"2ms\"\ncell_loss = 0.5\n").replace(
        'rate = "10kcps"', 'rate = "10kcps"\ncell_loss = 0.0\nseed = 7')
    link = parse(text).links["two"]
    there, back = link.line_from("depot"), link.line_from("web2")
    assert (there.rate, there.delay, there.cell_loss, there.seed) == (353_207, 2_000_000, 0.5, None)
    assert (back.rate, back.delay, back.cell_loss, back.seed) == (10_000, 2_000_000, 0.0, 7)
    assert (there.impaired, back.impaired, there.timed, back.timed) == (True, False, True, True)
    plain = parse(TABLE).links["two"]
    assert (plain.line_from("depot").impaired, plain.line_from("depot").timed) == (False, False)


# ── mistakes ──

@pytest.mark.parametrize("edit", MISTAKES)
def test_a_mistake_has_its_own_message(edit: str) -> None:
    old, _, new = edit.partition("->")
    assert old in TABLE
    assert problems_of(TABLE.replace(old, new, 1)) == MISTAKES[edit]


def test_gear_that_is_not_ours_has_no_key() -> None:
    text = TABLE.replace('rate = "oc3"', 'key_file = "/k"').replace('[nodes.web1]\nkind = "edge"',
                                                                   '[nodes.web1]\nkind = "external"')
    assert problems_of(text) == [
        't:11: links.one.key_file: "web1" is an external node and knows no tag: leave the key out']


def test_a_key_is_shown_as_a_fingerprint() -> None:
    link = parse(TABLE.replace('rate = "oc3"', f'key = "{16 * "ab"}"'), "t").links["one"]
    assert link.has_key
    assert link.key is not None
    assert link.key.octets == 16 * b"\xab"
    assert "abab" not in repr(link)
    assert str(link.key).startswith("fingerprint ")


def test_a_vp_may_have_its_default_vc_alone() -> None:
    vp = parse(TABLE.replace('session_vcis = "64-65535"\n', ""), "t").vps["one"]
    assert (vp.session_vcis, vp.shared_vcs, vp.default_vci) == (None, {}, 32)


def test_an_ipv6_service_needs_an_mtu_of_1280() -> None:
    text = TABLE.replace("10.9.0.0/24", 'fd00:9::/64", "10.9.0.0/24').replace('["10.80.0.1"]', '["fd00:80::1"]')
    assert parse(text.replace("vpi = 1", "vpi = 1\nmtu = 1280"))
    assert problems_of(text.replace("vpi = 1", "vpi = 1\nmtu = 1279")) == [
        "t:19: vps.one.mtu: an MTU of 1279 is too small for the VIP fd00:80::1: IPv6 needs 1280 (RFC 8200 section 5)"]


def test_a_vp_to_a_node_without_a_server_leads_nowhere() -> None:
    text = TABLE.replace('[servers.two]\nnode = "web2"\n', "").replace(', "two"]', "]")
    assert problems_of(text) == [
        't:21: vps.two.ends: this VP leads nowhere: no server is behind "web2"; add one to [servers]']


def test_all_mistakes_are_told_at_once() -> None:
    text = (TABLE.replace('rate = "oc3"', "rate = 5").replace("default_vci = 33", "default_vci = 3")
            .replace("vpi = 1", "vpii = 1").replace('idle = "5min"', "idle = 5").replace("[lab]", "[labb]"))
    assert [problem.split(": ")[0:2] for problem in problems_of(text)] == [
        ["t:43", "labb"], ["t:42", "sessions.idle"], ["t:11", "links.one.rate"], ["t:18", "vps.one.vpii"],
        ["t:23", "vps.two.default_vci"]]


def test_mistakes_of_an_entry_beyond_a_bound_are_said_to_be_there() -> None:
    for wrong, more in (20, ""), (21, "1 more mistake"), (22, "2 more mistakes"), (5020, "5,000 more mistakes"):
        text = TABLE.replace("[lab]", "[lab]\n" + "".join(f"x{number} = 1\n" for number in range(wrong)))
        problems = problems_of(text)
        assert len(problems) == 20 + bool(more)
        if more:
            assert problems[-1].endswith(f": lab: and {more}, shown when those above are corrected")


def test_wrong_values_count_among_the_mistakes_that_are_not_told() -> None:
    text = TABLE.replace('session_vcis = "64-65535"\n', "").replace(
        "[vps.one]", "[vps.one]\n" + "".join(f"x{number} = 1\n" for number in range(20))
        + "session_vcis = true\nshared_vcs = 3\nmtu = \"much\"\nx20 = 1", 1)
    assert problems_of(text)[-1].endswith(": vps.one: and 4 more mistakes, shown when those above are corrected")


def test_a_key_that_a_mistyped_one_was_to_be_is_no_further_mistake() -> None:
    others = "".join(f"x{number} = 1\n" for number in range(19))
    text = TABLE.replace("[vps.one]\nends", f"[vps.one]\n{others}endz")
    assert len(problems_of(text)) == 20


def test_the_rules_find_several_mistakes_too() -> None:
    text = (TABLE.replace("10.0.2.1:5502", "10.0.1.1:5501").replace("vpi = 1", "vpi = 999").replace("64-", "32-")
            .replace('EF = "CBR"', 'EF = "gold"'))
    assert [problem.split(": ")[0:2] for problem in problems_of(text)] == [
        ["t:13", "links.two.ends.depot"], ["t:18", "vps.one.vpi"], ["t:16", "vps.one.default_vci"],
        ["t:38", "qos.dscp.EF"]]


@pytest.mark.parametrize("key", ["nodes", "servers", "services"])
def test_a_network_needs_some_of_each(key: str) -> None:
    document = tomllib.loads(TABLE)
    for value in ({}, None):
        changed = {name: entry for name, entry in document.items() if name != key}
        changed |= {} if value is None else {key: value}
        assert f"the network has no {key}: add at least one [{key}.NAME]" in "\n".join(problems_of(dump(changed)))


@pytest.mark.parametrize(("key", "told"), [("links", "no link joins depot and web1"), ("vps", "no VP leads to")])
def test_servers_behind_atm_need_links_and_vps(key: str, told: str) -> None:
    document = tomllib.loads(TABLE)
    del document[key]
    assert told in "\n".join(problems_of(dump(document)))


def test_a_number_of_many_digits() -> None:
    """Python's own limit on digits is no TOMLDecodeError."""
    [problem] = problems_of(TABLE.replace("vpi = 1", f"vpi = {'1' * 5000}"))
    assert problem.startswith("t: is not TOML: Exceeds the limit")
    for text in (f"vpi = {'1' * 4000}", f"vpi = 0x{'1' * 5000}"):  # no limit on hexadecimal digits
        assert problems_of(TABLE.replace("vpi = 1", text)) == [
            "t:18: vps.one.vpi: a number of so many digits does not fit vpi: write a whole number from 0 to 4095"]


def test_a_label_is_16_unless_the_table_has_another() -> None:
    text = TABLE.replace('rate = "oc3"', 'format = "pwe3"').replace(":5501", ":6635")
    assert parse(text).links["one"].label == 16
    assert parse(text.replace('format = "pwe3"', 'format = "pwe3"\nlabel = 1048575')).links["one"].label == 1048575


def test_the_port_of_pseudowires_is_the_one_that_receivers_know() -> None:
    assert link_formats._MPLS_PORT == MPLS_PORT


def test_each_format_of_the_model_has_its_row() -> None:
    assert set(link_formats.FORMATS) == set(get_args(get_type_hints(links.Link)["format"]))


def test_nesting_without_end() -> None:
    [problem] = problems_of(TABLE + "deep = " + "[" * 20_000)
    assert problem.startswith("t: is not TOML: ")


def test_a_problem_is_a_single_line_for_any_keys() -> None:
    assert problems_of(TABLE + r'"a\nb\u001b[31m" = 1') == [
        r't:43: lab.a\nb\x1b[31m: unknown key "a\nb\x1b[31m": there are networks, without_web']


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


@pytest.mark.parametrize(("make", "why"), [
    (lambda path: path.mkdir(), "it is a directory: name a file in it"),
    (lambda path: path.write_bytes(b"name = \"\xff\""), "it is no UTF-8 text: save it as UTF-8"),
    (os.mkfifo, "it is a FIFO: write the table to a file"),
    (lambda path: path.symlink_to("/dev/zero"), "it is a device: write the table to a file"),
    (lambda path: make_socket(path), "it is a socket: write the table to a file"),
    (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    (lambda path: (path.touch(), os.truncate(path, 2**40)), "it is greater than 16 MiB, and no VC table"),
    (lambda path: path.symlink_to("/proc/self/pagemap"), "it is greater than 16 MiB, and no VC table"),
], ids=["folder", "no text", "FIFO", "device", "socket", "circle", "huge", "without a size"])
def test_a_file_that_cannot_be_read(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, why: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("net.toml")  # short enough for a socket, wherever it is
    make(path)
    with within(20), pytest.raises(NetworkError) as caught:
        network.load(path)
    assert caught.value.problems == [
        f"{path}: cannot be read: {why}"]


def test_a_table_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(network.find("direct").read_text(), encoding="utf-8-sig")
    assert network.load(path) == network.load("direct")


def test_a_table_that_is_not_there_is_guessed_among_those_that_ship() -> None:
    with pytest.raises(NetworkError) as caught:
        network.load("dirct")
    [problem] = caught.value.problems
    assert "did you mean \"direct\"?" in problem
    assert problem.endswith(f"There are {', '.join(table.stem for table in TABLES)}")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, f"{'x/' * 3000}y.toml"])
def test_a_name_that_no_file_can_have(name: str) -> None:
    with pytest.raises(NetworkError, match="cannot be read: File name too long"):
        network.load(name)


def test_a_file_is_found_by_path_or_by_the_name_it_ships_under(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert network.find("direct").name == network.find("direct.toml").name == "direct.toml"
    assert network.find("direct.json") == Path("direct.json")
    assert network.find("sub/direct.toml") == Path("sub/direct.toml")
    Path("direct.toml").write_text(TABLE, encoding="utf-8")
    assert network.load("direct.toml").name == "small"
    assert network.load("direct").name == "direct"


# ── lines ──

LINES = """\
a = 1
# [b]
[ b . "c d" ]   # a table
e = 2
f.g = 3
"h.i" = { j = 4 }
[k]
  [k.l]
  m = [
    "n = 5",
  ]
b = 6
[[o]]
[k.p]
text = '''
[b . "c d"]
f.g = "no key"
'''
""".replace("# a table", "# a table\u2028 and more of the comment\x0c")


@pytest.mark.parametrize(("path", "line"), [
    (("a",), 1), (("a", "x"), 1), (("b",), None), (("b", "c d"), 3), (("b", "c d", "zzz"), 3), (("b", "c d", "e"), 4),
    (("b", "c d", "f", "g"), 5), (("b", "c d", "h.i", "j"), 6), (("k",), 7), (("k", "l"), 8), (("k", "l", "m", "0"), 9),
    (("k", "l", "b"), 12), (("k", "p"), 14), (("x",), None), ((), None)])
def test_line_of(path: tuple[str, ...], line: int | None) -> None:
    assert Lines(LINES).of(path) == line
    assert Lines(LINES.replace("\n", "\r\n")).of(path) == line


@given(st.text(), st.lists(st.text(max_size=5), max_size=3))
def test_line_of_any_text(text: str, path: list[str]) -> None:
    line = Lines(text).of(tuple(path))
    assert line is None or 1 <= line <= text.count("\n") + 1


# ── whatever else is in a file ──

def dump(document: dict[str, Any]) -> str:
    """TOML, all of it in inline tables; escapes are JSON's, but for DEL."""
    return "\n".join(f"{_text(key)} = {_value(value)}" for key, value in document.items()) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)} = {_value(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else str(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


texts = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.sampled_from([
    "depot", "web1", "web2", "web9", "edge", "external", "10.80.0.1", "fd00:80::1", "10.9.0.0/24", "10.9.0.1/24",
    "oc3", "5ms", "1cps", "0cps", "64-65535", "9-3", "172.31.1.1:5501", "[::1]:1", "UBR.1", "cbr", "cbr:pcr=1",
    "EF", "nni", "llc", "` - at `$.x`", "foo/24"]))
scalars = st.one_of(st.booleans(), st.integers(), st.integers(0, 70000), st.floats(), texts, st.sampled_from([
    2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**19, -10**19, 10**40, 1e19, float("inf"), float("nan")]))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3)
                      | st.dictionaries(texts, inner, max_size=3), max_leaves=6)
EXTRAS: dict[str, Any] = {
    "rate": "oc3", "delay": "5ms", "cell_loss": 0.5, "from": {"depot": {"rate": "1cps"}}, "mtu": 576, "crc": "dynamips",
    "shared_vcs": {"UBR.1": 40}, "session_vcis": "32-40",
    "qos": {"dscp": {"EF": "CBR"}, "contracts": {"CBR": "cbr:pcr=1"}}, "lab": {"networks": ["10.9.0.0/24"]},
    "sessions": {"idle": "1s", "max_sessions": 1}, "reassembly": {"octets": 65_600}, "max_sessions": 9, "weight": 0,
    "probing": {"interval": "1ms", "rise": 1}, "max_half_open": 1, "queue": 1, "seed": 1, "slow_start": "0s",
    "interface": "nni", "address": ["10.80.0.1"], "ports": []}


def tables_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [table for value in document.values() if isinstance(value, dict) for table in tables_in(value)]
    return [document, *inner]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A good table with some of its keys dropped, renamed, doubled, or with other values; and some added."""
    document = copy.deepcopy(tomllib.loads(draw(st.sampled_from([DIRECT, TABLE]))))
    for _ in range(draw(st.integers(1, 5))):
        table = draw(st.sampled_from(tables_in(document)))
        key = draw(st.sampled_from(sorted(table))) if table else draw(texts)
        match draw(st.sampled_from(["drop", "replace", "rename", "double", "swap", "add"])):
            case "drop":
                table.pop(key, None)
            case "replace":
                table[key] = draw(values)
            case "rename":
                table[draw(texts)] = table.pop(key, 1)
            case "double":
                table[draw(texts)] = copy.deepcopy(table.get(key, 1))
            case "swap":
                other = draw(st.sampled_from(tables_in(document)))
                if other:
                    table[key] = copy.deepcopy(other[draw(st.sampled_from(sorted(other)))])
            case "add":
                extra = draw(st.sampled_from(sorted(EXTRAS)))
                table[extra] = copy.deepcopy(EXTRAS[extra])
    return document


NODES = ["depot", "web1", "web2", "web3"]
KNOWN = {"nodes": model.Node, "links": links.Link, "vps": links.Vp, "servers": pools.Server,
         "services": pools.Service, "qos": model.Qos, "lab": model.Lab}
PLAUSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from(["depot", "edge", "external"]),
    "address": st.lists(st.sampled_from(["10.1.0.2", "10.80.0.1", "fd00::1"]), max_size=2),
    "ends": st.one_of(
        st.lists(st.sampled_from(NODES), max_size=3),
        st.dictionaries(st.sampled_from(NODES), st.sampled_from(["10.0.1.1:1", "10.0.1.2:1", "[::1]:2"]), max_size=3)),
    "from": st.dictionaries(st.sampled_from(NODES), st.fixed_dictionaries({}, optional={"rate": st.just("1cps")}),
                            max_size=2),
    "interface": st.sampled_from(["uni", "nni"]),
    "vpi": st.integers(0, 4095),
    "mtu": st.integers(576, 2000),
    "default_vci": st.integers(32, 70),
    "session_vcis": st.sampled_from(["32-65535", "40-50", "64-64"]),
    "shared_vcs": st.dictionaries(st.sampled_from(["CBR", "cbr", "UBR.1", "gold", ""]), st.integers(32, 42),
                                  max_size=3),
    "node": st.sampled_from(NODES),
    "vip": st.lists(st.sampled_from(["10.80.0.1", "10.1.0.2", "fd00:80::1"]), min_size=1, max_size=3),
    "ports": st.lists(st.integers(1, 65535) | st.just(80), max_size=3),
    "servers": st.lists(st.sampled_from(["one", "two", "web1", "web2"]), min_size=1, max_size=3),
    "dscp": st.dictionaries(st.sampled_from(["EF", "ef", "63", "64", ""]), st.sampled_from(["CBR", "gold", ""])),
    "contracts": st.dictionaries(st.sampled_from(["CBR", "gold", ""]),
                                 st.sampled_from(["cbr:pcr=1", "cbr", "ubr", ":"])),
    "weight": st.sampled_from([0, 1, 1000]),
    "max_sessions": st.sampled_from([0, 1, 2**31 - 1]),
    "slow_start": st.sampled_from(["0s", "1ns", "8760h"]),
    "balancing": st.sampled_from(["maglev", "source-hash", "random-of-two", "least-load", "weighted-round-robin"]),
    "networks": st.lists(st.sampled_from(["10.9.0.0/24", "fd00:9::/64", "10.9.0.1/24", "10.9.0.0/32", "10.9.0.0", "x/8",
                                          "", "/"]), max_size=3),
}


@st.composite
def plausible(draw: st.DrawFn) -> dict[str, Any]:
    """A good table with other values, each of the right kind: what gets as far as the rules."""
    document = copy.deepcopy(tomllib.loads(draw(st.sampled_from([DIRECT, TABLE]))))
    for key in ("qos", "lab"):
        document.setdefault(key, {})
    for _ in range(draw(st.integers(1, 5))):
        key = draw(st.sampled_from(sorted(PLAUSIBLE)))
        holders = [table for name, kind in KNOWN.items() if key in kind.__struct_encode_fields__
                   for table in ([document[name]] if name in ("qos", "lab") else document[name].values())]
        draw(st.sampled_from(holders))[key] = draw(PLAUSIBLE[key])
    if draw(st.booleans()):
        section = document[draw(st.sampled_from(["nodes", "links", "vps", "servers", "services"]))]
        name = draw(st.sampled_from(sorted(section)))
        section["web3"] = copy.deepcopy(section[name])
        if draw(st.booleans()):
            del section[name]
    return document


def only_network_error_escapes(text: str) -> None:
    problems, table = None, None
    try:
        table = parse(text, "t")
    except NetworkError as error:
        problems = error.problems
    if table is not None:
        follow(table)
        start(table)
    else:
        assert problems
        assert all(problem.startswith("t:") and "\n" not in problem for problem in problems)


def start(table: Network) -> None:
    """A right table starts, is taken over by nodes that run, and fits the data path to the octet."""
    running = InMemoryNetwork(parse(DIRECT))
    if all(getattr(table, part) == getattr(running.network, part) for part in ("nodes", "links", "vps", "reassembly")):
        for node in (running.depot, *(running.edges[name] for name in table.edges)):
            node.reconfigure(table, running.now)
        running.advance(SECOND)
    it = InMemoryNetwork(table)
    it.to_service(tcp(CLIENT4, 40_000, table.vips[0], 80, SYN) if table.vips[0].version == 4 else b"")
    it.advance(5 * SECOND)
    for node in (it.depot, *it.edges.values()):
        node.reconfigure(table, it.now)
    msgspec.json.encode(table, enc_hook=plain)


def follow(table: Network) -> None:
    """Everything that a daemon follows leads somewhere in a table that is right."""
    assert table.nodes[table.depot].kind == "depot"
    for server in table.servers.values():
        route = table.routes.working[table.vp_between(table.depot, server.node)]
        assert {route.nodes[0], route.nodes[-1]} == {table.depot, server.node}
    for link in table.links.values():
        for node in link.ends:
            assert isinstance(link.line_from(node).impaired, bool)
            assert link.ends[node].host
            assert 1 <= link.ends[node].port <= 65535
    for service in table.services.values():
        assert {table.servers[name].node for name in service.servers} <= table.nodes.keys()
    assert all(vip.packed for vip in table.vips)


@pytest.mark.parametrize("text", [DIRECT, TABLE])
def test_the_dumper_and_the_good_tables(text: str) -> None:
    document = tomllib.loads(text)
    assert tomllib.loads(dump(document)) == document
    follow(parse(dump(document)))


@given(values)
def test_the_dumper(value: Any) -> None:
    assume(value == value and "nan" not in repr(value))
    assert tomllib.loads(dump({"key": value})) == {"key": value}


@given(plausible())
@examples(300)
def test_only_network_error_escapes_from_the_rules(document: dict[str, Any]) -> None:
    only_network_error_escapes(dump(document))


@given(mutated())
@examples(200)
def test_only_network_error_escapes_from_a_changed_table(document: dict[str, Any]) -> None:
    only_network_error_escapes(dump(document))


scraps = st.one_of(st.text(max_size=3), st.sampled_from(list("\"'[]{}=.,#\n-0 ")))


@given(st.sampled_from([DIRECT, TABLE]),
       st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 12), scraps), min_size=1, max_size=4))
@examples(300)
def test_only_network_error_escapes_from_a_changed_text(text: str, edits: list[tuple[int, int, str]]) -> None:
    for at, length, new in edits:
        text = text[:at] + new + text[at + length:]
    only_network_error_escapes(text)


@given(st.one_of(st.text(), st.builds(dump, st.dictionaries(st.sampled_from(
    ["name", "nodes", "links", "vps", "servers", "services", "sessions", "reassembly", "qos", "lab"]), values))))
@examples(200)
def test_only_network_error_escapes_from_any_text(text: str) -> None:
    only_network_error_escapes(text)


@pytest.mark.parametrize(("old", "new", "said"), [
    ('["10.80.0.1"]', '["127.0.0.1"]', "127.0.0.1 cannot be routed to the depot"),
    ('["10.80.0.1"]', '["224.0.0.1"]', "224.0.0.1 cannot be routed to the depot"),
    ('["10.80.0.1"]', '["0.0.0.0"]', "0.0.0.0 cannot be routed to the depot"),
    ('["10.80.0.1"]', '["10.0.1.1"]', "the address 10.0.1.1 is that of a host, at links.one.ends.depot"),
    ("10.9.0.0/24", "10.80.0.0/24", "the VIP 10.80.0.1 lies in 10.80.0.0/24"),
    ("10.9.0.0/24", "10.0.1.0/24", "the link address 10.0.1.1 lies in 10.0.1.0/24"),
])
def test_addresses_that_could_never_work(old: str, new: str, said: str) -> None:
    assert old in TABLE
    assert any(said in problem for problem in problems_of(TABLE.replace(old, new, 1)))
