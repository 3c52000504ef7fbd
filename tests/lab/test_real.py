"""`lab up` with the real daemons: it returns when pages get through."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from atmdepot.lab import Lab
from atmdepot.lab.pages import page
from tests.lab.labs import atmdepot

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.namespaces

FETCH = """
import sys
from atmdepot.lab.probe import fetch
for vip in sys.argv[1:]:
    sys.stdout.buffer.write(fetch(vip, 80, "10KB", 10.0))
"""


@pytest.mark.parametrize("options", [[], ["--userns"]])
def test_pages_get_through(run_dir: Path, options: list[str]) -> None:
    done = atmdepot("lab", "up", "direct", *options)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1] == f"the lab direct is up: {run_dir}/direct"
    argv = [sys.executable, "-c", FETCH, "10.80.0.1", "fd00:80::1"]
    fetched = Lab.find().run("client", argv, stdout=subprocess.PIPE, check=True).stdout
    assert fetched == 2 * page("10KB")
    assert atmdepot("lab", "down").returncode == 0
    assert list(run_dir.iterdir()) == []


def test_options_come_from_the_environment(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATMDEPOT_LAB_UP_WEB", "0")
    monkeypatch.setenv("ATMDEPOT_LAB_UP_CLIENT_MTU", "9180")
    assert atmdepot("lab", "up", "direct").returncode == 0
    lab = Lab.find()
    assert lab.web_server is None
    mtu = lab.run("client", ["cat", "/proc/sys/net/ipv6/conf/depot/mtu"], stdout=subprocess.PIPE, text=True).stdout
    assert mtu == "9180\n"
