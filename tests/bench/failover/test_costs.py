"""What standbys cost: which depot's processor time counts as the active one's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from atmdepot.bench import figures
from atmdepot.bench.failover import costs


class StandInSite:
    """A site whose depots have used some processor time before a load, and more after it."""

    contender = SimpleNamespace(name="cost-stream")

    def __init__(self, *depots: dict[str, float]) -> None:
        self._depots = list(depots)

    def cpu_seconds_of_depots(self) -> dict[str, float]:
        return self._depots[0]

    def cpu_seconds(self) -> float:
        return sum(self._depots[0].values())

    def took_a_load(self, *_: object) -> dict[str, float]:
        del self._depots[0]
        return {figures.NEW: 5_000.0, "cpu-connections": 0.2}

    def require_alive(self) -> None: ...

    def tidy(self) -> None: ...


def test_active_depot_is_the_one_that_took_most_processor_time_in_the_load() -> None:
    site: Any = StandInSite({"depot1": 1.0, "depot2": 9.0}, {"depot1": 1.6, "depot2": 9.2})
    load: Any = SimpleNamespace(name=figures.NEW, take=site.took_a_load)
    teller: Any = None
    taken = costs._take(site, load, teller)
    assert round(taken["cpu-active"], 6) == 0.15  # 0.6 of 0.8 s
    assert taken["cpu-connections"] == 0.2
