"""The wall clock of all nodes is set, an hour on and two hours back: nothing follows from it (libfaketime sets it)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atmdepot import build
from tests.end_to_end.sites import until
from tests.end_to_end.standing_by import DEPOTS, ask, pair

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]
SECONDS = 3.0
"""The time (s) that the depots go on after a step: many announcements, adverts and probes."""


def test_a_step_of_the_clock_moves_no_role_and_ends_no_session(needs: Callable[[str], None], tmp_path: Path) -> None:
    needs("keepalived")
    needs("faketime")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    stepping = ("env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={offset}", "FAKETIME_CACHE_DURATION=1",
                "DONT_FAKE_MONOTONIC=1")
    # The library slows each look at a clock down: that must not look like a depot that hangs.
    patient = 'silence = "1s"\n', 'silence = "5s"\n'
    with pair("standby", patient, command=(*stepping, *build.python("-m", "atmdepot"))) as it:
        active, other = it.settled()
        for name in DEPOTS:
            assert "libfaketime" in Path(f"/proc/{it.pid(name)}/maps").read_text()
        term, takeovers = it.depot(active)["term"], it.depot(active)["last_takeover"]
        with it.clients(20) as clients:
            for step in ("+3600", "-3600"):
                offset.write_text(f"{step}\n")
                clock = int(it.run(active, *stepping, "date", "+%s").stdout)
                assert abs(clock - int(step) - offset.stat().st_mtime) < 60
                since = it.depot(active)["for_s"]
                until(lambda since=since: it.depot(active)["for_s"] > since + SECONDS)  # type: ignore[misc]
                assert ask(clients) == 20
                assert it.settled() == (active, other)
                until(it.same_sessions)
        assert (it.depot(active)["term"], it.depot(active)["last_takeover"]) == (term, takeovers)
