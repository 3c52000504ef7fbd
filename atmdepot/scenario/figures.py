"""Figures that a step can expect: their units, and the parts that they may be of. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from atmdepot.config.model import Network
    from atmdepot.scenario.bounds import Unit

Of = Literal["", "server", "depot", "edge", "link", "reason", "counter"]


class Figure(Struct, frozen=True):
    """A figure: its unit, what it says, and whose it is: `of` a server is written `NAME.SERVER`."""

    unit: Unit
    about: str
    of: Of = ""


def names_of(network: Network, of: Of) -> list[str] | None:
    """The names that a figure of a kind may have; None where any may stand."""
    if of == "server":
        return list(network.servers)
    if of == "depot":
        return list(network.depots)
    if of == "edge":
        return list(network.edges)
    if of == "link":
        return list(network.links)
    return None


OF_LOADS = {
    "requests": Figure("count", "requests that were answered, every octet right"),
    "failed": Figure("count", "requests that were not: refused, reset, too late, or with wrong octets"),
    "lost": Figure("count", "connections that ended within a request, or while they were kept"),
    "rate": Figure("rate", "answers in a second"),
    "octets": Figure("count", "octets of pages"),
    "seconds": Figure("seconds", "from the first request to the end"),
    "gap": Figure("seconds", "the longest time between two answers"),
    "p50": Figure("seconds", "time of a request: half took no longer"),
    "p99": Figure("seconds", "time of a request: 99 of 100 took no longer"),
    "served": Figure("count", "answers of a server", "server"),
    "share": Figure("share", "a server's part of all answers", "server"),
}
"""Figures of requests, by `get`, `load` and `finish`."""

OF_NETWORK = {
    "condition": Figure("text", "alive or dead, as the depot has it", "server"),
    "draining": Figure("truth", "true while a server gets no new sessions", "server"),
    "sessions": Figure("count", "open sessions of a server", "server"),
    "opened": Figure("count", "sessions that a server was given since the scenario began, probes too", "server"),
    "role": Figure("text", "a depot's role: active, standby, joining, alone; empty when it does not answer", "depot"),
    "term": Figure("count", "a depot's term", "depot"),
    "follows": Figure("text", "the depot that an edge node follows", "edge"),
    "same_sessions": Figure("truth", "true when all depots have the same open sessions"),
    "drops": Figure("count", "drops for a reason since the scenario began, at all nodes; drops.all: for any", "reason"),
    "counter": Figure("count", "what a counter has counted since the scenario began, at all places and nodes",
                      "counter"),
    "cells": Figure("count", "cells, frames or packets that a link has carried since the scenario began", "link"),
}
"""Figures of the whole network, by `expect`."""

OF_COMMANDS = {
    "code": Figure("count", "the exit code"),
    "output": Figure("text", "what it printed, without blanks around it"),
    "has": Figure("text", "a text that stands in what it printed"),
    "seconds": Figure("seconds", "time that it took"),
}
"""Figures of commands, by `run`."""

OF_TAKEOVERS = {
    "refused": Figure("truth", "true when the depot refused, and nothing moved"),
    "why": Figure("text", "what it said when it refused; empty when it took over"),
    "seconds": Figure("seconds", "time that it took"),
}

TIME = {"seconds": Figure("seconds", "time that it took")}
"""The figure that each other step has."""
