"""What is compiled: every module with a `.pxd` of its name beside it, and every `.pyx`.

The sources stay plain Python that runs without a compiler: where one extension cannot be built all are left out, and
the modules run as they stand (`atmdepot --version` says so). ATMDEPOT_PURE=1 builds none. ATMDEPOT_SANITIZE=1 builds
them with AddressSanitizer and UBSan, for tests (see docs/performance.md).
"""

import os
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

DIRECTIVES = {
    "language_level": 3,
    # Annotations are for readers and mypy; C types come from the .pxd alone.
    "annotation_typing": False,
    "embedsignature": True,
}
# A packet finds the caches used by others, so little code in few pages counts: no error path between the others, no
# detour for a symbol that nobody else could take the place of.
_OPTIMISE = ["-O2", "-g0", "-fno-strict-aliasing", "-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt",
             "--param=builtin-expect-probability=100", "-DCYTHON_CLINE_IN_TRACEBACK=0"]
_SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
             "-DCYTHON_CLINE_IN_TRACEBACK=0"]


def sources() -> list[Path]:
    """The Python and Cython sources to compile."""
    package = Path("atmdepot")
    typed = [path.with_suffix(".py") for path in package.rglob("*.pxd") if path.with_suffix(".py").exists()]
    return sorted([*typed, *package.rglob("*.pyx")])


def extensions() -> list[Extension]:
    """Their extensions; none where Cython is not wanted."""
    if os.environ.get("ATMDEPOT_PURE"):
        return []
    from Cython.Build import cythonize

    sanitize = bool(os.environ.get("ATMDEPOT_SANITIZE"))
    flags = _SANITIZE if sanitize else _OPTIMISE
    made = [
        Extension(".".join(path.with_suffix("").parts), [str(path)], extra_compile_args=flags,
                  extra_link_args=flags if sanitize else [])
        for path in sources()
    ]
    return cythonize(made, compiler_directives=DIRECTIVES, build_dir="build/cython", force=sanitize,
                     nthreads=os.cpu_count() or 0) if made else []


class AllOrNone(build_ext):
    """The extensions call each other in C, so where one is missing, none may be there."""

    def build_extensions(self) -> None:
        """Build them; leave none where one cannot be built, unless it is the sanitizers' build that was asked for."""
        try:
            super().build_extensions()
        except (BaseError, CCompilerError, OSError) as error:
            if os.environ.get("ATMDEPOT_SANITIZE"):
                raise
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
                Path(*extension.name.split(".")).with_suffix(sysconfig.get_config_var("EXT_SUFFIX")).unlink(missing_ok=True)
            self.extensions = []
            self.warn(f"the data path stays plain Python: {error}")


setup(ext_modules=extensions(), options={"build_ext": {"parallel": os.cpu_count() or 1}},
      cmdclass={"build_ext": AllOrNone})
