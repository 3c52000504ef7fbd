#!/usr/bin/env python3
"""Run the README's tour, and write what its commands print below them: `python docs/make_tour.py`, as root.

It brings up two labs for half a minute. The tour's first commands also become the picture at the README's top,
docs/tour.svg. Another run prints other ports and times.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "tour.svg"
WIDTH = 118
LINES = {"atmdepot trace": 8, "atmdepot show counters": 40}
"""The longest answers of commands, other than 14 lines; a longer one is cut, and ends in `...`."""
LEAST_CELLS = 10 * 2**20 // 48
"""Cells of a download of 10 MB."""
PICTURED = ("curl", "show sessions", "show servers", "--level cell")
"""Parts of the commands in the picture."""

_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
# The fonts that a reader has; none is fetched.
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>A terminal: atmdepot's commands and their answers</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Tour:
    """Runs commands, and keeps what they print, once plain for the page and once in colour for the picture."""

    def __init__(self, run_dir: str) -> None:
        """Run the commands' labs in a directory of their own."""
        self._environment = os.environ | {"ATMDEPOT_RUN_DIR": run_dir, "COLUMNS": str(WIDTH), "TZ": "UTC",
                                          "FORCE_COLOR": "1", "TERM": "xterm-256color"}
        self.shown: list[tuple[str, Text]] = []

    def filled(self, block: re.Match[str]) -> str:
        """A console block of the page, with the answer below each command."""
        commands = [line[2:] for line in block[0].splitlines() if line.startswith("$ ")]
        return "".join(f"$ {command}\n{self._answer(command)}" for command in commands)

    def _answer(self, command: str) -> str:
        sys.stderr.write(f"{command}\n")
        done = subprocess.run([sys.executable, "-P", "-m", *shlex.split(command)], env=self._environment, cwd=ROOT,
                              stdout=subprocess.PIPE, check=True, text=True)
        lines = [Text.from_ansi(line) for line in done.stdout.rstrip("\n").splitlines()]
        if command == "atmdepot show counters" and "atmdepot lab up lossy" in [each for each, _ in self.shown]:
            _require_download("\n".join(line.plain for line in lines))
        most = next((number for start, number in LINES.items() if command.startswith(start)), 14)
        if len(lines) > most:
            lines[most:] = [Text("...")]
        self.shown.append((command, Text("\n").join(lines)))
        return "".join(f"{line.plain.rstrip()}\n" for line in lines)

    def draw(self) -> None:
        """Draw the first command of each kind in `PICTURED` with its answer."""
        console = Console(record=True, width=WIDTH, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        for command, answer in self._pictured():
            console.print(Text("$ ", "bold green") + Text(command, "bold"))
            console.print(answer)
        PICTURE.write_text(console.export_svg(title="atmdepot", code_format=_SVG, unique_id="tour"), encoding="utf-8")

    def _pictured(self) -> Iterator[tuple[str, Text]]:
        for part in PICTURED:
            yield next(each for each in self.shown if part in each[0])


def _require_download(counters: str) -> None:
    """Raise SystemExit unless web1 served one of the lossy downloads: the page tells what its link lost of it."""
    sent = re.search(r"web1 +to-web1 +tx-cells +([\d,]+)", counters)
    cells = int(sent[1].replace(",", "")) if sent else 0
    if cells < LEAST_CELLS:
        raise SystemExit(f"web1 sent {cells} cells, so it served no download of 10 MB: run this again")


def main() -> None:
    """Run the tour, and write the page and the picture."""
    before, mark, rest = README.read_text(encoding="utf-8").partition("<!-- tour -->")
    tour_text, heading, after = rest.partition("\n## ")
    with tempfile.TemporaryDirectory() as run_dir:
        tour = Tour(run_dir)
        tour_text = _BLOCK.sub(tour.filled, tour_text)
    README.write_text(before + mark + tour_text + heading + after, encoding="utf-8")
    tour.draw()


if __name__ == "__main__":
    main()
