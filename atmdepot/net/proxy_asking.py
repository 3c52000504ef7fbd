"""Questions to caching proxies for their counters, each once a second; no answer is trusted (`wire/proxy_counters`)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from atmdepot.wire.proxy_counters import LONGEST, Unreadable, question, read

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from atmdepot.node.proxy_counts import ProxyCounts

log = logging.getLogger("atmdepot")

INTERVAL = 1.0
"""Seconds between two questions to a proxy."""

_PATIENCE = 0.8


async def ask_proxy(counts: ProxyCounts, name: str, host: str, port: int,
                    connected: AbstractAsyncContextManager[trio.socket.SocketType]) -> None:
    """Ask a proxy on a connection to it, and add its answer to the counts, or count that it cannot be read.

    A proxy that cannot be reached, or leaves in between, has not answered: other means tell of that.
    """
    try:
        with trio.fail_after(_PATIENCE):
            async with connected as connection:
                counts.asked()
                await connection.send(question(host, port))
                answer = await _whole(connection)
        counts.answered(read(answer))
    except trio.TooSlowError:
        _note(counts, name, Unreadable("late", f"no whole answer in {_PATIENCE} s"))
    except Unreadable as error:
        _note(counts, name, error)
    except OSError:
        return


async def _whole(connection: trio.socket.SocketType) -> bytes:
    """All that comes, but for what is beyond the longest answer."""
    answer = b""
    while len(answer) <= LONGEST and (part := await connection.recv(LONGEST)):
        answer += part
    return answer


def _note(counts: ProxyCounts, name: str, error: Unreadable) -> None:
    if not counts.unread[error.reason]:
        log.warning("the counters of the proxy %s are not taken (%s): %s", name, error.reason, error)
    counts.unread[error.reason] += 1
