"""The wheel and the source distribution: what is in them, and that an installation from the wheel works."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import atmdepot
from atmdepot import build
from tests.checkout import copy_checkout

COMPILED = pytest.param("compiled", marks=[
    pytest.mark.slow, pytest.mark.skipif(not build.compiled(), reason="nothing is compiled here")])


@pytest.fixture(scope="module", params=["plain", COMPILED])
def distributions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git has, so that nothing is left behind in the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != build.PURE}
    if request.param == "plain":
        environment[build.PURE] = "1"  # takes a second; the other compiles everything
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp(request.param)
    copy_checkout(source)
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "-o", str(out), str(source)],
                   capture_output=True, check=True, env=environment)
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

    has_extensions = any(path.suffix == ".so" for path in own.rglob("atmdepot/**/*"))
    assert has_extensions is distributions.name.startswith("compiled")
    assert run("--version").startswith(f"atmdepot {atmdepot.__version__} (")
    assert ("(compiled data path)" in run("--version")) is has_extensions
    assert "to-web1" in run("check", "direct")
    assert "VERDICT: good" in run("replay", "testbed/http.pcap", "gns3")
    where = subprocess.run([python, "-c", "import atmdepot; print(atmdepot.__file__)"], capture_output=True, text=True,
                           check=True, cwd=tmp_path).stdout
    assert where.startswith(str(own))
