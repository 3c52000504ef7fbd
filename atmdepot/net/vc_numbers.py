"""The numbers of a VC that an option such as `--vc` means: the command and the daemon judge them alike."""

from __future__ import annotations

from atmdepot.errors import AtmdepotError

_LONGEST = len("4095/65535")


def numbers_of(text: str) -> tuple[int, int] | None:
    """VPI and VCI of a text; None for no text. Raises AtmdepotError for another text."""
    if not text:
        return None
    vpi, _, vci = text.partition("/")
    if not (text.isascii() and vpi.isdecimal() and vci.isdecimal() and len(text) <= _LONGEST):
        raise AtmdepotError(f"{text!r} is no VC: write VPI/VCI, as in 1/64")
    return int(vpi), int(vci)
