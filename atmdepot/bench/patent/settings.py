"""The servers of regime B: a TOML file that fixes them before a run."""

from __future__ import annotations

import sysconfig
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from atmdepot.errors import AtmdepotError
from atmdepot.paths import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHIPPED = Path("testbed", "patent", "small-servers.toml")
_US_A_MS = 1000

Share = Annotated[float, Meta(ge=0.05, le=1)]
Processes = Annotated[int, Meta(ge=1, le=256)]
Backlog = Annotated[int, Meta(ge=0, le=4096)]
Wait = Annotated[int, Meta(ge=0, le=1_000_000)]
Mbit = Annotated[float, Meta(ge=1, le=10_000)]


class SmallServer(Struct, frozen=True, forbid_unknown_fields=True):
    """A small machine with a web server; times of work are at its own pace, in µs."""

    quota: Share
    period_ms: Annotated[int, Meta(ge=1, le=1000)]
    processes: Processes
    backlog: Backlog
    work_us: Annotated[int, Meta(ge=0, le=1_000_000)]
    work_us_per_kb: Annotated[int, Meta(ge=0, le=100_000)]
    wait_us: Wait

    @property
    def period_us(self) -> int:
        """The period of the quota in µs."""
        return self.period_ms * _US_A_MS

    @property
    def quota_us(self) -> int:
        """The processor time in a period in µs."""
        return round(self.quota * self.period_us)

    @property
    def places(self) -> int:
        """The requests that the server holds at a time: served, and waiting in the listen queue."""
        return self.processes + self.backlog + 1


class Lines(Struct, frozen=True, forbid_unknown_fields=True):
    """The rates of the lines in Mbit/s, in each direction."""

    client_mbit: Mbit
    server_mbit: Mbit


class Client(Struct, frozen=True, forbid_unknown_fields=True):
    """The client: how often a SYN without an answer is sent again, and µs between its first requests."""

    syn_retries: Annotated[int, Meta(ge=1, le=6)]
    begin_us: Annotated[int, Meta(ge=0, le=100_000)]


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    """The values of each parameter for which the result is tried besides."""

    processes: list[Processes] = []
    backlog: list[Backlog] = []
    quota: list[Share] = []
    wait_us: list[Wait] = []


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    server: SmallServer
    lines: Lines
    client: Client
    range: Range = Range()

    def changes(self) -> Iterator[str]:
        """Each change of one parameter that the range has, as `name=value`."""
        for name, values in msgspec.structs.asdict(self.range).items():
            yield from (f"{name}={value:g}" for value in values)

    def changed(self, change: str) -> SmallServer:
        """The server with one change (`backlog=15`), or as it is when that is empty."""
        name, _, text = change.partition("=")
        value: Any = float(text) if name == "quota" else int(text) if name else None
        return msgspec.structs.replace(self.server, **{name: value}) if name else self.server


def shipped() -> Path:
    """The file that ships with atmdepot."""
    # A checkout has it beside the package, an installation in the data directory.
    folders = (Path(__file__).parents[3], Path(sysconfig.get_path("data")) / "share" / "atmdepot")
    return next((folder / _SHIPPED for folder in folders if (folder / _SHIPPED).is_file()), _SHIPPED)


def load(path: Path) -> Settings:
    """Read and check a file; raise AtmdepotError that names the file, the field and what would be right."""
    try:
        text = read_file(path, "servers' settings").decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise AtmdepotError(f"{path} cannot be read: {why}; {_SHIPPED} is an example") from None
    try:
        written = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise AtmdepotError(f"{path}: this is no TOML: {error}; {_SHIPPED} is an example") from None
    try:
        found = msgspec.convert(written, Settings)
    except msgspec.ValidationError as error:
        raise AtmdepotError(f"{path}: {error}; {_SHIPPED} has every field") from None
    for name, quota in (("server.quota", found.server.quota), *(("range.quota", each) for each in found.range.quota)):
        if round(quota * found.server.period_us) < _US_A_MS:
            raise AtmdepotError(f"{path}: {name}: {quota:g} of a period of {found.server.period_ms} ms is below 1 ms, "
                                "which is the least that the kernel grants: write more, or a greater period_ms")
    return found
