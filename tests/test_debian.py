"""The Debian package: it is built by its command, and works where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.checkout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.namespaces,
              pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")]

TRY = """
set -e
mount -t tmpfs tmpfs {checkout}  # the checkout is not there
mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr
cd /
atmdepot --version
atmdepot check direct >/dev/null
atmdepot replay testbed/http.pcap --cells 0
zcat /usr/share/man/man1/atmdepot.1.gz | head -1
"""


def test_the_package_works_without_the_checkout(tmp_path: Path) -> None:
    subprocess.run([ROOT / "packaging" / "debian.sh", tmp_path / "out"], cwd=ROOT, check=True, capture_output=True,
                   env=os.environ | {"ATMDEPOT_PURE": "1"})
    [package] = (tmp_path / "out").glob("*.deb")
    subprocess.run(["dpkg", "-x", package, tmp_path / "root"], check=True)
    there = {str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert {"lib/systemd/system/atmdepot@.service", "usr/share/man/man1/atmdepot.1.gz",
            "usr/share/bash-completion/completions/atmdepot", "usr/lib/sysusers.d/atmdepot.conf"} <= there
    script = TRY.format(checkout=ROOT, root=tmp_path / "root")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("atmdepot ")
    assert "VERDICT: good" in done.stdout
    assert ".TH ATMDEPOT 1" in done.stdout
