"""Lesson 5: quality of service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.config.qos import DSCP_NAMES, QosMap
from atmdepot.exercises.lesson import Step, expect
from atmdepot.exercises.recorded import answers_to, requests_in

if TYPE_CHECKING:
    from pathlib import Path

    from atmdepot.exercises.lesson import Answers, Evidence
    from atmdepot.trace.items import Pdu

_MARK = """  atmdepot lab exec client -- nft 'add table ip dscp;
    add chain ip dscp out { type route hook output priority mangle; }; add rule ip dscp out ip dscp set ef'"""


def _request(pdus: list[Pdu], capture: Path, dscp: str) -> Pdu:
    """The last request with a DSCP."""
    requests = requests_in(pdus, capture)
    found = [pdu for pdu in requests if pdu.packet is not None and pdu.packet.dscp == DSCP_NAMES[dscp]]
    expect(found, f"no request in {capture} has DSCP {dscp}: mark the client's packets before it asks")
    return found[-1]


def _map_of(evidence: Evidence) -> QosMap:
    qos = evidence.network.qos
    return QosMap(qos.dscp, qos.contracts)


def _category(evidence: Evidence, answers: Answers) -> str:
    capture = answers.path("capture")
    request = _request(evidence.pdus(capture), capture, "EF")
    category = _map_of(evidence).category(DSCP_NAMES["EF"])
    expect(answers.vc("vc") == request.vc, "the request with DSCP EF took another VC: its line in the trace has "
           "VPI/VCI")
    expect(answers.text("category").upper() == str(category).upper(), "the VC is right, the service category is not: "
           "`atmdepot show vcs` while it is open, or `atmdepot explain --dscp EF`")
    return f"DSCP EF asks for {category}, and the session got a VC of it"


def _contract(evidence: Evidence, answers: Answers) -> str:
    capture = answers.path("capture")
    pdus = evidence.pdus(capture)
    request = _request(pdus, capture, "EF")
    back = answers_to(request, pdus)
    expect(back, "the capture has no answer of the server: end the trace after curl has ended")
    cells = sum(pdu.count for pdu in back)
    qos = _map_of(evidence)
    pcr = qos.contract(qos.category(DSCP_NAMES["EF"])).pcr
    assert pcr
    expect(answers.number("cells") == cells, "the server's cells in that session are others: add up `-e cells src port "
           "80` of its VC")
    ms = cells / pcr * 1000
    expect(abs(answers.number("ms") - ms) <= max(1, ms / 20), "the cells are right, the time is not: the contract's "
           "PCR is in the VC table, in cells/s, and a cell leaves each 1/PCR")
    took = (back[-1].time - request.time) / 1e6
    return f"{cells} cells at {pcr:,} cells/s take {ms:.0f} ms at least; in your capture they took {took:.0f} ms"


def _clp(evidence: Evidence, answers: Answers) -> str:
    capture = answers.path("low")
    pdus = evidence.pdus(capture)
    request = _request(pdus, capture, "CS1")
    there = [pdu for pdu in pdus if pdu.flow == request.flow]
    marked, back = (sum(cell.header.clp for pdu in way for cell in pdu.cells)
                    for way in (there, answers_to(request, pdus)))
    expect(answers.number("out") == marked, "another number of the client's cells has CLP 1: `atmdepot trace -r FILE "
           "--level cell clp 1 and dst port 80`")
    expect(answers.number("back") == back, "another number of the server's cells has CLP 1: look at src port 80")
    return f"{marked} cells of the client's with CLP 1, {back} of the server's: each packet's own DSCP says"


STEPS = (
    Step(
        f"Have the client send with DSCP EF (curl 8.9 and later: --ip-tos 0xb8), record, and ask for 10 KB:\n{_MARK}\n"
        "  atmdepot trace -w ef.pcapng role session\n"
        "  atmdepot lab exec client -- curl -s -o /dev/null http://10.80.0.1/10KB\n"
        "Which VC did the session get, and of which service category is it?",
        {"capture": "ef.pcapng", "vc": "VPI/VCI", "category": "NAME"},
        "`atmdepot show vcs` has the category of each open VC; `atmdepot explain --src 10.9.0.2:40000 --dst "
        "10.80.0.1:80 --dscp EF` says why.",
        """mark() {
  atmdepot lab exec client -- nft "add table ip dscp; add chain ip dscp out { type route hook output priority mangle; }
    add rule ip dscp out ip dscp set $1"
}
record() {
  rm -f $1
  atmdepot trace -w $1 role session &
  while [ ! -e $1 ]; do sleep 0.2; done
  atmdepot lab exec client -- curl -s -o /dev/null http://10.80.0.1/$2
  kill $!; wait
}
mark ef
record ef.pcapng 10KB
vc=$(atmdepot trace -r ef.pcapng -e vc --no-heading -c 1 dst port 80 and tcp psh)
category=$(atmdepot explain --src 10.9.0.2:40000 --dst 10.80.0.1:80 --dscp EF | sed -n 's/.*asks for //p')
atmdepot exercise 5 --check capture=ef.pcapng vc=$vc category=$category""", _category),
    Step(
        "How many cells did the server send in that session, and how many milliseconds do they take at least under the "
        "contract of CBR?",
        {"cells": "N", "ms": "N"},
        "The contract is in the VC table: `atmdepot check qos`, or `show vcs --wide` while the session is open.",
        """cells=$(atmdepot trace -r ef.pcapng -e cells --no-heading src port 80 | awk '{ n += $1 } END { print n }')
atmdepot exercise 5 --check cells=$cells ms=$((cells * 1000 / 10000))""", _contract),
    Step(
        "Take the mark away, and mark the client's packets with cs1 in place of ef:\n"
        "  atmdepot lab exec client -- nft delete table ip dscp\n"
        "Record a request for 1 KB in low.pcapng. How many of the client's cells have CLP 1, and how many of the "
        "server's? Why?",
        {"low": "low.pcapng", "out": "N", "back": "N"},
        "`atmdepot trace -r low.pcapng --level cell clp 1`; the server does not copy the client's DSCP.",
        """atmdepot lab exec client -- nft delete table ip dscp
mark cs1
record low.pcapng 1KB
atmdepot lab exec client -- nft delete table ip dscp
marked() { atmdepot trace -r low.pcapng --level cell clp 1 and $1 port 80 | wc -l; }
atmdepot exercise 5 --check low=low.pcapng out=$(marked dst) back=$(marked src)""", _clp),
)
