"""The record of this user on this machine: which steps are done, and the answers that were given."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct, field

from atmdepot.decoding import NOT_DECODED
from atmdepot.errors import AtmdepotError
from atmdepot.paths import read_file


class Progress(Struct):
    """A lesson's record: when each step (by its number) was done, in UTC; and the last answers, for later steps."""

    done: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


class Memory:
    """The record in a file of the user's state directory (`$XDG_STATE_HOME`, else `~/.local/state`)."""

    def __init__(self) -> None:
        """Read the record; raise AtmdepotError when there is one that cannot be read."""
        try:
            place = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        except RuntimeError as error:  # a user without a home
            raise AtmdepotError(f"{error}: set XDG_STATE_HOME to a directory of yours") from None
        self.path = Path(place) / "atmdepot" / "exercises.json"
        try:
            self.lessons = msgspec.json.decode(read_file(self.path), type=dict[str, Progress])
        except FileNotFoundError:
            self.lessons = {}
        except (OSError, *NOT_DECODED) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise AtmdepotError(f"{self.path}, the record of exercises, cannot be read: {why}; remove it to begin "
                                "again") from None

    def of(self, name: str) -> Progress:
        """The record of a lesson."""
        return self.lessons.setdefault(name, Progress())

    def forget(self, name: str) -> None:
        """Forget a lesson, and keep the rest."""
        self.lessons.pop(name, None)

    def save(self) -> None:
        """Write the record; a reader sees the old or the new one. Raise AtmdepotError when it cannot be written."""
        new = self.path.with_suffix(f".{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(msgspec.json.format(msgspec.json.encode(self.lessons)) + b"\n")
            new.replace(self.path)
        except OSError as error:
            raise AtmdepotError(f"{self.path}, the record of exercises, cannot be written: "
                                f"{error.strerror or error}; set XDG_STATE_HOME to a directory of yours") from None
