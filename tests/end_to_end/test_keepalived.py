"""Ownership by a real keepalived: depots that are killed, hang and come back, one of which always has the address."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atmdepot.net import guard as guards
from tests.end_to_end.owned import Owned, owned, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]  # test_standby.py has the smoke test

# A slow machine is not to take a depot's wait for the processor for its end.
PATIENT = 'silence = "1s"\nsync = { depot1 = "10.60.0.1:7500", depot2 = "10.60.0.2:7500" }'


@pytest.fixture(scope="module")
def it(needs: Callable[[str], None]) -> Iterator[Owned]:
    needs("keepalived")
    needs("ip")
    with owned(PATIENT) as made:
        yield made


def test_a_killed_depots_address_moves_and_stays_when_it_comes_back(it: Owned) -> None:
    first = it.settled()
    second = it.other(first)
    before = it.role(second)["term"]
    it.lab.kill(first)
    until(lambda: it.owners() == [second])
    assert it.addresses(first) == set(), "its guard has outlived it just long enough"
    it.lab.start(first)
    until(lambda: it.role(first)["role"] in ("joining", "standby"))
    assert it.settled() == second
    assert it.role(second)["term"] > before


def test_a_depot_that_hangs_loses_the_address_and_wakes_up_as_no_active_one(it: Owned) -> None:
    first = it.settled()
    second = it.other(first)
    it.lab.kill(first, signal=signal.SIGSTOP)
    until(lambda: it.owners() == [second])
    assert it.addresses(first) == set(), "taken away while the depot does nothing"
    it.lab.kill(first, signal=signal.SIGCONT)
    until(lambda: it.role(first)["role"] != "active")
    assert it.settled() == second


def test_a_depot_restarted_within_a_second_gets_the_address_whenever_the_other_dies(it: Owned) -> None:
    """An earlier keepalived takes a second to end, and must not be in the way of the next."""
    for _ in range(2):
        first = it.settled()
        it.lab.kill(first)
        it.lab.start(first)
        assert it.settled() == it.other(first)


def test_a_killed_keepalived_is_started_again(it: Owned) -> None:
    first = it.settled()
    for pid in it.processes(first, "--dont-fork"):
        with suppress(ProcessLookupError):  # the parent's end has ended its child
            os.kill(pid, signal.SIGKILL)
    until(lambda: it.owners() == [it.other(first)])
    until(lambda: "it has ended with status -9" in it.log(first))
    until(lambda: "works again" in it.log(first))
    assert it.settled() == it.other(first)


def test_a_killed_guard_takes_the_address_along_and_comes_back(it: Owned) -> None:
    first = it.settled()
    (guard,) = it.processes(first, str(Path(guards.__file__)))
    os.kill(guard, signal.SIGKILL)
    until(lambda: it.owners() == [it.other(first)])
    assert it.settled() == it.other(first)
    until(lambda: "its guard has ended" in it.log(first))


def test_a_cut_wire_moves_the_address_and_a_whole_one_leaves_it(it: Owned) -> None:
    first = it.settled()
    second = it.other(first)
    it.lab.cut(f"{first}.client")
    until(lambda: it.owners() == [second])
    until(lambda: it.role(first)["role"] != "active")
    until(lambda: "is client up" in it.log(first))
    it.lab.restore(f"{first}.client")
    assert it.settled() == second


def test_a_forced_takeover_and_release_move_the_address(it: Owned) -> None:
    first = it.settled()
    second = it.other(first)
    done = it.atmdepot("takeover", "--node", second, "--force")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"{second} is active in term \d+, after [\d.]+ s\n", done.stdout)
    assert it.settled() == second
    done = it.atmdepot("release", "--force")
    assert done.returncode == 0, done.stderr
    assert it.settled() == first
    refused = it.atmdepot("takeover", "--node", first)
    assert (refused.returncode, refused.stderr) == (1, f"atmdepot: {first}: this depot is active already\n")


def test_two_killed_depots_that_are_started_again_have_one_active_among_them(it: Owned) -> None:
    for node in ("depot1", "depot2"):
        it.lab.kill(node)
    until(lambda: not it.addresses("depot1") and not it.addresses("depot2"))
    for node in ("depot1", "depot2"):
        it.lab.start(node)
    it.settled()


def test_a_stopped_depot_gives_the_address_up_and_leaves_nothing(it: Owned) -> None:
    first = it.settled()
    began = time.monotonic()
    it.lab.kill(first, signal=signal.SIGTERM)
    until(lambda: it.owners() == [it.other(first)])
    assert time.monotonic() - began < 10
    until(lambda: it.lab.state.processes[first].exit_code == 0)
    assert it.processes(first, "--dont-fork") == []
    assert list(Path(it.lab.directory).glob(f"{first}.keepalived-*")) == []
    it.lab.start(first)
    it.settled()
