"""Text in XML, which has no place for control characters. Pure."""

from __future__ import annotations

import re

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def without_controls(text: str) -> str:
    """The text with a question mark for each character that XML cannot have."""
    return _NOT_IN_XML.sub("?", text)
