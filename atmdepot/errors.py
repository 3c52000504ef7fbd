"""Failures that a user should read: a message, mostly of a line, and an exit code."""

from __future__ import annotations


class AtmdepotError(Exception):
    """A clear failure; the command prints it without a traceback and exits with `exit_code` (1)."""

    exit_code = 1


class EnvironmentLacks(AtmdepotError):
    """The machine lacks a right, a device, an address or a program (exit code 5)."""

    exit_code = 5


class NotReady(AtmdepotError):
    """A network or service was not ready in time (exit code 4)."""

    exit_code = 4
