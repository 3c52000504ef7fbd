"""The choice of the data path: compiled, or the same sources as plain Python.

Installing the package compiles the modules with a `.pxd` beside them, where there is a compiler. With `ATMDEPOT_PURE=1`
in the environment the plain modules run in any case.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

PURE = "ATMDEPOT_PURE"
_PACKAGE = Path(__file__).parent
_EXTENSIONS = (".so", ".pyd")
REBUILD = "run `.venv/bin/python setup.py build_ext --inplace`"


def python(*words: str) -> list[str]:
    """The command that starts another Python, for modules of this package or a program of ours (`-c`).

    `-P` keeps the working directory out of the import path: a package `atmdepot` or another module in that directory
    must not run in place of ours, with the rights of this process.
    """
    return [sys.executable, "-P", *words]


class _SourceOnly:
    """A finder that finds the package's modules by their sources only."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None,  # noqa: ARG004
    ) -> ModuleSpec | None:
        """Find the source of a module; raise ModuleNotFoundError when the package has no source of it."""
        if not name.startswith("atmdepot.") or path is None:
            return None
        finders = (FileFinder(place, (SourceFileLoader, SOURCE_SUFFIXES)) for place in path)
        found = (finder.find_spec(name) for finder in finders)
        spec = next((spec for spec in found if spec is not None and spec.loader is not None), None)
        if spec is None:  # else the import system would continue, and find the compiled module
            raise ModuleNotFoundError(f"there is no plain module {name}", name=name)
        return spec


def choose() -> None:
    """Use the plain modules from now on, if the environment asks for them; to be called before any import of them."""
    if os.environ.get(PURE) and _SourceOnly not in sys.meta_path:
        sys.meta_path.insert(0, _SourceOnly)


def compilable() -> list[str]:
    """The names of the modules that can be compiled."""
    sources = {path.with_suffix("") for suffix in ("*.pxd", "*.pyx") for path in _PACKAGE.rglob(suffix)}
    return sorted(".".join(("atmdepot", *path.relative_to(_PACKAGE).parts)) for path in sources)


def compiled() -> list[str]:
    """The names of the modules that are compiled here."""
    return [name for name in compilable() if _has_extension(name)]


def _has_extension(name: str) -> bool:
    return bool(_extensions_of(name))


def _extensions_of(name: str) -> list[Path]:
    place = _PACKAGE.joinpath(*name.split(".")[1:])
    return [path for path in place.parent.glob(place.name + ".*") if path.suffix in _EXTENSIONS]


def _source(name: str) -> Path:
    return _PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")


def is_compiled() -> bool:
    """True when the compiled data path runs."""
    return not os.environ.get(PURE) and bool(compiled())


def package() -> Path:
    """The directory of the package that runs."""
    return _PACKAGE


def describe() -> str:
    """The data path in words, for `--version` and reports."""
    if os.environ.get(PURE):
        return f"plain Python data path, as {PURE} asks"
    here, all_of_them = len(compiled()), len(compilable())
    if not here:
        return "plain Python data path: it was installed without a compiler"
    if here < all_of_them:
        return f"data path compiled in part, {here} of {all_of_them} modules: install it again"
    if newer := stale():
        return f"compiled data path, older than {', '.join(newer)}: {REBUILD}"
    return "compiled data path"


def stale() -> list[str]:
    """The sources of a checkout that are newer than the compiled modules, which then run older code.

    An installation has no stale sources: the times of its files are those of unpacking, so they are not compared.
    """
    checkout = _PACKAGE.parent
    extensions = [path for name in compiled() for path in _extensions_of(name)]
    # Without setup.py beside the package this is an installation.
    if not extensions or not (checkout / "setup.py").exists():
        return []
    built = min(path.stat().st_mtime for path in extensions)
    twins = {_source(name) for name in compilable()}
    sources = {*twins, *(path for suffix in ("*.pxd", "*.pyx", "*.h") for path in _PACKAGE.rglob(suffix))}
    return sorted(str(path.relative_to(checkout)) for path in sources
                  if path.exists() and path.stat().st_mtime > built)
