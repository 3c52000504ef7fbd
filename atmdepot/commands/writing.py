"""The files that commands write: their options, and the output of a command that writes one text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atmdepot.errors import AtmdepotError
from atmdepot.paths import why_not_written, write_whole

if TYPE_CHECKING:
    import os


class FileToWrite(click.Path):
    """The option of a file that the command writes: a `Path`. What cannot be written is refused before work begins."""

    def __init__(self, *, exists: bool = False, allow_dash: bool = False) -> None:
        """Take a file, which must be there already with `exists`."""
        super().__init__(exists=exists, dir_okay=False, allow_dash=allow_dash, path_type=Path)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None,
    ) -> Any:
        """The file's path; one that cannot be written is a usage error."""
        if self.exists or str(value) != "-" or not self.allow_dash:
            _refuse(self, value, param, ctx)
        return super().convert(value, param, ctx)


class OpenFileToWrite(click.File):
    """The option of a file that is open for octets from the beginning; - is standard output."""

    def __init__(self) -> None:
        super().__init__("wb", lazy=False)

    def convert(
        self, value: str | os.PathLike[str] | Any, param: click.Parameter | None, ctx: click.Context | None,
    ) -> Any:
        """The open file; one that cannot be written is a usage error."""
        if str(value) != "-":
            _refuse(self, value, param, ctx, in_place=True)
        return super().convert(value, param, ctx)


def _refuse(
    kind: click.Path | click.File, value: str | os.PathLike[str], param: click.Parameter | None,
    ctx: click.Context | None, *, in_place: bool = False,
) -> None:
    """End with a usage error if a file cannot be written."""
    if why := why_not_written(Path(value), in_place=in_place):
        kind.fail(f"{value} cannot be written: {why}", param, ctx)


def require_writable(path: Path, *, in_place: bool = False) -> None:
    """Raise AtmdepotError if a file cannot be written; `in_place` is that of `why_not_written`."""
    if why := why_not_written(path, in_place=in_place):
        raise AtmdepotError(f"{path} cannot be written: {why}")


def give(text: str, place: Path | None) -> None:
    """Write a text to a file, whole or not at all, or print it (None, "-").

    Raises AtmdepotError if it cannot be written.
    """
    if place is None or str(place) == "-":
        click.echo(text, nl=False)
        return
    try:
        write_whole(place, text)
    except OSError as error:
        raise AtmdepotError(f"{place}: {error.strerror}") from None
