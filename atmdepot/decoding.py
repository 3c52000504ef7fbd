"""The errors of a decoder that met what is not what it was to read: files, lines and answers that others wrote."""

from __future__ import annotations

import msgspec

NOT_DECODED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""The errors that msgspec raises for wrong values, for octets that are no text, and for too deep nesting."""
