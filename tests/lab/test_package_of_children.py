"""A lab runs the package that brings it up, whatever lies in the directory from which it is started."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from atmdepot import build
from atmdepot.lab import Lab
from atmdepot.lab import web as webs

ROOT = Path(__file__).parent.parent.parent
DECOYS = ("atmdepot/__init__.py", "atmdepot/__main__.py", "msgspec.py", "trio.py", "pyroute2.py", "http.py")


@pytest.fixture
def decoys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with modules that leave a mark when they are run; the path of the mark."""
    mark = tmp_path / "decoy-was-run"
    for name in DECOYS:
        path = tmp_path / "there" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(mark)!r}, 'a').write(__name__)\nraise SystemExit('a decoy')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return mark


def test_the_decoys_would_be_run_without_the_flag(decoys: Path) -> None:
    with_flag = build.python("-m", "atmdepot", "--version")
    assert subprocess.run(with_flag, capture_output=True, check=False).returncode == 0
    assert not decoys.exists()
    without = [word for word in with_flag if word != "-P"]
    assert subprocess.run(without, capture_output=True, check=False).returncode != 0
    assert decoys.exists()


@pytest.mark.namespaces
@pytest.mark.usefixtures("run_dir")
def test_no_process_of_a_lab_takes_modules_from_where_it_was_started(
        decoys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webs, "find_nginx", lambda: None)
    with Lab.up("direct") as lab:
        assert lab.web_server == "python"
        for node in ("depot", "web1", "web2"):
            told = (lab.directory / f"{node}.log").read_text(encoding="utf-8")
            assert f"{node}: started: {build.describe()}, from {build.package()}" in told
        asked = lab.run("client", build.python("-m", "atmdepot", "show", "servers", "-o", "json"),
                        stdout=subprocess.PIPE)
        assert b"web2" in asked.stdout
    assert not decoys.exists()


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*"))
            if path.suffix in {".py", ".yaml", ".sh", ".toml", ".md"} or path.name in {"Dockerfile", "Makefile"}]


def test_every_python_of_ours_is_started_with_the_flag() -> None:
    """In the package through `build.python`, or isolated (-I), which is more.

    In the tools and tests, `-P` stands before any `-m atmdepot`.
    """
    inside = [str(path) for path in sources("atmdepot") if path != ROOT / "atmdepot" / "build.py"
              and re.search(r"sys\.executable(?!, (build\.python\(|\"-I\"))", path.read_text(encoding="utf-8"))]
    assert inside == []
    started = re.compile(r"""(?:sys\.executable|python3?)[}"',\s]+-m[\s"',]+atmdepot""")
    outside = [f"{path}: {match[0]}" for path in sources("testbed", "tests", "docs")
               for match in started.finditer(path.read_text(encoding="utf-8"))
               if path.name != "test_instructions.py"]  # which quotes what a profiler said
    assert outside == []
