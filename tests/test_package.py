"""The wheel and the source distribution: what is in them, and that an installation from the wheel works."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.checkout import ROOT, copy_checkout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git has, so that nothing is left behind in the checkout."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    copy_checkout(source)
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "-o", str(out), str(source)],
                   capture_output=True, check=True)
    return out


def test_the_source_distribution_has_all_that_make_needs(distributions: Path) -> None:
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "README.md", "LICENSE", "vc_tables/direct.toml", "testbed/setup.sh", "testbed/http.pcap",
            "tests/test_package.py", "docs/architecture.md"} <= names


def test_an_installation_from_the_wheel_works(distributions: Path, tmp_path: Path) -> None:
    wheel = next(distributions.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.startswith("tests/")]
    venv.create(tmp_path / "v", with_pip=True)
    python = tmp_path / "v" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True,
                   capture_output=True)
    # Its dependencies are those of this environment; only atmdepot itself comes from the wheel.
    own = Path(subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                              capture_output=True, text=True, check=True).stdout.strip())
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(*words: str) -> str:
        done = subprocess.run([tmp_path / "v" / "bin" / "atmdepot", *words], capture_output=True, text=True,
                              check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("--version").startswith("atmdepot ")
    assert "to-web1" in run("check", "direct")
    assert "VERDICT: good" in run("replay", str(ROOT / "testbed" / "http.pcap"), "gns3")
    where = subprocess.run([python, "-c", "import atmdepot; print(atmdepot.__file__)"], capture_output=True, text=True,
                           check=True, cwd=tmp_path).stdout
    assert where.startswith(str(own))
