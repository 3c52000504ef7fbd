"""The data path that runs: modules loaded in a process of its own, and the words for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atmdepot import build

ROOT = Path(__file__).parent.parent
A_PART = "data path compiled in part, 1 of 2 modules: install it again"
built = pytest.mark.skipif(not build.compiled(), reason="nothing is compiled here")

LOAD_ALL = """
import importlib, json, sys
import atmdepot.cli, atmdepot.net.daemon
from atmdepot import build
wanted = {}
for name in build.compilable():
    try:
        wanted[name] = importlib.import_module(name).__spec__.origin
    except ModuleNotFoundError as error:
        wanted[name] = [str(error), error.name]
build.choose()
from atmdepot.net import bursts, frames
from atmdepot.wire import offload
print(json.dumps({
    "wanted": wanted,
    "loaded": {name: getattr(module.__spec__, "origin", None) for name, module in sys.modules.items()
               if name.split(".")[0] == "atmdepot" and module.__spec__},
    "finders": sum(finder is build._SourceOnly for finder in sys.meta_path),
    "is_compiled": build.is_compiled(),
    "describe": build.describe(),
    "twins": sorted({one.__module__ for one in (bursts.read_packets, bursts.write_packets, bursts.Datagrams,
                                                frames.read_frames, frames.write_frames,
                                                offload.cut, offload.coalesce)}),
    "no_offload": offload.cut is offload.cut_plainly,
}))
"""


def environment(pure: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != build.PURE}
    return kept if pure is None else kept | {build.PURE: pure}


def told_by(code: str, pure: str | None) -> Any:
    """The JSON of a process of its own about itself."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT,
                          env=environment(pure))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_plain_modules_are_taken_where_they_are_asked_for() -> None:
    told = told_by(LOAD_ALL, "1")
    for name, found in told["wanted"].items():
        source = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        assert found == (str(source) if source.exists() else [f"there is no plain module {name}", name])
    assert {Path(origin).suffix for origin in told["loaded"].values()} == {".py"}
    assert told["twins"] == ["atmdepot.net.bursts", "atmdepot.net.frames", "atmdepot.wire.offload"]
    assert told["no_offload"]
    assert (told["is_compiled"], told["finders"]) == (False, 1)
    assert told["describe"] == "plain Python data path, as ATMDEPOT_PURE asks"


@built
@pytest.mark.parametrize("pure", [None, ""], ids=["unset", "empty"])
def test_all_that_can_be_is_taken_from_its_extension(pure: str | None) -> None:
    told = told_by(LOAD_ALL, pure)
    assert list(told["wanted"]) == build.compilable() == build.compiled(), "this tree is to be built again"
    for name, found in told["wanted"].items():
        assert Path(found).parent == ROOT.joinpath(*name.split(".")).parent
        assert Path(found).name.split(".")[0] == name.split(".")[-1]
        assert Path(found).suffix in build._EXTENSIONS
    assert told["twins"] == ["atmdepot.net._bursts", "atmdepot.net._frames", "atmdepot.wire._offload"]
    assert not told["no_offload"]
    assert (told["is_compiled"], told["finders"]) == (True, 0)
    assert told["describe"] == "compiled data path"


def test_other_packages_are_left_to_their_own_finder() -> None:
    """Other packages' modules are not this finder's affair, and a module that is not there stays so."""
    told = told_by("""
import json, sys
import atmdepot
import fastcrc
try:
    import atmdepot.wire.nothing
except ModuleNotFoundError as error:
    print(json.dumps([fastcrc.fastcrc.__spec__.origin, error.name]))
""", "1")
    assert Path(told[0]).suffix in build._EXTENSIONS
    assert told[1] == "atmdepot.wire.nothing"


# What is there, and what is said of it.


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a module that has C types, and a compiled twin that has C types, too."""
    tmp_path = tmp_path / "atmdepot"
    (tmp_path / "wire").mkdir(parents=True)
    for name in ("node.py", "node.pxd", "plain.py", "wire/_octets.pyx", "wire/_octets.pxd", "wire/octets.py"):
        (tmp_path / name).touch()
    monkeypatch.setattr(build, "_PACKAGE", tmp_path)
    monkeypatch.delenv(build.PURE, raising=False)
    return tmp_path


def test_sources_to_compile_are_named_once(package: Path) -> None:
    assert build.compilable() == ["atmdepot.node", "atmdepot.wire._octets"]
    assert build.compiled() == []


@pytest.mark.parametrize(("extensions", "names", "says"), [
    ([], [], "plain Python data path: it was installed without a compiler"),
    (["node2.so", "plain.so", "wire/octets.so", "node.c"], [],
     "plain Python data path: it was installed without a compiler"),
    (["node.cpython-311-x86_64-linux-gnu.so"], ["atmdepot.node"], A_PART),
    (["wire/_octets.pyd"], ["atmdepot.wire._octets"], A_PART),
    (["node.abi3.so", "wire/_octets.so"], ["atmdepot.node", "atmdepot.wire._octets"], "compiled data path"),
])
@pytest.mark.parametrize("pure", [False, True])
def test_the_data_path_is_described(
    package: Path, monkeypatch: pytest.MonkeyPatch, extensions: list[str], names: list[str], says: str, pure: bool,
) -> None:
    for name in extensions:
        (package / name).touch()
    if pure:
        monkeypatch.setenv(build.PURE, "1")
    assert build.compiled() == names
    assert build.is_compiled() is (bool(names) and not pure)
    assert build.describe() == ("plain Python data path, as ATMDEPOT_PURE asks" if pure else says)


# A checkout in which a source was changed after it was compiled.


@pytest.fixture
def checkout(package: Path) -> Path:
    """The same in a checkout, all of it compiled after its sources were written."""
    (package.parent / "setup.py").touch()
    for name in ("node.cpython-311-x86_64-linux-gnu.so", "wire/_octets.so"):
        (package / name).touch()
    for path in package.rglob("*"):
        os.utime(path, (2000, 2000) if path.suffix == ".so" else (1000, 1000))
    return package


@pytest.mark.parametrize(("changed", "newer"), [
    ([], []), (["node.py"], ["node.py"]), (["wire/_octets.pyx", "node.pxd"], ["node.pxd", "wire/_octets.pyx"]),
    (["plain.py", "wire/octets.py"], []),
])
def test_sources_newer_than_their_extensions(checkout: Path, changed: list[str], newer: list[str]) -> None:
    for name in changed:
        os.utime(checkout / name, (3000, 3000))
    named = [f"{checkout.name}/{name}" for name in newer]
    assert build.stale() == named
    told = f"compiled data path, older than {', '.join(named)}: {build.REBUILD}" if newer else "compiled data path"
    assert build.describe() == told


def test_an_extension_that_was_not_built_again(checkout: Path) -> None:
    os.utime(checkout / "wire" / "_octets.so", (500, 500))
    assert f"{checkout.name}/wire/_octets.pyx" in build.stale()


def test_an_installation_has_no_times_to_go_by(checkout: Path) -> None:
    (checkout.parent / "setup.py").unlink()
    os.utime(checkout / "node.py", (3000, 3000))
    assert build.stale() == []
    assert build.describe() == "compiled data path"


def test_a_plain_checkout_has_no_stale_extensions(package: Path) -> None:
    (package.parent / "setup.py").touch()
    assert build.stale() == []
