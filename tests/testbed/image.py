"""Image of the testbed, made without a registry: the base by debootstrap, Python's packages from wheels."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from tests.checkout import ROOT
from tests.testbed.machine import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.machine import Machine

BASE = "atmdepot-testbed-base"
KEEPALIVED_BASE = "atmdepot-testbed-keepalived-base"
SQUID_BASE = "atmdepot-testbed-squid-base"
_SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,nginx-light,curl,iproute2"
_OF = {BASE: _PACKAGES, KEEPALIVED_BASE: f"{_PACKAGES},keepalived", SQUID_BASE: f"{_PACKAGES},squid"}


def make_base(machine: Machine, scratch: Path, base: str = BASE) -> None:
    """Import a Debian with what a base has beside Python; .cache keeps it for later runs of the checkout."""
    packages = _OF[base]
    cache = ROOT / ".cache" / "testbed" / f"{_SUITE}-{packages.replace(',', '-')}.tar"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        root = scratch / "root"
        run(["debootstrap", "--variant=minbase", f"--include={packages}", _SUITE, str(root)], dict(os.environ),
            timeout=600)
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(root / waste)
        new = cache.with_suffix(f".{os.getpid()}")
        run(["tar", "-C", str(root), "--one-file-system", "-cf", str(new), "."], dict(os.environ))
        new.replace(cache)
        shutil.rmtree(root)
    machine.docker("import", str(cache), base)


def gather_wheels(machine: Machine, clone: Path) -> None:
    """Put the wheels of the project and its dependencies where the Dockerfile looks for them."""
    wheels = clone / "testbed" / "wheels"
    environment = dict(os.environ)
    pip = [sys.executable, "-m", "pip"]
    version = machine.docker("run", "--rm", BASE, "python3", "-c",
                             "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip()
    if version != ".".join(map(str, sys.version_info[:2])):
        environment["ATMDEPOT_PURE"] = "1"  # a compiled module fits only the Python that built it
    run([*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(clone)], environment)
    shutil.rmtree(clone / "build", ignore_errors=True)
    run([*pip, "download", "-q", "--only-binary", ":all:", "--implementation", "cp", "--python-version", version,
         "-d", str(wheels), *map(str, wheels.glob("atmdepot-*.whl"))], environment)
