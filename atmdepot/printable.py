"""Texts of others, as from captures, files and other processes, made safe for a terminal and for columns."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Show the characters of a text that would act on a terminal as their codes, but for those in `keep`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character in keep else ascii(character)[1:-1]
                   for character in text)


def printable_in_place(text: str) -> str:
    """Replace the characters of a text that move a cursor, colour, or end a line; the number of characters stays."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "?" for character in text)
