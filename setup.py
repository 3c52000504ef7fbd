"""What is compiled: every module with a `.pxd` of its name beside it, and every `.pyx`.

The sources stay plain Python that runs without a compiler: where one extension cannot be built all are left out, and
the modules run as they stand (`atmdepot --version` says so). In place (`setup.py build_ext --inplace`, for a checkout)
that is an error instead. ATMDEPOT_PURE=1 builds none. ATMDEPOT_SANITIZE=1 builds them with AddressSanitizer and UBSan,
for tests (see docs/performance.md).
"""

import os
import sys
import sysconfig
from itertools import count
from pathlib import Path

import setuptools
from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

DIRECTIVES = {
    "language_level": 3,
    # Annotations are for readers and mypy; C types come from the .pxd alone.
    "annotation_typing": False,
    # No module needs it, and it takes an eighth of the compiler's time.
    "binding": False,
    # So help() and inspect show the arguments all the same.
    "embedsignature": True,
    "embedsignature.format": "clinic",
}
OLDEST_SETUPTOOLS = 77
_C_FILES = Path("build/cython")
# A packet finds the caches used by others, so little code in few pages counts: no error path between the others, no
# detour for a symbol that nobody else could take the place of.
_OPTIMISE = ["-g0", "-fno-strict-aliasing", "-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt",
             "--param=builtin-expect-probability=100", "-DCYTHON_CLINE_IN_TRACEBACK=0"]
_SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
             "-DCYTHON_CLINE_IN_TRACEBACK=0"]
# Modules that a packet seldom meets; -O1 takes the compiler half the time of -O2.
_SELDOM = {
    "atmdepot.atm.timers", "atmdepot.config.qos", "atmdepot.depot.balancing.base", "atmdepot.depot.balancing.hashing",
    "atmdepot.depot.balancing.least_connections", "atmdepot.depot.balancing.round_robin",
    "atmdepot.depot.balancing.turns", "atmdepot.depot.session_management",
    "atmdepot.edge.base", "atmdepot.edge.relay_way",
    "atmdepot.net.hosting", "atmdepot.net.line_link", "atmdepot.wire.cell", "atmdepot.wire.llc",
}


def sources() -> list[Path]:
    """The Python and Cython sources to compile."""
    package = Path("atmdepot")
    typed = [path.with_suffix(".py") for path in package.rglob("*.pxd") if path.with_suffix(".py").exists()]
    return sorted([*typed, *package.rglob("*.pyx")])


def extensions() -> list[Extension]:
    """Their extensions, the longest to compile first; none where none are wanted."""
    if os.environ.get("ATMDEPOT_PURE"):
        return []
    longest_first = sorted(sources(), key=lambda path: -path.stat().st_size)
    return [_extension(".".join(path.with_suffix("").parts), path) for path in longest_first]


def _extension(name: str, path: Path) -> Extension:
    if os.environ.get("ATMDEPOT_SANITIZE"):
        return Extension(name, [str(path)], extra_compile_args=_SANITIZE, extra_link_args=_SANITIZE)
    flags = ["-O1" if name in _SELDOM else "-O2", *_OPTIMISE]
    return Extension(name, [str(path)], extra_compile_args=flags, depends=["setup.py"])


class AllOrNone(build_ext):
    """The extensions call each other in C, so where one is missing, none may be there."""

    def finalize_options(self) -> None:
        """Have Cython make C of the sources, once for all commands that ask for it."""
        modules = self.distribution.ext_modules or []
        if any(not source.endswith(".c") for module in modules for source in module.sources):
            try:
                from Cython.Build import cythonize
            except ImportError:
                sys.exit("setup.py: Cython 3.1 or later is needed to compile the data path: pip install 'cython>=3.1'")
            self.distribution.ext_modules = cythonize(
                modules, compiler_directives=DIRECTIVES, build_dir=str(_C_FILES), nthreads=os.cpu_count() or 0,
                force=bool(os.environ.get("ATMDEPOT_SANITIZE")) or _is_older_than_this(_C_FILES))
        super().finalize_options()

    def run(self) -> None:
        """Build them; in place, none is older than any source then."""
        # setuptools builds as if not in place, and copies afterwards.
        self._must = bool(os.environ.get("ATMDEPOT_SANITIZE")) or bool(self.inplace and not self.editable_mode)
        super().run()
        if self.inplace:
            for extension in self.extensions:
                _in_place(extension).touch()

    def build_extensions(self) -> None:
        """Build them; leave none where one cannot be built, unless that is what was asked for."""
        self._done = count(1)
        try:
            super().build_extensions()
        except (BaseError, CCompilerError, OSError) as error:
            if self._must:
                raise
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
                _in_place(extension).unlink(missing_ok=True)
            self.extensions = []
            self.warn(f"the data path stays plain Python: {error}")

    def build_extension(self, extension: Extension) -> None:
        """Build one, and say how far that is."""
        super().build_extension(extension)
        print(f"{next(self._done)} of {len(self.extensions)} compiled", flush=True)  # noqa: T201


class Build(build):
    """Without the extensions that an earlier build left: a wheel would carry them, and they hide the modules of now."""

    def run(self) -> None:
        """Remove them, and build."""
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        wanted = {Path(self.build_lib, *module.name.split(".")) for module in self.distribution.ext_modules or []}
        for left in Path(self.build_lib).rglob(f"*{suffix}"):
            if left.with_name(left.name.removesuffix(suffix)) not in wanted:
                left.unlink()
        super().run()


def _is_older_than_this(directory: Path) -> bool:
    """Cython looks at the sources' times, and not at the directives."""
    return any(path.stat().st_mtime < Path("setup.py").stat().st_mtime for path in directory.rglob("*.c"))


def _in_place(extension: Extension) -> Path:
    path = Path(*extension.name.split("."))
    return path.with_name(path.name + sysconfig.get_config_var("EXT_SUFFIX"))


if int(setuptools.__version__.split(".")[0]) < OLDEST_SETUPTOOLS:
    sys.exit(f"setup.py: setuptools {OLDEST_SETUPTOOLS} or later is needed, and this is {setuptools.__version__}: "
             f"pip install 'setuptools>={OLDEST_SETUPTOOLS}' 'cython>=3.1', or ./testbed/setup.sh, which does it")

setup(ext_modules=extensions(), options={"build_ext": {"parallel": os.cpu_count() or 1}},
      cmdclass={"build": Build, "build_ext": AllOrNone})
