"""The common part of the clients of scenarios and benchmarks: connections without waiting, answers' heads, lines."""

from __future__ import annotations

import errno
import os
import resource
import socket
import sys


def connect(connection: socket.socket, to: tuple[str, int]) -> None:
    """Begin to connect a socket that does not block.

    Raises:
        OSError: it failed at once.

    """
    _raise_if(connection.connect_ex(to), errno.EINPROGRESS)


def check_connected(connection: socket.socket) -> None:
    """Look whether a socket that can be written to is connected.

    Raises:
        OSError: it is not, and why.

    """
    _raise_if(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def _raise_if(number: int, harmless: int = 0) -> None:
    if number not in (0, harmless):
        raise OSError(number, os.strerror(number))


def reason_of(error: OSError) -> str:
    """The words of the system for an error."""
    return error.strerror or str(error)


def fields_of(lines: list[str]) -> dict[str, str]:
    """The fields of an HTTP head, without its first line, by their names in small letters."""
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def raise_file_limit() -> None:
    """Let this process have as many descriptors as it may: one for each connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def tell(line: bytes) -> None:
    """Write a line to the standard output at once."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
