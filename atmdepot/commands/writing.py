"""The output of a command that writes one text: to a file if one is named, else to standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atmdepot.errors import AtmdepotError
from atmdepot.paths import write_whole

if TYPE_CHECKING:
    from pathlib import Path


def give(text: str, place: Path | None) -> None:
    """Write a text to a file, whole or not at all, or print it; raise AtmdepotError if it cannot be written."""
    if place is None:
        click.echo(text, nl=False)
        return
    try:
        write_whole(place, text)
    except OSError as error:
        raise AtmdepotError(f"{place}: {error.strerror}") from None
