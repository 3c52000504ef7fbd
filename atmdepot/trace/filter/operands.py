"""The operands of a filter's words: numbers, values from a list, names, VCs, addresses, networks.

`read` converts an operand's text to the value that the word's tests compare with; it raises ValueError with what would
be right.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping

MAX_VPI, MAX_VCI, MAX_PORT = 4095, 65535, 65535

# 18 digits hold every number here, and bound the work of int().
_RANGE = re.compile(r"([0-9]{1,18})(?:(-)([0-9]{1,18})?)?")
_NUMBERS = re.compile(r"[0-9][0-9,-]*")
_VC = re.compile(r"([0-9]{1,18})/([0-9,-]+)")
_PORT_AFTER = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?|([0-9.]+):([0-9]{1,5})")
_MOST_SHOWN = 12  # values in a hint
LONGEST_GUESSED = 40
"""Longest word, in characters, for which a near match is suggested."""


class Operand(NamedTuple):
    """A kind of operand.

    `syntax` is its form in the help, "" without an operand. `fits` is True for a text that can only be this operand,
    which may then follow without its word (`port 80 or 443`). With `many`, several operands may follow one another.
    """

    syntax: str
    read: Callable[[str], Any]
    fits: Callable[[str], bool]
    choices: tuple[str, ...] = ()
    many: bool = False


NONE = Operand("", lambda _: None, lambda _: False)


def nearest(text: str, known: Iterable[str]) -> str | None:
    """The known word most like a text, if there is a near match."""
    # difflib takes long for long texts, and a long text is no typing error.
    near = difflib.get_close_matches(text.lower(), known, n=1) if len(text) <= LONGEST_GUESSED else []
    return near[0] if near else None


class Ranges(tuple[range, ...]):
    """Numbers in any of several ranges."""

    __slots__ = ()

    def __contains__(self, number: object) -> bool:
        return any(number in one for one in self)


def numbers(what: str, most: int, syntax: str = "N") -> Operand:
    """An operand of numbers: `N`, `N-M`, `N-` (and above), or several with commas between them, at most `most`."""

    def read(text: str) -> range | Ranges:
        found = Ranges(_range(part, what, most) for part in text.split(","))
        return found[0] if len(found) == 1 else found

    return Operand(syntax, read, lambda text: _NUMBERS.fullmatch(text) is not None)


def _range(text: str, what: str, most: int) -> range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{what} is 0 to {most}, or a range as 1-{min(most, 9)}, or several with commas between them")
    first = int(match[1])
    last = int(match[3]) if match[3] else most if match[2] else first
    if max(first, last) > most:
        raise ValueError(f"{what} is 0 to {most}")
    if last < first:
        raise ValueError(f"a range begins with the lesser number: {last}-{first}")
    return range(first, last + 1)


def choice(what: str, values: Mapping[str, Any], syntax: str = "", *, many: bool = False) -> Operand:
    """An operand of words from a list, or several with commas between them, read as the words' values."""

    def read(text: str) -> frozenset[Any]:
        # All parts are tested before the first is used, so that the message names the wrong part.
        for part in text.lower().split(","):
            if part not in values:
                raise ValueError(f"no such {what}: {_instead(part, list(values))}")
        return frozenset(values[part] for part in text.lower().split(","))

    def fits(text: str) -> bool:
        return all(part in values for part in text.lower().split(","))

    return Operand(syntax or "|".join(values), read, fits, tuple(values), many)


def _instead(text: str, values: list[str]) -> str:
    near = nearest(text, values)
    if near is not None:
        return f"did you mean \"{near}\"?"
    more = ", ..." if len(values) > _MOST_SHOWN else ""
    return f"there are {', '.join(values[:_MOST_SHOWN])}{more}"


NAME = Operand("NAME", lambda text: frozenset(text.split(",")), lambda _: False)
"""A name from a VC table, or several with commas between them."""


def check_names(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise ValueError for an unknown name; an empty `known` accepts any name."""
    for name in sorted(names):
        if known and name not in known:
            raise ValueError(f"no such {what} in the VC table: {_instead(name, sorted(known))}")


def read_vc(text: str) -> tuple[int, Container[int]]:
    """VPI and VCIs of `1/64` or `1/64-99`."""
    match = _VC.fullmatch(text)
    if match is None:
        raise ValueError("a VC is VPI/VCI, as 1/64 or 1/64-99")
    if int(match[1]) > MAX_VPI:
        raise ValueError(f"a VPI is 0 to {MAX_VPI}")
    return int(match[1]), _VCIS.read(match[2])


_VCIS = numbers("a VCI", MAX_VCI)
VC = Operand("VPI/VCI", read_vc, lambda text: _VC.fullmatch(text) is not None)


class Host(NamedTuple):
    """An address of 4 or 16 octets, with or without a port."""

    address: bytes
    port: int | None = None


def read_host(text: str) -> Host:
    """Read an address, or an address and port as a trace prints them: `10.9.0.2:80`, `[fd00::1]:80`."""
    # The pattern matches only an address with brackets or a port; any other text is left to `ipaddress`.
    match = _PORT_AFTER.fullmatch(text)
    address, port = (match[1] or match[3], match[2] or match[4]) if match else (text, None)
    if port is not None and int(port) > MAX_PORT:
        raise ValueError(f"a port is 0 to {MAX_PORT}")
    try:
        return Host(ipaddress.ip_address(address).packed, None if port is None else int(port))
    except ValueError:
        hint = f"did you mean \"net {text}\"?" if _is_network(text) else "write 10.9.0.2 or fd00::1"
        raise ValueError(f"no address: {hint}") from None


def read_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Read a network, whose address has no bits beyond its length."""
    if not _is_network(text):
        raise ValueError("no network: write 10.9.0.0/16 or fd00::/8")
    # strict=False: the next lines give a better message than ipaddress does.
    network = ipaddress.ip_network(text, strict=False)
    if str(network.network_address) != str(ipaddress.ip_address(text.split("/")[0])):
        raise ValueError(f"its address has bits beyond its length: did you mean \"{network}\"?")
    return network


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _is_host(text: str) -> bool:
    try:
        read_host(text)
    except ValueError:
        return False
    return True


HOST = Operand("ADDR", read_host, _is_host)
NETWORK = Operand("ADDR/LEN", read_network, _is_network)
