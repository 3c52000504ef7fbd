"""Types of values in a VC table, with their bounds."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Ratio = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""A count. Its bound leaves room for sums in the C types that hold it (int, long long, 32-bit Py_ssize_t)."""

CountOrNone = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""A count in which 0 means no bound."""

Weight = Annotated[int, Meta(ge=1, le=1000)]

# The kernel's names of devices have 15 characters at most. `$` alone would match before a final newline, too.
DeviceName = Annotated[str, Meta(min_length=1, max_length=15, pattern=r"^[A-Za-z0-9_.-]+$(?!\n)",
                                 description="1 to 15 letters, digits, '_', '.' or '-', in quotes")]

Mtu = Annotated[int, Meta(ge=576, le=65527)]
"""Octets of an IP packet; 65527 and the 8 octets of LLC make the greatest AAL5 SDU."""
