"""Pages of the documentation with tables that a benchmark puts there, between two markers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atmdepot.errors import AtmdepotError
from atmdepot.paths import write_whole

if TYPE_CHECKING:
    from pathlib import Path


def require_markers(page: Path, begin: str, end: str) -> None:
    """Raise AtmdepotError unless a page has both markers, the begin first."""
    _filled(page, "", begin, end)


def put_into(page: Path, text: str, begin: str, end: str) -> None:
    """Write a text between the markers of a page; raise AtmdepotError where it has not both."""
    write_whole(page, _filled(page, text, begin, end))


def _filled(page: Path, text: str, begin: str, end: str) -> str:
    """The text of a page with another text between its markers; an error names the page."""
    try:
        return put_between(page.read_text(encoding="utf-8"), text, begin, end)
    except UnicodeDecodeError:
        raise AtmdepotError(f"{page}: it is no text in UTF-8; name a page of the documentation") from None
    except AtmdepotError as error:
        raise AtmdepotError(f"{page}: {error}") from None


def put_between(page: str, text: str, begin: str, end: str) -> str:
    """The text of a page with another text between two markers; raises AtmdepotError where it has not both."""
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise AtmdepotError(f"the page has no lines {begin} and {end}, between which the tables are to stand")
    return f"{before}{begin}\n\n{text}\n{end}{after}"
