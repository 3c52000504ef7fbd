"""What can go wrong in a way that a user should read: one line, and an exit code."""

from __future__ import annotations


class AtmdepotError(Exception):
    """A clear failure; the command prints it as one line and exits with `exit_code` (1)."""

    exit_code = 1


class EnvironmentLacks(AtmdepotError):
    """The machine lacks a right, a device, an address or a program (exit code 5)."""

    exit_code = 5


class NotReady(AtmdepotError):
    """Something was not ready in time (exit code 4)."""

    exit_code = 4
