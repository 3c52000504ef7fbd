"""Texts out of captures and from other processes, made safe for a terminal and for columns."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with all that would do something to a terminal (control characters, line breaks) escaped."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def printable_in_place(text: str) -> str:
    """A text of as many characters without any that move a cursor, colour, or end a line."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "?" for character in text)
