"""The client's view of a run: each request, and the figures made of them."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

_MS = 1000
_MOST_TIME = 1e9
_Count = Annotated[int, Meta(ge=0)]
_Time = Annotated[float, Meta(ge=0, le=_MOST_TIME)]
MOST = 0.95
"""The share of the requests whose rate is told beside that of all: the rest are those that wait longest."""


class Asked(Struct, frozen=True):
    """A request: when it ended (s after the start), how long it took (s), and which server answered, or why not."""

    at: float
    took: float
    octets: int
    server: str
    why: str = ""
    redirects: int = 0


class Seen(Struct, frozen=True):
    """The figures of a run: times of requests in ms, octets with their heads.

    `counted` answers came within `seconds`, and have so many `octets`: all of them, or those of a run with a fixed
    time. `seconds_most` is when 95 % of the answers had come. `last_failure` is None without a failure.
    """

    answered: _Count
    failed: _Count
    seconds: Annotated[float, Meta(gt=0, le=_MOST_TIME)]
    octets: _Count
    counted: _Count
    p50: _Time = 0.0
    p99: _Time = 0.0
    seconds_most: _Time = 0.0
    servers: dict[str, _Count] = {}
    reasons: dict[str, _Count] = {}
    redirects: _Count = 0
    last_failure: float | None = None


def seen(asked: Sequence[Asked], seconds: float) -> Seen:
    """The figures of some requests; those that ended within so many seconds count for rates."""
    good = [each for each in asked if not each.why]
    counted = [each for each in good if each.at <= seconds]
    bad = [each for each in asked if each.why]
    times, ends = sorted(each.took for each in good), sorted(each.at for each in good)
    return Seen(
        len(good), len(bad), seconds, sum(each.octets for each in counted), len(counted), _MS * at_share(times, 0.5),
        _MS * at_share(times, 0.99), at_share(ends, MOST), dict(Counter(each.server for each in good)),
        dict(Counter(each.why for each in bad)), sum(each.redirects for each in asked),
        max((each.at for each in bad), default=None))


def at_share(ordered: Sequence[float], share: float) -> float:
    """The value that a share of the ordered values do not exceed; 0 without values."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
