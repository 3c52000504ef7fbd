"""Lesson 6: a depot for GNS3, without a router at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.reading import load
from atmdepot.errors import AtmdepotError
from atmdepot.exercises.lesson import NotYet, Step, Unreadable, expect
from atmdepot.exercises.recorded import requests_in
from atmdepot.trace.items import CrcVerdict
from atmdepot.wire.aal5 import crc32

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.exercises.lesson import Answers, Evidence

ROUTER = """\
name = "mine"
[nodes.depot]
kind = "depot"
[nodes.r2]
kind = "external"
[links.r2-link]
ends = { depot = "127.0.0.1:10003", r2 = "127.0.0.1:10004" }
cells = 1
rate = "20kcps"
[vps.r2]
ends = ["depot", "r2"]
vpi = 2
default_vci = 100
encapsulation = "llc"
crc = "dynamips"
mtu = 4470
[servers.r2]
node = "r2"
[services.web]
vip = ["10.80.0.1"]
ports = [80]
servers = ["r2"]
"""
"""The VC table of the solution: a depot, and a real router as r2."""

_DEPOT_END, _ROUTER_END = ("127.0.0.1", 10003), ("127.0.0.1", 10004)


def _shared(evidence: Evidence, answers: Answers) -> str:
    capture = answers.path("capture")
    of_vc: dict[tuple[int, int] | None, set[object]] = {}
    for pdu in requests_in(evidence.pdus(capture), capture):
        of_vc.setdefault(pdu.vc, set()).add(pdu.flow)
    expect(any(len(flows) > 1 for flows in of_vc.values()), "no two sessions in the capture are on one PVC: ask more "
           "often while the trace runs")
    pvc = answers.vc("pvc")
    expect(pvc in of_vc, "no request in the capture took this PVC: their lines have VPI/VCI")
    expect(answers.number("sessions") == len(of_vc[pvc]), "another number of sessions took this PVC: count the "
           "requests on it by the client's ports")
    return f"{len(of_vc[pvc])} sessions on PVC {pvc[0]}/{pvc[1]}: a router has the PVCs that it is configured with"


def _crc(evidence: Evidence, answers: Answers) -> str:
    capture = answers.path("capture")
    found = {int.from_bytes(pdu.octets[-4:], "big"): crc32(pdu.octets[:-4]) for pdu in evidence.pdus(capture)
             if pdu.crc is CrcVerdict.DYNAMIPS}
    expect(found, f"{capture} holds no PDU with Dynamips' CRC: record it in the lab gns3")
    crc = answers.octets("crc")
    expect(crc in found, "no PDU in the capture has this CRC in its trailer with Dynamips' rule: -v shows trailers")
    expect(answers.octets("right") == found[crc], "I.363.5 asks for another CRC-32 there: read the capture without "
           "--table, so that the trace does not know of Dynamips' rule")
    return "Dynamips writes zlib's CRC-32: same polynomial, other order of bits; a strict receiver drops every PDU"


def _router(evidence: Evidence, answers: Answers) -> str:
    path = answers.path("table")
    try:
        mine = load(path)
    except AtmdepotError as error:
        raise Unreadable(f"`atmdepot check {path}` does not pass: {str(error).splitlines()[0]}", str(path)) from None
    _judge_table(mine, evidence.network)
    return "the depot sends single cells to the router's NIO, on the PVC that the router is configured with"


def _judge_table(mine: Network, ours: Network) -> None:
    expect("r1" not in mine.nodes and "r2" in mine.nodes, "only r2 stays: remove r1, with its link, VP and server")
    expect(mine.nodes["r2"].kind == "external", "the router does not run atmdepot: its node has another `kind`")
    links = [link for link in mine.links.values() if "r2" in link.ends and "depot" in link.ends]
    expect(links, "there is no link from depot to r2")
    link = links[0]
    ends = [(link.ends[name].host, link.ends[name].port) for name in ("depot", "r2")]
    expect(ends == [_DEPOT_END, _ROUTER_END], "the link's ends are not those of the router's NIO: r2's is where it "
           "listens, the depot's where it sends to")
    expect(link.cells == 1, "Dynamips reads one cell a datagram: `cells` of the link")
    expect(link.line_from("depot").rate, "Dynamips' socket holds 256 datagrams: the link needs a `rate`")
    vp, as_before = mine.vps.get("r2"), ours.vps["r2"]
    if vp is None or (vp.vpi, vp.default_vci, vp.encapsulation, vp.crc, vp.session_vcis) != (
            as_before.vpi, as_before.default_vci, as_before.encapsulation, as_before.crc, None):
        raise NotYet("the VP r2 is not as the router's `pvc 2/100` with aal5snap wants it: leave it as gns3.toml has "
                     "it")


STEPS = (
    Step(
        "This lab speaks as Dynamips does, with edge nodes in the routers' places. Record, and ask four "
        "times:\n"
        "  atmdepot trace -w gns3.pcapng\n"
        "  atmdepot lab exec client -- curl -s http://10.80.0.1/server\n"
        "Choose a PVC: how many sessions did it carry?",
        {"capture": "gns3.pcapng", "pvc": "VPI/VCI", "sessions": "N"},
        "`atmdepot trace -r gns3.pcapng dst port 80 and tcp psh`; compare with lesson 4, where each session had a VC.",
        """rm -f gns3.pcapng
atmdepot trace -w gns3.pcapng &
while [ ! -e gns3.pcapng ]; do sleep 0.2; done
for each in 1 2 3 4; do atmdepot lab exec client -- curl -s http://10.80.0.1/server; done
kill $!; wait
sessions=$(atmdepot trace -r gns3.pcapng -e vc --no-heading dst port 80 and tcp psh | grep -c '^1/100$')
atmdepot exercise 6 --check capture=gns3.pcapng pvc=1/100 sessions=$sessions""", _shared),
    Step(
        "Look at a PDU of that capture with all its fields. Which CRC is in its trailer, and which would I.363.5 have?",
        {"crc": "HEX", "right": "HEX"},
        "`atmdepot trace -r gns3.pcapng -v -c 1 tcp`: without --table gns3 a trace judges by I.363.5.",
        """crc=$(atmdepot trace -r gns3.pcapng -e crc --no-heading -c 1 dst port 80 and tcp psh)
fields() { atmdepot trace -r gns3.pcapng -v -c 1 dst port 80 and tcp psh; }
right=$(fields | sed -n 's/.*(bad: \\(.*\\) would be right).*/\\1/p')
atmdepot exercise 6 --check crc=$crc right=$right""", _crc),
    Step(
        "Write a VC table for a real router as r2, alone: `pvc 2/100` with aal5snap, on an NIO made by\n"
        "  nio create_udp NAME 10004 127.0.0.1 10003\n"
        "Begin with a copy of the lab's, table.toml in the directory that `atmdepot lab status` names. No Dynamips is "
        "needed: `atmdepot check` reads it.",
        {"table": "mine.toml"},
        "docs/gns3.md, \"With a router\", has the changes. create_udp takes NAME LOCAL-PORT REMOTE-HOST "
        "REMOTE-PORT.",
        f"""cat > mine.toml <<'END'
{ROUTER}END
atmdepot exercise 6 --check table=mine.toml""", _router),
)
