"""tshark and its companions, which read our captures and write some for us to read."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


# Without the first, IP in a VC without LLC is taken for something else; the second is off by default.
_PREFERENCES = "-o", "erf.aal5_type:unspec", "-o", "tcp.check_checksum:TRUE"


class Wireshark:
    """Runs Wireshark's command-line programs, with no preferences but the default ones.

    `environment` is theirs, for who starts one by other means.
    """

    def __init__(self, config: Path) -> None:
        self.environment = os.environ | {"WIRESHARK_CONFIG_DIR": str(config), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def tshark(self, file: Path, *arguments: str) -> str:
        """The output of tshark for an ERF or other capture, without its warnings (about root, say)."""
        return self._run("tshark", "-n", *_PREFERENCES, "-r", str(file), *arguments)

    def fields(self, file: Path, *names: str, only: str = "") -> list[list[str]]:
        """The values of some fields, for each frame that the display filter `only` lets through."""
        wanted = [option for name in names for option in ("-e", name)]
        lines = self.tshark(file, "-Y", only, "-T", "fields", *wanted).splitlines()
        return [line.split("\t") for line in lines]

    def frames(self, file: Path, only: str = "") -> list[str]:
        """The full text of each frame."""
        text = "\n" + self.tshark(file, "-V", "-Y", only)
        return text.split("\nFrame ")[1:]

    def editcap(self, *arguments: str | Path) -> None:
        self._run("editcap", *map(str, arguments))

    def mergecap(self, *arguments: str | Path) -> None:
        self._run("mergecap", *map(str, arguments))

    def capinfos(self, file: Path) -> str:
        """The output of capinfos for a capture."""
        return self._run("capinfos", str(file))

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout
