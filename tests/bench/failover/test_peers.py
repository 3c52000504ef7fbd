"""Peers in their lab, made to fail once: HAProxy loses all sessions, conntrackd keeps most."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from atmdepot import __version__
from atmdepot.bench.failover.journal import Journal
from atmdepot.bench.failover.judging import survival
from atmdepot.commands.bench_failover import failover
from atmdepot.lab import Lab
from tests.bench.test_sites import need

pytestmark = [pytest.mark.namespaces, pytest.mark.slow]


@pytest.mark.parametrize(("peer", "program", "least", "most"), [
    ("haproxy", "haproxy", 0, 0), ("conntrackd-tuned", "conntrackd", 90, 100)])
def test_the_shortest_run(peer: str, program: str, least: float, most: float, tmp_path: Path) -> None:
    need("keepalived", program, "ip")
    files = {name: tmp_path / name for name in ("journal", "markdown", "json", "svg")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    with (tempfile.TemporaryDirectory(prefix="atm-") as directory,
          patch.dict(os.environ, {"ATMDEPOT_RUN_DIR": directory})):
        done = CliRunner().invoke(failover, ["--kills", "1", "--mode", peer, "--event", "sigkill",
                                         *options])
        assert done.exit_code == 0, done.output
        assert Lab.all() == []
        assert list(Path(directory).iterdir()) == []
    (readings,) = Journal(files["journal"], __version__).readings.values()
    percent = survival(readings).percent
    assert percent is not None
    assert least <= percent <= most
    assert readings[0].new is not None, "new sessions are served by the other one"
    assert "At least 1 failure of each case" in files["markdown"].read_text()
