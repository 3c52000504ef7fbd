"""`setup.py`: it builds in place or fails loudly; elsewhere it leaves the data path plain."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from atmdepot import build

SETUP = Path(__file__).parent.parent / "setup.py"
PROJECT = """
[build-system]
requires = ["setuptools>=77", "cython>=3.1"]
[project]
name = "atmdepot"
version = "1"
[tool.setuptools]
packages = ["atmdepot"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A package of one compiled module, and an extension of it from an earlier build."""
    shutil.copy(SETUP, tmp_path)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "atmdepot").mkdir()
    (tmp_path / "atmdepot" / "__init__.py").touch()
    (tmp_path / "atmdepot" / "one.py").write_text("def twice(number):\n    return 2 * number\n")
    (tmp_path / "atmdepot" / "one.pxd").write_text("cpdef long twice(long number)\n")
    extension_of(tmp_path).write_bytes(b"old")
    return tmp_path


def extension_of(project: Path) -> Path:
    return project / "atmdepot" / f"one{sysconfig.get_config_var('EXT_SUFFIX')}"


def built(project: Path, *words: str, before: str = "pass", **variables: str) -> subprocess.CompletedProcess[str]:
    """The outcome of a `build_ext` after some code."""
    code = f"import runpy, sys; {before}; sys.argv[0] = 'setup.py'; runpy.run_path('setup.py', {{}}, '__main__')"
    environment = {name: value for name, value in os.environ.items() if name not in {build.PURE, "ATMDEPOT_SANITIZE"}}
    return subprocess.run([sys.executable, "-c", code, "-q", "build_ext", *words], capture_output=True, text=True,
                          check=False, cwd=project, env=environment | variables)


def test_a_compiler_that_fails_in_place_is_an_error(project: Path) -> None:
    done = built(project, "--inplace", CC="false")
    assert done.returncode != 0
    assert "false" in done.stderr
    assert extension_of(project).read_bytes() == b"old"


def test_a_compiler_that_fails_elsewhere_leaves_plain_python(project: Path) -> None:
    done = built(project, CC="false")
    assert done.returncode == 0, done.stderr
    assert "plain Python" in done.stderr
    assert not extension_of(project).exists(), "all or none"


@pytest.mark.parametrize(("before", "named"), [
    ("import setuptools; setuptools.__version__ = '65.5.0'", ["setuptools 77", "65.5.0"]),
    ("sys.modules['Cython'] = sys.modules['Cython.Build'] = None", ["Cython 3.1"]),
])
def test_requirements_for_building_are_named(project: Path, before: str, named: list[str]) -> None:
    done = built(project, "--inplace", before=before)
    assert done.returncode == 1
    assert all(word in done.stderr for word in named)
    assert "Traceback" not in done.stderr


def test_plain_python_needs_no_cython(project: Path) -> None:
    done = built(project, "--inplace", before="sys.modules['Cython'] = None", **{build.PURE: "1"})
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not build.compiled(), reason="nothing is compiled here")
def test_a_build_in_place_is_newer_than_every_source(project: Path) -> None:
    for source in (project / "atmdepot").glob("one.p*"):
        os.utime(source, (1000, 1000))
    done = built(project, "--inplace")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 compiled" in done.stdout
    assert extension_of(project).read_bytes() != b"old"
    (project / "atmdepot" / "one.pxd").touch()
    assert built(project, "--inplace").returncode == 0
    assert extension_of(project).stat().st_mtime >= (project / "atmdepot" / "one.pxd").stat().st_mtime
    ran = subprocess.run([sys.executable, "-c", "from atmdepot import one; print(one.twice(21), one.__file__)"],
                         capture_output=True, text=True, check=True, cwd=project, env=os.environ | {"PYTHONPATH": "."})
    assert ran.stdout == f"42 {extension_of(project)}\n"
