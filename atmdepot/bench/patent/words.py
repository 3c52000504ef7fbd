"""Judgement of the patent's statements in words that follow the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.bench.patent.judging import AT_ONE, rate, table_key
from atmdepot.bench.patent.plan import DEPOT_METHODS, FAST, METHODS, SMALL
from atmdepot.bench.patent.tables import DEPOT, IMPROVEMENT, IMPROVEMENT_AT, SINGLE, SYSTEMS, patent_ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atmdepot.bench.patent.judging import Judgement, Knee
    from atmdepot.bench.patent.samples import Samples, Spread
    from atmdepot.bench.patent.settings import SmallServer

ABOUT_REGIMES = {
    FAST: "Servers (nginx) as fast as the machine, which the depot shares with them: this is what the depot costs. Its "
          "work comes on top, and a second server adds no processor. Asked by ab, whose first author was of Zeus, as "
          "was the patent's benchmark software.",
    SMALL: "Each server is a small machine of its own, about ten times as fast as the patent's, with few processes and "
           "a short listen queue: this is what the depot brings. A request counts from the moment it begins, so a lost "
           "SYN belongs to the run. X: not every request was answered.",
}
READING = ("Ours, and in brackets the patent's and how many times it ours is. Ratios: the depot's to the single "
           "server's, and in brackets the patent's. X: not completed.")
RANGE = ("One parameter of the servers is changed, all others stay. The improvement is that of two servers where one "
         "is past its knee: where a single server has room for all 20 requests, two can give twice its rate at most.")
PRIOR_ART = ("20 requests at once on regime B's servers. Redirection: nginx on the first server sends what it cannot "
             "serve to the second. Client-IP hashing: nft jhash. DNS: dnsmasq; each client address is a client with a "
             "cache of its own. HAProxy, nginx stream and nft numgen came after the patent.")
DEATH = ("The first server's processes are killed after a third of the time, with 20 clients. A failed request is "
         "followed by the next after 0.05 s. Until none failed: from the death to the last failed request.")
_NAMES = {SINGLE: "The single server", DEPOT: "The depot"}
_ABOUT_TWICE = (1.7, 2.2)
_LESS = 0.97
"""A rate below this share of another's is told as less."""


def statement(judgement: Judgement, samples: Samples, requests: int) -> Iterator[str]:
    """The judgement of “an improvement of 2.65”, and of what else the patent says of its tables."""
    size, at_once = IMPROVEMENT_AT
    if judgement.improvement is None:
        yield ("The test that the patent quotes (1 KB, 20 at once, regime B) has no result of both systems: it was not "
               "taken, or not completed.")
        return
    found = judgement.improvement
    verdict = "reached" if judgement.reached else "not reached"
    fast = samples.ratio(table_key(samples, FAST, DEPOT, size, at_once, requests),
                         table_key(samples, FAST, SINGLE, size, at_once, requests), rate)
    yield (f"The patent (page 15) quotes 92.29 requests/s for 34.87 at 20 at once with 1 KB, “an improvement of "
           f"{IMPROVEMENT}”. Regime B: ×{_text(found)}, so it is {verdict}"
           + (f"; regime A, where the servers are as fast as the machine: ×{_text(fast)}." if fast else "."))
    yield from _why(judgement, requests)
    yield from _above_two(judgement)
    if judgement.at_one:
        told = ", ".join(f"{each.size} ×{each.ratio.median:.3f} (patent ×{patent_ratio('rate', each.size, 1):.3f})"
                         for each in judgement.at_one)
        least = min(each.ratio.median for each in judgement.at_one)
        yield (f"At 1 at once the depot's work is what counts (“always slower than the single server”): {told}. "
               f"At least {AT_ONE} is wanted: {'reached' if least >= AT_ONE else 'not reached'}.")
    if judgement.failed:
        yield from (_failed(judgement, system) for system in SYSTEMS)
        yield "The patent's single server did not complete 1 KB and 10 KB at 100 at once; its depot did."


def _failed(judgement: Judgement, system: str) -> str:
    """The tests of so many requests that a system did not complete; longer runs are in the tables."""
    found = [f"{size} at {at_once} at once ({count} requests without an answer)"
             for key, count in judgement.failed.items()
             for _, _, of, size, at_once, amount in [key.split("/")] if of == system and not amount.endswith("s")]
    return f"{_NAMES[system]} completed every test." if not found else (
        f"{_NAMES[system]} did not complete " + ", ".join(found) + ".")


def _why(judgement: Judgement, requests: int) -> Iterator[str]:
    """The reason of more than two, by the rate until 95 % had been answered and by the longer run."""
    if judgement.single and judgement.single_most and judgement.single < _LESS * judgement.single_most:
        yield (f"Why: until 95 % of the {requests:,} requests were answered, the single server answered "
               f"{judgement.single_most:,.0f}/s; over all, {judgement.single:,.0f}/s. It works as fast as ever, but it "
               "has no place for 20: the kernel drops the SYNs that find the listen queue full, and TCP sends them "
               "again after 1 and 3 s. The run waits for these last requests. With the depot each server has 10.")
    if long := judgement.improvement_long:
        meaning = ("more than two machines can give, here too" if long.median > _ABOUT_TWICE[1] else
                   "about what two machines can give: of a run that lasts, the last requests are a small part"
                   if long.median >= _ABOUT_TWICE[0] else
                   "less than two machines can give, so the depot, or what else runs on this machine, is the limit")
        yield f"In a longer run the ratio is ×{_text(long)}, {meaning}."


def _above_two(judgement: Judgement) -> Iterator[str]:
    if not judgement.above_two:
        yield "No test has a ratio above 2."
        return
    told = ", ".join(f"{each.size} at {each.at_once} ×{each.ratio.median:.2f}" for each in judgement.above_two)
    sentence = f"More than 2, which two equal servers cannot give by their work alone: {told}."
    if judgement.knee and judgement.knee.falls_at is not None:
        past = [each for each in judgement.above_two if each.at_once >= judgement.knee.falls_at]
        place = f"at or past the {judgement.knee.falls_at} at once at which a single server has fallen"
        sentence += (f" All are {place}: the ratio tells of a server past its knee, not of a depot that doubles more "
                     "than twice." if len(past) == len(judgement.above_two) else
                     f" {len(past)} of {len(judgement.above_two)} are {place}, and so tell of a server past its knee; "
                     "the others do not fit, so look for what else ran on this machine.")
    yield sentence


def knee(found: Knee, server: SmallServer) -> str:
    """The knee in words."""
    told = f"One server alone, 1 KB, has its best rate, {found.best:,.0f}/s, at {found.best_at} at once"
    falls = (f"and is below 0.9 of it from {found.falls_at} on." if found.falls_at is not None
             else "and does not fall below 0.9 of it in what was measured.")
    return (f"{told}, {falls} It has places for {server.places}: {server.processes} processes, and "
            f"{server.backlog + 1} connections in the listen queue.")


def where_the_depot_loses(samples: Samples) -> Iterator[str]:
    """For each situation of the prior art, what had a better rate than the depot, or that nothing had."""
    situations = dict.fromkeys(key.split("/", 3)[3] for key in samples.by_key if key.startswith("prior-art/"))
    for situation in situations:
        rates = {method: found.median for method in METHODS if (found := samples.spread(
            f"prior-art/{SMALL}/{method}/{situation}", rate, only_complete=False))}
        ours = rates.get(DEPOT)
        if ours is None:
            continue
        better = [f"{METHODS[method]} ×{each / ours:.2f}" for method, each in rates.items()
                  if method not in DEPOT_METHODS and ours < _LESS * each]
        yield (f"{_named(situation)}: " + ("the depot (round robin) loses to " + ", ".join(better) + " in requests/s."
                                           if better else "nothing has clearly more requests/s than the depot."))


def _named(situation: str) -> str:
    many = "20 client addresses" if "20 clients" in situation else "One client address"
    return f"{many}, {'unequal' if situation.endswith('dear') else 'equal'} requests"


def _text(of: Spread) -> str:
    return f"{of.median:.2f}" if of.lower == of.upper else f"{of.median:.2f} [{of.lower:.2f}–{of.upper:.2f}]"
