"""A connection of the client of `bench failover`, and what is known of it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from atmdepot.bench.failover.talk import Answers, Chunks

if TYPE_CHECKING:
    import socket

    from atmdepot.bench.failover.load import Pool

KEPT, NEW, TRAIN, DOWNLOAD = "kept", "new", "train", "download"
"""Kinds of sessions: kept for long (the ring), with a lifetime (of a pool), and those two."""

_REASONS = {errno.ECONNRESET: "reset", errno.ECONNREFUSED: "refused", errno.ETIMEDOUT: "timed out",
            errno.EHOSTUNREACH: "unreachable", errno.ENETUNREACH: "unreachable", errno.EPIPE: "reset"}


def reason(number: int) -> str:
    """A word for why a connection is gone, by the error's number."""
    return _REASONS.get(number) or os.strerror(number)


class Session:
    """A connection of the client's."""

    __slots__ = ("answers", "asked", "dead", "established_at", "kind", "must", "opened_at", "overdue", "pool", "socket")

    def __init__(self, connection: socket.socket, now: int, kind: str, pool: Pool | None) -> None:
        self.socket = connection
        self.kind = kind  # kept, new, train or download, as the gaps of a reading
        self.pool = pool
        self.opened_at = now
        self.established_at: int | None = None
        self.answers: Answers | Chunks = Chunks() if kind == DOWNLOAD else Answers()
        self.asked = 0
        self.must = 0  # the first request after a failure, by number; 0: not judged
        self.dead = ""  # why
        self.overdue = False  # its life has ended while a failure was judged

    @property
    def goes_on(self) -> bool:
        """True when a request after the failure was answered."""
        return bool(self.must) and self.answers.number >= self.must
