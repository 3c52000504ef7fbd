"""Tables of a benchmark between the markers of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atmdepot.bench.page import put_between, put_into, require_markers
from atmdepot.errors import AtmdepotError

if TYPE_CHECKING:
    from pathlib import Path

BEGIN, END = "<!-- begin -->", "<!-- end -->"


def test_tables_are_put_between_the_markers_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{BEGIN}\nold\n{END}\n\nmore\n")
    require_markers(page, BEGIN, END)
    for text in ("one\n", "two\n"):
        put_into(page, text, BEGIN, END)
    assert page.read_text() == f"# Page\n\n{BEGIN}\n\ntwo\n\n{END}\n\nmore\n"


@pytest.mark.parametrize("page", ["# Page\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_a_page_without_both_markers_in_order_is_refused(page: str, tmp_path: Path) -> None:
    with pytest.raises(AtmdepotError, match="no lines"):
        put_between(page, "one\n", BEGIN, END)
    (tmp_path / "page.md").write_text(page)
    with pytest.raises(AtmdepotError, match="no lines"):
        require_markers(tmp_path / "page.md", BEGIN, END)
