"""What is compiled: every module with a `.pxd` of its name beside it, and every `.pyx`.

The sources stay plain Python that runs without a compiler: an extension that cannot be built is left out, and its
module runs as it stands (`atmdepot --version` says which). ATMDEPOT_PURE=1 builds none. ATMDEPOT_SANITIZE=1 builds
them with AddressSanitizer and UBSan, for tests (see docs/performance.md).
"""

import os
from pathlib import Path

from setuptools import Extension, setup

DIRECTIVES = {
    "language_level": 3,
    # Annotations are for readers and mypy; C types come from the .pxd alone.
    "annotation_typing": False,
    "embedsignature": True,
}
_OPTIMISE = ["-O2", "-g0", "-fno-strict-aliasing"]
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
                  extra_link_args=flags if sanitize else [], optional=not sanitize)
        for path in sources()
    ]
    return cythonize(made, compiler_directives=DIRECTIVES, build_dir="build/cython", force=sanitize,
                     nthreads=os.cpu_count() or 0) if made else []


setup(ext_modules=extensions(), options={"build_ext": {"parallel": os.cpu_count() or 1}})
