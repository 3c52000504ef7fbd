"""The Wireshark dissector for UDP links (`atmdepot.lua`, beside this file), and its installation."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from importlib import resources
from pathlib import Path

from atmdepot.errors import AtmdepotError, EnvironmentLacks

FILE_NAME = "atmdepot.lua"
_MARK = b"-- atmdepot dissector for Wireshark"
"""The beginning of our file, in every version; a file that begins otherwise is not ours."""
_FOLDER = "Personal Lua Plugins:"


def install(directory: Path | None = None) -> Path:
    """Put the dissector where Wireshark and tshark load it at their next start; replace an older version of ours.

    Args:
        directory: the plugin folder; by default this user's, so root's under sudo.

    Returns:
        The installed file.

    Raises:
        AtmdepotError: when a file of that name is not ours; it is left alone.
        EnvironmentLacks: when the file cannot be written.

    """
    target = (directory or plugin_folder()) / FILE_NAME
    dissector = (resources.files(__name__) / FILE_NAME).read_bytes()
    try:
        there = target.read_bytes() if target.exists() else b""
        if there and not there.startswith(_MARK):
            raise AtmdepotError(f"{target} is not atmdepot's: move it elsewhere, then install again")
        if there != dissector:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Wireshark may start at any moment, and loads files that end in .lua.
            new = target.with_suffix(".new")
            new.write_bytes(dissector)
            new.replace(target)
    except OSError as error:
        raise EnvironmentLacks(f"{error.filename}: {error.strerror}: the dissector cannot be put there; "
                               "`wireshark -G folders` tells the folders that may hold it") from error
    return target


def plugin_folder() -> Path:
    """This user's folder of Lua plugins: by tshark or Wireshark, or without them the default folder of both."""
    for program in ("tshark", "wireshark"):
        # A broken program, or a program without Lua, prints no folder; the other program may.
        with suppress(OSError, subprocess.SubprocessError):
            if shutil.which(program) and (folder := _folder_of(program)):
                return Path(folder)
    return Path.home() / ".local" / "lib" / "wireshark" / "plugins"


def _folder_of(program: str) -> str | None:
    done = subprocess.run([program, "-G", "folders"], capture_output=True, text=True, timeout=30, check=True,
                          stdin=subprocess.DEVNULL, errors="surrogateescape")
    told = [line.removeprefix(_FOLDER).strip() for line in done.stdout.splitlines() if line.startswith(_FOLDER)]
    return told[0] if told else None
