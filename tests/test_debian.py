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


NOTE = """#!/bin/sh
# Notes what it is told, and knows a single unit.
[ "$1" = list-units ] && echo "atmdepot@depot.service loaded active running" && exit
echo "$(basename "$0") $*" >>/run/said
"""

INSTALL = """
set -e
# What dpkg changes is gone with this mount namespace; nothing of it reaches the machine.
mount -t tmpfs tmpfs {scratch}
for place in usr etc var; do
    mkdir -p {scratch}/$place {scratch}/work-$place
    mount -t overlay overlay -o lowerdir=/$place,upperdir={scratch}/$place,workdir={scratch}/work-$place /$place
done
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/atmdepot /etc/systemd/system/multi-user.target.wants
for program in systemctl deb-systemd-invoke; do
    cp {note} /usr/bin/$program
done
said() {{ echo "$1: $(tr '\\n' ',' </run/said)"; rm /run/said; }}
dpkg -i {package} >/dev/null
said installed
echo 'name = "mine"' >/etc/atmdepot/network.toml
ln -s /lib/systemd/system/atmdepot@.service /etc/systemd/system/multi-user.target.wants/atmdepot@depot.service
atmdepot check direct >/dev/null
dpkg -i {package} >/dev/null
said upgraded
dpkg -r atmdepot >/dev/null
said removed
ls -d /usr/lib/atmdepot /usr/bin/atmdepot /run/atmdepot 2>/dev/null || true
[ -L /etc/systemd/system/multi-user.target.wants/atmdepot@depot.service ] && echo enabled
dpkg --purge atmdepot >/dev/null 2>&1
said purged
[ ! -L /etc/systemd/system/multi-user.target.wants/atmdepot@depot.service ] && echo disabled
cat /etc/atmdepot/network.toml
"""
"""Installs, upgrades, removes and purges the package beside a systemd that only notes what it is told."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("package")
    subprocess.run([ROOT / "packaging" / "debian.sh", out], cwd=ROOT, check=True, capture_output=True,
                   env=os.environ | {"ATMDEPOT_PURE": "1"})
    [found] = out.glob("*.deb")
    return found


def test_a_node_that_cannot_start_yet_is_tried_for_ever() -> None:
    """The interface of a depot may come up long after the boot; by default systemd gives up after five tries."""
    unit = (ROOT / "packaging" / "systemd" / "atmdepot@.service").read_text(encoding="utf-8")
    settings, _, service = unit.partition("[Service]")
    assert "StartLimitIntervalSec=0" in settings
    assert "Restart=on-failure" in service


def in_a_mount_namespace(script: str) -> str:
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_works_without_the_checkout(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg", "-x", package, tmp_path / "root"], check=True)
    there = {str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert {"lib/systemd/system/atmdepot@.service", "usr/share/man/man1/atmdepot.1.gz",
            "usr/share/bash-completion/completions/atmdepot", "usr/lib/sysusers.d/atmdepot.conf"} <= there
    assert not [path for path in there if path.startswith("etc/")], "a file there would have to be a conffile"
    subprocess.run(["dpkg", "-e", package, tmp_path / "control"], check=True)
    sums = dict(reversed(line.split("  ", 1)) for line in (tmp_path / "control" / "md5sums").read_text().splitlines())
    assert set(sums) == {path for path in there if not (tmp_path / "root" / path).is_symlink()}, "for dpkg --verify"
    told = in_a_mount_namespace(TRY.format(checkout=ROOT, root=tmp_path / "root"))
    assert told.startswith("atmdepot ")
    assert "VERDICT: good" in told
    assert ".TH ATMDEPOT 1" in told


def test_running_nodes_end_with_the_package_and_restart_at_an_upgrade(package: Path, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text(NOTE)
    note.chmod(0o755)
    (tmp_path / "scratch").mkdir()
    told = in_a_mount_namespace(INSTALL.format(package=package, note=note, scratch=tmp_path / "scratch"))
    reload = "systemctl daemon-reload,"
    assert told.splitlines() == [
        f"installed: {reload}",
        f"upgraded: {reload}{reload}deb-systemd-invoke try-restart atmdepot@depot.service,",
        f"removed: deb-systemd-invoke stop atmdepot@depot.service,{reload}",
        "enabled",
        f"purged: {reload}",
        "disabled",
        'name = "mine"',
    ]
