"""Lesson 1: a request as cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.exercises.lesson import Step, expect
from atmdepot.exercises.recorded import answers_to, requests_in
from atmdepot.wire.aal5 import TRAILER_SIZE
from atmdepot.wire.cell import CELL_SIZE, PAYLOAD_SIZE

if TYPE_CHECKING:
    from atmdepot.exercises.lesson import Answers, Evidence
    from atmdepot.trace.items import Pdu


def _last_request(evidence: Evidence, answers: Answers) -> tuple[Pdu, list[Pdu]]:
    capture = answers.path("capture")
    pdus = evidence.pdus(capture)
    return requests_in(pdus, capture)[-1], pdus


def _cells(evidence: Evidence, answers: Answers) -> str:
    request, _ = _last_request(evidence, answers)
    said = answers.number("cells")
    expect(said == request.count, f"the packet with the GET did not take {said:g} cells: look at its line, "
           "`atmdepot trace -r FILE dst port 80 and tcp psh`, not at those of SYN, ACK and FIN")
    return f"the GET, an IP packet of {request.length} octets, took {request.count} cells"


def _padding(evidence: Evidence, answers: Answers) -> str:
    request, _ = _last_request(evidence, answers)
    expect(answers.number("pad") == request.pad, f"the padding is another: packet, padding and the {TRAILER_SIZE} "
           f"octets of the trailer fill whole payloads of {PAYLOAD_SIZE} octets")
    expect(answers.number("octets") == request.count * CELL_SIZE,
           f"the padding is right, the octets on the link are not: a cell has {CELL_SIZE} octets, its header too")
    return (f"{request.length} + {request.pad} + {TRAILER_SIZE} = {request.count} x {PAYLOAD_SIZE}, and "
            f"{request.count * CELL_SIZE} octets on the link")


def _way_back(evidence: Evidence, answers: Answers) -> str:
    request, pdus = _last_request(evidence, answers)
    expect(answers.vc("vc") == request.vc, "the request took another VC: its line has VPI/VCI behind `out`")
    expect(answers.text("server") == request.name.server, "the VC is right, the server is not: the VPI leads to it; "
           f"`atmdepot check {evidence.network.name}` lists the VPs")
    back = answers_to(request, pdus)
    expect(back, "the capture has no answer of the server: end the trace after curl has ended")
    expect({pdu.vc for pdu in back} == {request.vc}, "the answer came on another VC: record again")
    total = sum(pdu.count for pdu in back)
    expect(answers.number("back") == total, "the cells of the answer are others: add up those of all PDUs from the "
           "server in this session, SYN+ACK and FIN too")
    return f"the answer came back on the same VC, in {total} cells"


STEPS = (
    Step(
        "In one terminal record the cells of sessions:\n"
        "  atmdepot trace -w request.pcapng role session\n"
        "In another ask for a page:\n"
        "  atmdepot lab exec client -- curl -s -o /dev/null http://10.80.0.1/1KB\n"
        "End the trace with Ctrl-C. How many cells did the packet with the GET take?",
        {"capture": "request.pcapng", "cells": "N"},
        "`atmdepot trace -r request.pcapng` has a line for each PDU, with its cells; the GET is the first with a P "
        "among its TCP flags.",
        """rm -f request.pcapng
atmdepot trace -w request.pcapng role session &
while [ ! -e request.pcapng ]; do sleep 0.2; done
atmdepot lab exec client -- curl -s -o /dev/null http://10.80.0.1/1KB
kill $!; wait
cells=$(atmdepot trace -r request.pcapng -e cells --no-heading -c 1 dst port 80 and tcp psh)
atmdepot exercise 1 --check capture=request.pcapng cells=$cells""", _cells),
    Step(
        "Without looking: how many octets of padding does that PDU have, and how many octets is it on the link, with "
        "the headers of its cells? Then look whether you are right.",
        {"pad": "N", "octets": "N"},
        "The SDU here is the bare IP packet (vc-mux). `length` in the PDU's line is its length; the trailer has 8 "
        "octets.",
        """pad=$(atmdepot trace -r request.pcapng -e pad --no-heading -c 1 dst port 80 and tcp psh)
atmdepot exercise 1 --check pad=$pad octets=$((cells * 53))""", _padding),
    Step(
        "On which VC did the request go, to which server, and how many cells came back on it in all?",
        {"vc": "VPI/VCI", "server": "NAME", "back": "N"},
        "`atmdepot trace -r request.pcapng --table direct -e vc,server,cells src port 80` has the answer's PDUs.",
        """way=$(atmdepot trace -r request.pcapng --table direct -e vc,server --no-heading -c 1 dst port 80 and tcp psh)
read -r vc server <<< "$way"
back=$(atmdepot trace -r request.pcapng -e cells --no-heading src port 80 | awk '{ n += $1 } END { print n }')
atmdepot exercise 1 --check vc=$vc server=$server back=$back""", _way_back),
)
