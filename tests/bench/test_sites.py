"""Each contender in its lab: pages come from both servers, bulk from one, and nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from atmdepot.bench import machine
from atmdepot.bench.contenders import CELLS, CONTENDERS, DNAT, HAPROXY, KERNEL, NGINX, Contender
from atmdepot.bench.loads import Load, loads
from atmdepot.bench.readings import NoFigure
from atmdepot.bench.site import Site
from atmdepot.config.reading import find
from atmdepot.errors import AtmdepotError
from atmdepot.lab import Lab
from tests.lab.labs import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.namespaces

ASKED = 24
ASK = f'for i in $(seq {ASKED}); do curl -s -m 10 "$1/server"; done'


def need(*programs: str) -> None:
    """Without the programs the test is skipped, but in CI it fails."""
    for program in programs:
        if machine.find(program) is None:
            reason = f"{program} is not installed: {machine.PACKAGES.get(program, program)}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)


@contextlib.contextmanager
def up(contender: Contender) -> Iterator[Site]:
    need("nginx", "curl", "iperf3", *contender.programs)
    with (tempfile.TemporaryDirectory(prefix="atm-") as directory, tempfile.TemporaryDirectory() as home,
          patch.dict(os.environ, {"ATMDEPOT_RUN_DIR": directory})):
        with Site(contender, find("direct").read_text(), Path(home)) as site:
            yield site
        assert Lab.all() == []
        assert list(Path(directory).iterdir()) == []


def load(name: str) -> Load:
    return next(each for each in loads() if each.name == name)


def commands(site: Site) -> set[str]:
    """The names of the processes that count."""
    return {Path(f"/proc/{pid}/comm").read_text().strip() for pid in site.processes()}


@pytest.mark.parametrize("contender", [KERNEL, DNAT, HAPROXY, NGINX], ids=lambda each: each.name)
def test_a_peer(contender: Contender) -> None:
    with up(contender) as site:
        told = Counter(site.ask(["sh", "-c", ASK, "sh", site.url], 60).stdout.split())
        assert set(told) == {"web1", "web2"}
        assert sum(told.values()) == ASKED
        if contender is not KERNEL:
            assert abs(told["web1"] - told["web2"]) <= 2, "in turn"
        before = site.cpu_seconds()
        assert load("bulk-up-1").take(site, 1)["bulk-up-1"] > 0
        logs = [site.lab.directory / server / "access.log" for server in ("web1", "web2")]
        assert all(log.stat().st_size for log in logs)
        site.tidy()
        assert not any(log.stat().st_size for log in logs)
        site.require_alive()
        if contender in (KERNEL, DNAT):
            assert site.processes() == []
            return
        assert site.cpu_seconds() > before
        assert commands(site) & {"haproxy", "nginx"}
        end_a_process(site)


def end_a_process(site: Site) -> None:
    """A proxy that has ended is noticed."""
    for pid in site.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with pytest.raises(NoFigure, match="curl failed"):
        site.ask(["curl", "-s", "-m", "5", site.url], 30)
    with pytest.raises(NoFigure, match="ended with exit code"):
        site.require_alive()


def test_a_depot() -> None:
    with up(CELLS) as site:
        assert {link.cells for link in site.network.links.values()} == {1}
        found = load("bulk-down-1").take(site, 1)
        # Cells carry at most 48 of the octets that were counted; what goes the other way, and headers, make them more.
        assert found["cells"] > found["bulk-down-1"] * 1e6 / 8 / 48
        assert 0 <= found["page-faults"] < 20_000 < site.page_faults(), "to start takes more than to forward a GB"
        assert len(site.processes()) == 3
        assert all("python" in name or name == "atmdepot" for name in commands(site))
        with pytest.raises(NoFigure, match="took longer than 1 s"):
            site.ask(["sleep", "30"], 1)
        with pytest.raises(NoFigure, match="false failed"):
            site.ask(["false"], 10)
        os.kill(site.processes()[0], signal.SIGKILL)
        until_noticed(site)


def until_noticed(site: Site) -> None:
    """A daemon that has ended is noticed as soon as the lab's supervisor has written it down."""
    until(lambda: any(process.exit_code is not None for process in site.lab.state.processes.values()))
    with pytest.raises(NoFigure, match="depot ended with exit code -9"):
        site.require_alive()


def test_a_site_that_fails_to_start_is_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose `ip` refuses everything."""
    need("nginx")
    refusing = tmp_path / "ip"
    refusing.write_text("#!/bin/sh\necho not today >&2; exit 2\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with tempfile.TemporaryDirectory(prefix="atm-") as directory:
        monkeypatch.setenv("ATMDEPOT_RUN_DIR", directory)
        with pytest.raises(AtmdepotError, match=r"ip route add .*: not today"):
            Site(KERNEL, find("direct").read_text(), tmp_path).__enter__()
        assert list(Path(directory).iterdir()) == []


def test_every_contender_has_a_test() -> None:
    assert set(CONTENDERS) == {each.name for each in (KERNEL, DNAT, HAPROXY, NGINX, CELLS)} | {"depot", "depot-plain"}
