"""Mistakes in tables of Frame Relay: each has a message that names the key and says what to write."""

from __future__ import annotations

import pytest

from atmdepot.config.reading import NetworkError, find, parse
from tests.relay_network import relay_table

TABLE = relay_table()
NODE_WITHOUT_PVC = """[nodes.web9]
kind = "edge"
[links.x]
bearer = "frame-relay"
ends = { depot = "127.0.0.1:9", web9 = "127.0.0.1:10" }
"""
LINK = 'bearer = "frame-relay"\n'
CIR = 'cir = "1Mbps"\n'


def mistakes(text: str) -> list[str]:
    with pytest.raises(NetworkError) as raised:
        parse(text, "t")
    return [problem.partition(": ")[2] for problem in raised.value.problems]


def test_a_table_of_frame_relay_is_right() -> None:
    for values in ({}, {"via": True, "dlcis": ""}, {"dlcis": ""}, {"dlcis": CIR + 'be = 20000\npolice = true'},
                   {"lmi": 'lmi = { type = "none" }'}, {"lmi": 'lmi = { network = "depot" }'}):
        parse(relay_table(**values), "t")


@pytest.mark.parametrize(("old", "new", "told"), [
    ('ends = ["depot", "web1"]', 'ends = ["depot", "web9"]', 'dlcis.web1.ends: there is no node "web9"'),
    ('ends = ["depot", "web1"]', 'ends = ["depot"]', "dlcis.web1.ends: PVCs have two ends"),
    ('ends = ["depot", "web1"]', 'ends = ["web2", "web1"]', "are edge and edge: PVCs lead from a depot to an edge"),
    ("dlci = 100", 'dlci = 100\nvia = "sw"', 'dlcis.web1.via: there is no node "sw"'),
    ("dlci = 100", 'dlci = 100\nvia = "web2"', "no link of Frame Relay joins web1 and web2"),
    ("dlci = 100", "dlci = 15", "DLCI 15 is reserved"),
    ("dlci = 100", "dlci = 300", "dlcis.web1.dlci: DLCI 300 is used twice: it is also in session_dlcis (200-991)"),
    ("dlci = 100", "dlci = 100\nmanagement_dlci = 100", "dlcis.web1.management_dlci: DLCI 100 is used twice"),
    ('session_dlcis = "200-991"', 'session_dlcis = "16-991"', "no DLCI is left|is used twice"),
    ("dlci = 100", "dlci = 100\nmtu = 1200", "dlcis.web1.mtu: an MTU of 1200 is too small for the VIP fd00:80::1"),
    ("dlci = 100", "dlci = 100\nbe = 20000", "dlcis.web1.be: it says nothing without a CIR"),
    ("dlci = 100", "dlci = 100\npolice = true", "dlcis.web1.police: it says nothing without a CIR"),
    ("dlci = 100", f"dlci = 100\n{CIR}bc = 9000", "dlcis.web1.bc: a frame with a packet of 1500 octets has 12032 bits"),
    ("dlci = 100", f"dlci = 100\n{CIR}be = 9000", "dlcis.web1.be: a frame with a packet of 1500 octets has 12032 bits"),
    ("[dlcis.web1]", "[dlcis.other]\nends = [\"depot\", \"web1\"]\ndlci = 50\n[dlcis.web1]",
     "already leads from depot to web1"),
    (LINK, LINK + 'rate = "oc3"\n', "links.depot-web1.rate: a link of Frame Relay has no such key"),
    (LINK, LINK + 'cells = 1\n', "links.depot-web1.cells: a link of Frame"),
    (LINK, LINK + 'ilmi = true\n', "links.depot-web1.ilmi: a link of Frame"),
    (LINK, LINK + 'lmi = { network = "web2" }\n',
     'links.depot-web1.lmi.network: "web2" is no end of this link: its ends are depot and web1'),
    (LINK, LINK + 'lmi = { t391 = "20s" }\n',
     "links.depot-web1.lmi.t392: 15s does not fit T391, 20s"),
    (LINK, LINK + 'lmi = { t391 = "1ms" }\n', "1ms is too short"),
    (LINK, LINK + 'lmi = { n392 = 5 }\n',
     "links.depot-web1.lmi.n392: 5 errors in 4 events"),
    ('bearer = "frame-relay"\nnode = "web1"', 'node = "web1"', 'no vps|PVCs of Frame Relay lead to "web1"'),
    ("[servers.web1]", NODE_WITHOUT_PVC + "[servers.web1]", "nodes.web9: no PVC leads to this edge node"),
    ('[servers.web1]', '[links.x]\nends = { web2 = "127.0.0.1:9", web1 = "127.0.0.1:10" }\n[servers.web1]',
     "nodes.web1: it has links of ATM and of Frame Relay"),
])
def test_a_mistake_is_told(old: str, new: str, told: str) -> None:
    assert old in TABLE
    found = mistakes(TABLE.replace(old, new, 1))
    assert any(part in problem for problem in found for part in told.split("|")), found


def test_two_entries_may_not_share_a_dlci_of_a_link() -> None:
    text = relay_table(via=True, dlcis="").replace("management_dlci = 22", "management_dlci = 21")
    assert any('on the link "depot-frsw" dlcis.web1 has DLCI 21 too' in problem for problem in mistakes(text))
    text = relay_table(via=True)
    assert any("DLCI 200, 201, 202, 203, 204 too" in problem for problem in mistakes(text))


def test_an_lmi_on_a_link_of_atm_is_told() -> None:
    text = """name = "t"
    [nodes.depot]
    kind = "depot"
    [nodes.web1]
    kind = "edge"
    [links.a]
    ends = { depot = "127.0.0.1:1", web1 = "127.0.0.1:2" }
    lmi = { type = "none" }
    [vps.web1]
    ends = ["depot", "web1"]
    vpi = 1
    [servers.web1]
    node = "web1"
    [services.web]
    vip = ["10.80.0.1"]
    servers = ["web1"]
    """
    assert mistakes(text) == ['links.a.lmi: only a link with bearer = "frame-relay" has an LMI: leave it out']


@pytest.mark.parametrize(("old", "new", "told"), [
    ('encapsulation = "llc"\nsession_vcis = "64-855"\nmtu = 1500\n\n[dlcis.web1]',
     'session_vcis = "64-855"\nmtu = 1500\n\n[dlcis.web1]',
     "vps.web1.encapsulation: an interworking function translates LLC/SNAP headers (FRF.8): write \"llc\""),
    ('vpi = 1\n', 'vpi = 1\nprotect = []\n',
     "vps.web1.protect: an interworking function has VCs on the working route alone: leave it out"),
    ('vp = "web1"\n', 'vp = "web2"\n', "dlcis.web2.vp: other PVCs go on from vps.web2 already: add a VP for these"),
    ('session_dlcis = "200-991"\n\n[vps.web2]', 'session_dlcis = "200-990"\n\n[vps.web2]',
     "dlcis.web1.session_dlcis: each VC of vps.web1 needs a PVC: write a range as long as its session_vcis (64-855)"),
])
def test_what_an_interworking_function_cannot_lead_on_is_refused(old: str, new: str, told: str) -> None:
    text = find("interworking").read_text(encoding="utf-8")
    assert old in text
    found = mistakes(text.replace(old, new, 1))
    assert any(problem.startswith(told) for problem in found), found
