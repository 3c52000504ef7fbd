"""Lesson 3: a server dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atmdepot.exercises.lesson import Step, expect

if TYPE_CHECKING:
    from atmdepot.exercises.lesson import Answers, Evidence

_ENOUGH = 3
_TOLERANCE = 0.15
"""Seconds: what is shown is rounded to tenths in some places."""


def _given_since(evidence: Evidence, seconds: float) -> list[dict[str, Any]]:
    """The clients' sessions that opened in the last seconds."""
    return [row for row in evidence.rows("sessions") if not row["probe"] and row["age_s"] < seconds]


def _took_over(evidence: Evidence, answers: Answers) -> str:
    dead = {row["server"]: row for row in evidence.rows("servers") if row["list"] == "dead"}
    expect(dead, "all servers are on the alive-list: kill one, and give the depot some seconds to notice")
    name = answers.text("dead")
    expect(name in dead, f"the depot has another server on its dead-list than {name[:40]!r}: `atmdepot show servers`")
    since = _given_since(evidence, dead[name]["for_s"])
    expect(len(since) >= _ENOUGH, f"since {name} is on the dead-list, {len(since)} of {_ENOUGH} sessions have opened: "
           f"ask {_ENOUGH} times")
    took = sorted({row["server"] for row in since})
    expect(sorted(answers.text("took").split(",")) == took, "other servers took the sessions since then: "
           "`atmdepot show sessions --no-probes` names the server of each, with its age")
    return f"{', '.join(took)} took all {len(since)} sessions since {name} was found dead: {dead[name]['why']}"


def _is_back(evidence: Evidence, answers: Answers) -> str:
    back = [row for row in evidence.rows("servers") if row["deaths"] and row["list"] == "alive"]
    expect(back, "no server has come back from the dead-list: `atmdepot lab start NODE`, and wait for its probes")
    row = back[0]
    served = [one for one in _given_since(evidence, row["for_s"]) if one["server"] == row["server"]]
    expect(served, f"{row['server']} is alive again, and has not had a session since: ask from the client again")
    expect(abs(answers.number("outage") - row["dead_s"]) <= _TOLERANCE, f"{row['server']} was on the dead-list for "
           "another time: each event `server-alive` tells one, and they add up")
    return f"{row['server']} was on the dead-list for {row['dead_s']:.1f} s and has sessions again"


STEPS = (
    Step(
        "In one terminal follow what the depot says:\n"
        "  atmdepot events --node depot\n"
        "In another kill the daemon of an edge node:\n"
        "  atmdepot lab kill web1\n"
        "Ask three times for http://10.80.0.1/server when the depot has it on its dead-list. Which server is dead, and "
        "which took the sessions?",
        {"dead": "NAME", "took": "NAME"},
        "`atmdepot show servers` has the lists, `atmdepot show sessions --no-probes` the server of each session.",
        """atmdepot lab kill web1
until atmdepot events --node depot --kind server-dead --no-follow | grep web1; do sleep 0.5; done
for each in 1 2 3; do atmdepot lab exec client -- curl -s http://10.80.0.1/server; done
atmdepot exercise 3 --check dead=web1 took=web2""", _took_over),
    Step(
        "Bring the edge node back with `atmdepot lab start`, and ask until its server has a session again. For how "
        "many seconds was it on the dead-list, in all?",
        {"outage": "SECONDS"},
        "`atmdepot events --node depot --kind server-alive --no-follow` tells each time; `dead_s` of `atmdepot show "
        "servers -o json` is their sum.",
        """atmdepot lab start web1
until atmdepot events --node depot --kind server-alive --no-follow | grep web1; do sleep 0.5; done
until atmdepot lab exec client -- curl -s http://10.80.0.1/server | grep web1; do sleep 0.2; done
outage=$(atmdepot show servers -o json | tr '{' '\\n' | sed -n 's/.*"server":"web1".*"dead_s":\\([0-9.]*\\).*/\\1/p')
atmdepot exercise 3 --check outage=$outage""", _is_back),
)
