"""The cases of `bench failover`: which contender meets which failure, how often, and how long that takes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

KILLS, QUICK_KILLS = 20, 5
"""Failures of each case: what figures take to be quoted, and those of --quick."""


class Event(Struct, frozen=True):
    """A failure.

    Attributes:
        after: seconds until requests count as asked after it.
        seconds: how long one takes in all, about.
        patience: seconds that sessions have to answer again, where the contender's are too few.

    """

    name: str
    title: str
    about: str
    after: float = 0.3
    seconds: float = 3.0
    patience: float = 0.0


SIGKILL = Event("sigkill", "SIGKILL", "the processes of what serves are killed")
SIGSTOP = Event("sigstop", "hang (SIGSTOP)", "they are stopped, and go on once another serves", after=1.0,
                seconds=4.2)
HOST_GONE = Event("host-gone", "host gone", "all its wires go, then all its processes", after=0.6, seconds=4.2)
CUT_SYNC = Event("cut-sync", "sync wire cut", "the wire between the two: nobody is to take over", after=0.6,
                 seconds=2.2)
CUT_EDGES = Event("cut-edges", "edge links cut", "the links from what serves to the edge nodes", after=1.0, seconds=5.2,
                  patience=8.0)
CUT_CLIENT = Event("cut-client", "client wire cut", "its wire to the clients' LAN", after=0.8, seconds=3.2)
PLANNED = Event("planned", "planned takeover", "the standby is told to take over", after=0.6, seconds=2.2)
FAIL_BACK = Event("fail-back", "fail-back", "the depot that was killed has come back, and takes over again", after=0.6,
                  seconds=5.3)
RESTART = Event("restart", "restart (SIGTERM)", "it is ended in order, and started again", after=1.0, seconds=4.2)

EVENTS = {each.name: each for each in (SIGKILL, SIGSTOP, HOST_GONE, CUT_SYNC, CUT_EDGES, CUT_CLIENT, PLANNED,
                                       FAIL_BACK, RESTART)}


class Contender(Struct, frozen=True):
    """The contender that fails: depots of some mode, or a peer.

    Attributes:
        standby: of the set of depots; "lone": one depot, which is started again at once; "peer": no depot.
        interval: the period of a warm standby in seconds; 0: as it happens.
        recall: whether a depot gets sessions back that it was not told of: it asks the edge nodes for the flows that
            they have learnt, and adopts what servers go on with.
        events: the failures that it meets.
        programs: what it takes besides the lab's programs.

    """

    name: str
    title: str
    standby: Literal["peer", "lone", "none", "warm", "hot"]
    interval: float = 0.0
    recall: bool = True
    events: tuple[str, ...] = (SIGKILL.name,)
    programs: tuple[str, ...] = ("keepalived",)


_PAIR = tuple(name for name in EVENTS if name != RESTART.name)
_LONE = (SIGKILL.name, HOST_GONE.name, RESTART.name)
_PEERS = (SIGKILL.name, HOST_GONE.name)
PERIODS = (0.1, 1.0, 5.0)
"""The periods of warm standbys, in seconds."""


def _warm(period: float, *, recall: bool) -> Contender:
    return Contender(f"warm-{period:g}" + ("" if recall else "-told"),
                     f"warm, P = {period:g} s, {'recall' if recall else 'no recall'}", "warm", period, recall)


CONTENDERS = {each.name: each for each in (
    Contender("conntrackd", "nft DNAT, conntrackd", "peer", events=_PEERS,
              programs=("keepalived", "conntrackd", "nft")),
    Contender("conntrackd-tuned", "nft DNAT, conntrackd tuned", "peer", events=_PEERS,
              programs=("keepalived", "conntrackd", "nft")),
    Contender("haproxy", "HAProxy", "peer", programs=("keepalived", "haproxy")),
    Contender("none", "one depot, no recall", "lone", recall=False, programs=()),
    Contender("lone", "one depot, recall", "lone", events=_LONE, programs=()),
    *(_warm(period, recall=recall) for period in PERIODS for recall in (False, True)),
    Contender("stream", "stream", "warm", events=_PAIR),
    Contender("hot", "hot", "hot", events=_PAIR),
)}
"""All contenders: the peers, then depots from the least to the most."""
UNTOLD = Contender("untold", "no standby", "none")
"""Two depots that tell each other nothing: what standbys cost is measured against it, in the same lab."""

_UP = 8.0
"""Seconds in which a lab comes up, about, and its client's sessions are open."""


class Case(Struct, frozen=True):
    """A contender and a failure, so many times."""

    contender: Contender
    event: Event
    kills: int

    @property
    def key(self) -> str:
        """The name of the case, in the journal and on the command line."""
        return f"{self.contender.name} {self.event.name}"


class Plan(Struct, frozen=True):
    """The cases of a run in their order."""

    cases: tuple[Case, ...]

    @property
    def contenders(self) -> list[Contender]:
        """The contenders, each once."""
        return list(dict.fromkeys(case.contender for case in self.cases))

    def of(self, contender: Contender) -> list[Case]:
        """The cases of a contender, which share a lab."""
        return [case for case in self.cases if case.contender == contender]

    def expected(self, done: dict[str, int] | None = None) -> float:
        """The expected seconds, without failures that are done already (a number by case)."""
        left = {case: max(0, case.kills - (done or {}).get(case.key, 0)) for case in self.cases}
        labs = len({case.contender.name for case, number in left.items() if number})
        return labs * _UP + sum(seconds_of(case) * number for case, number in left.items())


def seconds_of(case: Case) -> float:
    """The time that one failure of a case takes, about, with half a period until the phase that is wanted."""
    return case.event.seconds + case.contender.interval / 2


def plan(kills: int, contenders: Iterable[str] = (), events: Iterable[str] = ()) -> Plan:
    """The cases of contenders and failures, by their names; without names all of them."""
    contenders, events = list(contenders) or list(CONTENDERS), list(events) or list(EVENTS)
    return Plan(tuple(Case(each, EVENTS[name], kills) for each in CONTENDERS.values() if each.name in contenders
                      for name in each.events if name in events))
