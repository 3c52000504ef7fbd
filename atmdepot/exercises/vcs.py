"""Lesson 4: flows and VCs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.depot.question import Question
from atmdepot.exercises.lesson import NotYet, Step, expect
from atmdepot.exercises.recorded import requests_in

if TYPE_CHECKING:
    from typing import Any

    from atmdepot.exercises.lesson import Answers, Evidence


def _open_sessions(evidence: Evidence) -> list[dict[str, Any]]:
    return [row for row in evidence.rows("sessions") if not row["probe"]
            and row["client_state"] == row["server_state"] == "ESTABLISHED"]


def _next_vc(evidence: Evidence, answers: Answers) -> str:
    established = _open_sessions(evidence)
    if not established:
        raise NotYet("no session of the client is open: keep one open by a slow download, and check while it runs")
    answers.vc("vc")  # it has the form of one
    said = answers.text("vc")
    expect(said in {row["vc"] for row in established}, f"no open session of the client is on VC {said[:40]}: "
           "`atmdepot show sessions --no-probes --state ESTABLISHED`")
    client = established[0]["client"].rpartition(":")[0]
    service, _, port = established[0]["service"].rpartition(":")
    told = evidence.explain(Question(source=client.strip("[]"), source_port=9, destination=service.strip("[]"),
                                     destination_port=int(port)))
    expect(answers.text("next") == told.path.get("vc"), "the next session will get another VC: the pool's balancing "
           "says whose turn it is, and that VP has free VCIs; `atmdepot explain` asks the depot")
    return f"the session has VC {said} for itself; the next goes to {told.server} on VC {told.path['vc']}"


def _shared(evidence: Evidence, answers: Answers) -> str:
    capture = answers.path("capture")
    requests = requests_in(evidence.pdus(capture), capture)
    vcs = {pdu.vc for pdu in requests}
    expect(len(requests) > len(vcs), "each request in the capture has a VC of its own: find a way to ask twice in one "
           "TCP session")
    expect(answers.number("requests") == len(requests), "the capture holds another number of requests: count the PDUs "
           "to port 80 with data")
    expect(answers.number("vcs") == len(vcs), "the requests took another number of VCs: compare their VPI/VCI")
    return (f"{len(requests)} requests on {len(vcs)} VC{'s' * (len(vcs) > 1)}: a VC belongs to a session, not to a "
            "request")


def _default(evidence: Evidence, answers: Answers) -> str:
    expect(evidence.is_up, f"the lab {evidence.network.name} is not up: `atmdepot exercise 4` brings it up")
    network = evidence.network
    defaults = {(vp.vpi, int(vp.default_vci)) for vp in network.vps.values() if network.ends_at_depot(vp)}
    expect(answers.vc("ping") in defaults, "the echo request takes another VC: trace `icmp`, or ask `atmdepot explain "
           "--proto icmp`")
    return "a packet of no session takes the default VC of its server's VP, with all others that have none"


STEPS = (
    Step(
        "Keep a session open with a slow download, and check while it runs (Ctrl-C ends it):\n"
        "  atmdepot lab exec client -- curl -s --limit-rate 20K -o /dev/null http://10.80.0.1/10MB\n"
        "Which VC has the session? Before you ask for anything else: which VC will the client's next session get?",
        {"vc": "VPI/VCI", "next": "VPI/VCI"},
        "`atmdepot show sessions`; the pool is round-robin, and VCIs are given in order. `atmdepot explain --src "
        "10.9.0.2:40000 --dst 10.80.0.1:80` knows.",
        """atmdepot lab exec client -- curl -s --limit-rate 20K -o /dev/null http://10.80.0.1/10MB &
of_session() { atmdepot show sessions --no-probes --state ESTABLISHED | awk '$1 + 0 > 0 { print $4 }'; }
until [ -n "$(of_session)" ]; do sleep 0.2; done
vc=$(of_session)
next=$(atmdepot explain --src 10.9.0.2:40000 --dst 10.80.0.1:80 | sed -n 's|^VC *\\([0-9/]*\\): .*|\\1|p')
atmdepot exercise 4 --check vc=$vc next=$next
kill $!; wait""", _next_vc),
    Step(
        "Record several requests of the client, of which at least two share a VC:\n"
        "  atmdepot trace -w two.pcapng role session\n"
        "How many requests does your capture hold, and how many VCs carry them?",
        {"capture": "two.pcapng", "requests": "N", "vcs": "N"},
        "curl takes several URLs, and keeps the connection for them.",
        """rm -f two.pcapng
atmdepot trace -w two.pcapng role session &
while [ ! -e two.pcapng ]; do sleep 0.2; done
atmdepot lab exec client -- curl -s http://10.80.0.1/server http://10.80.0.1/server
atmdepot lab exec client -- curl -s http://10.80.0.1/server
kill $!; wait
requests() { atmdepot trace -r two.pcapng -e vc --no-heading dst port 80 and tcp psh; }
atmdepot exercise 4 --check capture=two.pcapng requests=$(requests | wc -l) vcs=$(requests | sort -u | wc -l)""",
        _shared),
    Step(
        "Ping the service from the client:\n"
        "  atmdepot lab exec client -- ping -c 1 10.80.0.1\n"
        "Which VC does the echo request take?",
        {"ping": "VPI/VCI"},
        "An echo request belongs to no session. `atmdepot trace icmp` shows it.",
        """told() { atmdepot explain --proto icmp --src 10.9.0.2 --dst 10.80.0.1; }
ping=$(told | sed -n 's|^VC *\\([0-9/]*\\).*|\\1|p' | head -1)
atmdepot exercise 4 --check ping=$ping""", _default),
)
