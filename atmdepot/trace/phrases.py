"""Counts in words, in the singular where the count is 1."""

from __future__ import annotations

_SINGULAR = {"blocks": "block", "cells": "cell", "cuts": "cut", "datagrams": "datagram", "fragments": "fragment",
             "frames": "frame", "interfaces": "interface", "octets": "octet", "packets": "packet", "PDUs": "PDU",
             "places": "place", "records": "record", "times": "time"}
_VERBS = {"are": "is", "hold": "holds", "were": "was", "have": "has"}


def phrase_text(count: int, phrase: str) -> str:
    """A count of a phrase in the plural: `2 frames that are not IP`, `1 frame that is not IP`.

    The first noun that is counted, and the verb behind its "that", are put in the singular.
    """
    words = phrase.split(" ")
    at = next((at for at, word in enumerate(words) if word in _SINGULAR), None) if count == 1 else None
    if at is not None:
        words[at] = _SINGULAR[words[at]]
        if words[at + 1:at + 2] == ["that"] and at + 2 < len(words):
            words[at + 2] = _VERBS.get(words[at + 2], words[at + 2])
    return f"{count:,} {' '.join(words)}"
