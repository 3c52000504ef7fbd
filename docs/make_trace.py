#!/usr/bin/env python3
"""Fill in what the commands of docs/trace.md and docs/tutorial.md print: `python docs/make_trace.py`.

Each `$ atmdepot trace -r ...` that begins a console block of theirs is run, in the checkout, and what it prints on
standard output is written below it. A test holds that the pages are as this makes them.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "docs" / name for name in ("trace.md", "tutorial.md")]

_BLOCK = re.compile(r"(?<=```console\n)\$ (atmdepot trace -r [^\n]*)\n.*?(?=```)", re.DOTALL)
"""Only what reads a recording prints the same each time."""


def made(page: Path) -> str:
    """A page, with what its commands print now."""
    return _BLOCK.sub(lambda match: f"$ {match[1]}\n{printed(match[1])}", page.read_text())


def printed(command: str) -> str:
    """What a command of a page prints on standard output."""
    words = shlex.split(command)[1:]
    done = subprocess.run([sys.executable, "-P", "-m", "atmdepot", *words], cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {"TZ": "UTC", "COLUMNS": "120", "NO_COLOR": "1"}, check=True)
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(made(each))
