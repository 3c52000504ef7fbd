"""Clean clone of this checkout: the files that git knows, as they stand in the work tree."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def copy_checkout(target: Path) -> Path:
    """Copy every file that git knows to a directory, so that a build there leaves no file here."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, files):
        path, copy = ROOT / os.fsdecode(name), target / os.fsdecode(name)
        if path.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return target
