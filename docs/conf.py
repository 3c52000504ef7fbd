"""The documentation as a site: `make docs` builds it from these pages and the README (Sphinx with MyST)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from atmdepot import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "atmdepot"
author = "the authors of atmdepot"
version = release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"atmdepot {__version__}"
html_show_sphinx = False
exclude_patterns = ["_build"]
suppress_warnings = ["myst.header", "misc.highlighting_failure"]


FROM_THE_TOP = {"index": "README.md", "changes": "CHANGELOG.md"}
"""Pages that are files of the top directory."""


def read_from_the_top(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put a file of the top directory before what a page has; its links are seen from docs/ there."""
    if page not in FROM_THE_TOP:
        return
    text = (Path(__file__).parent.parent / FROM_THE_TOP[page]).read_text(encoding="utf-8")
    text = text.replace("](CHANGELOG.md", "](docs/changes.md")
    text = re.sub(r"\]\((?!https?:|#)(?!docs/)", "](../", text).replace("](docs/", "](")
    source[0] = text + source[0]


def setup(app: Sphinx) -> None:
    """Have Sphinx call `read_from_the_top` for each page."""
    app.connect("source-read", read_from_the_top)
