#!/usr/bin/env python3
"""Fill in what the commands of docs/trace.md and docs/tutorial.md print: `python docs/make_trace.py`.

Each `$ atmdepot trace -r ...` that begins a console block of theirs is run, in the checkout, and what it prints on
standard output is written below it. A test holds that the pages are as this makes them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from click.testing import CliRunner

from atmdepot.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {"TZ": "UTC", "COLUMNS": "120", "NO_COLOR": "1"}
PAGES = [ROOT / "docs" / name for name in ("trace.md", "tutorial.md")]

_BLOCK = re.compile(r"(?<=```console\n)\$ (atmdepot trace -r [^\n]*)\n.*?(?=```)", re.DOTALL)
"""Only what reads a recording prints the same each time."""


def made(page: Path) -> str:
    """A page, with what its commands print now."""
    with in_the_checkout():
        return _BLOCK.sub(lambda match: f"$ {match[1]}\n{printed(match[1])}", page.read_text())


def printed(command: str) -> str:
    """The standard output of a command of a page."""
    told = CliRunner().invoke(cli, shlex.split(command)[1:], env=ENVIRONMENT, catch_exceptions=False)
    if told.exit_code:
        raise RuntimeError(f"{command}: exit code {told.exit_code}: {told.stderr}")
    return "".join(f"{line.rstrip()}\n" for line in told.stdout.splitlines())


@contextlib.contextmanager
def in_the_checkout() -> Iterator[None]:
    """Commands name files as from the top of the checkout, and print times in UTC."""
    try:
        with contextlib.chdir(ROOT), patch.dict(os.environ, ENVIRONMENT):
            time.tzset()
            yield
    finally:
        time.tzset()


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(made(each))
