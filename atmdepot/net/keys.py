"""Keys of links and of sets of depots, from the VC table or from a file that it names."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from atmdepot.config.units import LinkKey
from atmdepot.errors import EnvironmentLacks

if TYPE_CHECKING:

    class HasKey(Protocol):
        """A part of a VC table that may have a key."""

        @property
        def key(self) -> LinkKey | None:
            """The key itself."""

        @property
        def key_file(self) -> str | None:
            """The path of the file with the key."""


def key_of(place: str, settings: HasKey) -> bytes:
    """The key of a place in the VC table, such as `link to-web1`; empty when it has none.

    Raises EnvironmentLacks when its file cannot be read or holds no key.
    """
    if settings.key is not None or settings.key_file is None:
        return b"" if settings.key is None else settings.key.octets
    path = Path(settings.key_file)
    try:
        return LinkKey.parse(path.read_text(encoding="ascii")).octets
    except OSError as error:
        raise EnvironmentLacks(f"{place}: the key in {path} cannot be read: {error.strerror}{_who(error)}") from None
    except ValueError as error:
        hint = "it is no ASCII text" if isinstance(error, UnicodeError) else error
        raise EnvironmentLacks(f"{place}: {path} has no key: {hint}") from None


def _who(error: OSError) -> str:
    """The user who lacks a right: as a service the daemon is not root, who often owns the file."""
    if not isinstance(error, PermissionError):
        return ""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user need not have a name
        name = str(os.geteuid())
    return f" to the user {name}"
