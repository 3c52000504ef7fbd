"""The ground of a scenario: where its network runs. The lab is one, Compose another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence


class Ground(Protocol):
    """A running network as steps and the watch use it; each method raises AtmdepotError when it cannot do its work."""

    pause: float
    """Seconds between two looks at the daemons."""

    def popen(self, node: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in a node, in a session of its own."""

    def python(self, *words: str) -> list[str]:
        """The command line of Python in a node."""

    def command(self, node: str, *words: str) -> None:
        """Run a command of atmdepot's where the sockets of a node are; raise AtmdepotError with what it says."""

    def signal(self, node: str, what: str, number: int) -> None:
        """Send a signal to a node's `daemon` or `web` server."""

    def stop(self, node: str, what: str) -> None:
        """End a node's `daemon` or `web` server in good order; return when it has ended."""

    def remove(self, node: str) -> None:
        """Let a whole node go."""

    def runs(self, node: str) -> bool:
        """True while all processes of a node run."""

    def has_daemon(self, node: str) -> bool:
        """True for a node with a daemon; a server on Ethernet has none."""

    def start(self, node: str) -> None:
        """Start what has ended at a node; return when it is ready."""

    def cut(self, wires: list[str], *, silent: bool) -> None:
        """Cut wires."""

    def restore(self, wires: list[str]) -> None:
        """Restore wires."""

    def rows(self, node: str, subject: str) -> list[dict[str, Any]]:
        """The rows that a daemon shows; none while it does not answer."""
