"""The wheel and the source distribution: what is in them, and that an installation from the wheel works."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import pytest

import atmdepot
from atmdepot import build
from atmdepot.paths import find_program
from tests.checkout import ROOT, copy_checkout

PROGRAMS = ("curl", "ip", "nginx", "ping", "tc", "sh", "unshare", "nsenter", "mount", "sysctl")

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


def test_what_an_earlier_build_left_is_not_packed(tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    left = tmp_path / "build" / "lib" / "atmdepot" / f"gone{sysconfig.get_config_var('EXT_SUFFIX')}"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    subprocess.run([sys.executable, "setup.py", "-q", "build"], cwd=tmp_path, env=os.environ | {build.PURE: "1"},
                   capture_output=True, check=True)
    assert (left.parent / "cli.py").exists()
    assert not left.exists()


class Installed:
    """An installation from the wheel, in an environment of its own; its commands find no compiler and no checkout."""

    def __init__(self, wheel: Path, home: Path) -> None:
        venv.create(home / "v", with_pip=True)
        self.home, self._python = home, home / "v" / "bin" / "python"
        subprocess.run([self._python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True,
                       capture_output=True)
        self.packages = Path(self._output([self._python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
                                           ]).strip())
        # Its dependencies are those of this environment; only atmdepot itself comes from the wheel.
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        programs = home / "programs"
        programs.mkdir()
        for name in PROGRAMS:
            if found := find_program(name):
                (programs / name).symlink_to(found)

    def run(self, *words: str) -> str:
        """The output of a command, which must succeed."""
        return self._output([self.home / "v" / "bin" / "atmdepot", *words])

    def python(self, program: str) -> str:
        """The output of a program of its Python."""
        return self._output([self._python, "-c", program])

    def _output(self, command: list[str | Path]) -> str:
        # Not pytest's directory: a unix socket's path must be short.
        with tempfile.TemporaryDirectory(prefix="atm-") as directory:
            environment = os.environ | {"PATH": str(self.home / "programs"), "ATMDEPOT_RUN_DIR": directory}
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.home,
                                  env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    return next(distributions.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


def test_the_wheel_carries_what_the_commands_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition(".data/data/share/")[2] or name for name in archive.namelist()}
    assert not [name for name in names if name.startswith("tests/")]
    data = {path.relative_to(ROOT) for pattern in ("vc_tables/*", "testbed/scenarios/*", "testbed/patent/*.toml")
            for path in ROOT.glob(pattern)}
    assert {f"atmdepot/{path}" for path in data} | {"atmdepot/testbed/http.pcap"} <= names
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("atmdepot/view/static/*")} <= names
    assert "atmdepot/trace/wireshark/atmdepot.lua" in names
    ending = sysconfig.get_config_var("EXT_SUFFIX")
    extensions = {name.removesuffix(ending) for name in names if name.endswith(ending)}
    wanted = {str(path.relative_to(ROOT).with_suffix("")) for ends in ("*.pxd", "*.pyx")
              for path in (ROOT / "atmdepot").rglob(ends)}
    assert extensions == (wanted if wheel.parent.name.startswith("compiled") else set())


def test_an_installation_from_the_wheel_works(installed: Installed, wheel: Path) -> None:
    version = installed.run("--version")
    assert version.startswith(f"atmdepot {atmdepot.__version__} (")
    assert ("(compiled data path)" in version) is wheel.parent.name.startswith("compiled")
    assert "to-web1" in installed.run("check", "direct")
    assert "VERDICT: good" in installed.run("replay", "testbed/http.pcap", "gns3")
    assert installed.python("import atmdepot; print(atmdepot.__file__)").startswith(str(installed.packages))


@pytest.mark.namespaces
@pytest.mark.parametrize("distributions", [COMPILED], indirect=True)
def test_the_demo_runs_from_an_installation(installed: Installed) -> None:
    told = installed.run("demo")
    assert "VERDICT: good" in told
    assert "recorded" not in told
