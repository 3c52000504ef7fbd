"""Dynamips itself: the ATM switch of `atmdepot dynamips` in the place of ours, and routers without an image."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from atmdepot.config.dynamips import PORT, candidates, hypervisor
from atmdepot.config.reading import load
from atmdepot.lab.pages import page
from tests.end_to_end.sites import VIP, Site, site, until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

pytestmark = [pytest.mark.namespaces, pytest.mark.slow, pytest.mark.skipif(
    shutil.which("dynamips") is None,
    reason="dynamips is not installed (Debian has it in non-free, Ubuntu in multiverse)")]

PLAY = """
import socket, sys, time
for _ in range(600):
    try:
        connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
        break
    except OSError:
        time.sleep(0.05)
connection.sendall(sys.stdin.buffer.read())
for answer in connection.makefile():
    print(answer, end="")
"""
"""Sends a whole transcript to a hypervisor that is just starting, as a pipe would, and prints the answers."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The lab of `gns3-switch` with Dynamips where our switch was."""
    with site("gns3-switch", watched=True, wait=False) as made:
        made.lab.run("sw1", ["kill", "-TERM", made.pid_inside("sw1")])
        until(lambda: made.lab.state.processes["sw1"].exit_code == 0)
        with made.lab.popen("sw1", ["dynamips", "-H", f"127.0.0.1:{PORT}"],
                            cwd=tmp_path_factory.mktemp("dynamips")) as process:
            try:
                yield made
            finally:
                process.terminate()


def play(it: Site, commands: Iterable[str]) -> list[str]:
    """Play commands to the hypervisor; return its answers."""
    done = it.lab.run("sw1", [sys.executable, "-c", PLAY, str(PORT)], input="\n".join([*commands, ""]),
                      capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_pages_cross_the_switch_that_the_printed_commands_make(lab: Site) -> None:
    commands = hypervisor(lab.lab.network, ["sw1"], "")
    answers = play(lab, commands)
    assert len(answers) == len(commands)
    assert {answer[:4] for answer in answers} == {"100-"}
    until(lambda: {row["list"] for row in lab.rows("servers")} == {"alive"})
    got = [lab.fetch(VIP, name) for name in ("100B", "10KB") for _ in range(2)]
    assert {one.server for one in got} == {"r1", "r2"}
    assert [one.octets for one in got] == [page(name) for name in ("100B", "10KB") for _ in range(2)]


@pytest.mark.parametrize("table", ["gns3", "gns3-switch"])
def test_dynamips_takes_all_commands_but_the_start_of_a_router_without_image(lab: Site, table: str) -> None:
    network = load(table)
    commands = [line for line in hypervisor(network, candidates(network), "no.image")
                if not line.startswith("vm start")]
    answers = play(lab, ["hypervisor reset", *commands])
    assert [answer[:4] for answer in answers] == ["100-"] * (len(commands) + 1)
