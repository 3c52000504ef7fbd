"""Reading a VC table: from a file to a `Network`, or to every mistake in it.

`load` either returns a consistent `Network`, or raises `NetworkError` with every mistake in the table: file, line,
key, fault and right form. The daemons, the lab and `atmdepot check` all use it, so a table that passes `check` starts.
"""

from __future__ import annotations

import difflib
import re
import sysconfig
import tomllib
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from atmdepot.config.forms import misfit, wrong_key
from atmdepot.config.links import CrossConnect, Line, Link, PermanentVc, Vp
from atmdepot.config.model import Network, Node
from atmdepot.config.pools import DepotSet, Server, Service
from atmdepot.config.problem import Problem
from atmdepot.config.relay import Dlcis
from atmdepot.config.rules import problems_of
from atmdepot.config.toml_lines import Lines
from atmdepot.config.units import (
    BitRate,
    CellRate,
    Dlci,
    DlciRange,
    Duration,
    InterfaceAddress,
    IpAddress,
    IpNetwork,
    LinkKey,
    TcpAddress,
    UdpAddress,
    Vci,
    VciRange,
    count_text,
)
from atmdepot.errors import AtmdepotError
from atmdepot.paths import read_file
from atmdepot.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable


class NetworkError(AtmdepotError):
    """Mistakes in a VC table; `problems` has a line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def find(name: str) -> Path:
    """The path of a table: a file, or the name of a table that ships with atmdepot (`direct`, `direct.toml`)."""
    return among(shipped_tables(), name)


def shipped_tables() -> dict[str, Path]:
    """Name and path of each table that ships with atmdepot."""
    return shipped("vc_tables")


def among(shipped: dict[str, Path], name: str) -> Path:
    """The path that a name means: a file, or else one of those that ship, with or without `.toml`."""
    path = Path(name)
    # A path with a directory is never the name of a shipped file.
    if path.exists() or len(path.parts) > 1:
        return path
    return shipped.get(path.stem, path) if path.suffix in {"", ".toml"} else path


def shipped(folder: str) -> dict[str, Path]:
    """Name and path of each TOML file of a folder that ships with atmdepot."""
    for place in _places():
        if tables := sorted((place / folder).glob("*.toml")):
            return {path.stem: path for path in tables}
    return {}


def find_shipped(name: str) -> Path:
    """The path of a file: as it is, or, where there is none, of the one that ships under this path with atmdepot."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or path.exists():
        return path
    return next((place / path for place in _places() if (place / path).is_file()), path)


def _places() -> tuple[Path, Path]:
    """The directories of the files that ship: beside the package in a checkout, in an installation's data directory."""
    return Path(__file__).parents[2], Path(sysconfig.get_path("data")) / "share" / "atmdepot"


def load(name: str | Path) -> Network:
    """Read and check a VC table; raise NetworkError with all its mistakes."""
    path, text = read(name, find, "VC table", list(shipped_tables()))
    return parse(text, str(path))


def read(name: str | Path, find: Callable[[str], Path], kind: str, known: list[str]) -> tuple[Path, str]:
    """Find a TOML file by its name and read it; raise NetworkError, which lists the known names if there is no file."""
    path = Path(name)
    if not str(name):
        raise NetworkError([f"the name of the {kind} is empty: {_among_known('', known)}"])
    try:
        path = find(str(name))
        return path, read_file(path, kind).decode("utf-8-sig").replace("\r\n", "\n")  # some editors begin with a mark
    except FileNotFoundError:
        near = _among_known(str(name), known)
        raise NetworkError([f"{path}: there is no such file, and no {kind} of this name ships with atmdepot: {near}"
                            ]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text: save it as UTF-8"
        raise NetworkError([f"{path}: cannot be read: {reason}"]) from None


def parse(text: str, file: str = "table.toml") -> Network:
    """Check the text of a VC table; raise NetworkError with all its mistakes."""
    network, problems = examine(document_of(text, file))
    if problems or network is None:
        raise NetworkError(render_all(problems, text, file))
    return network


def document_of(text: str, file: str) -> dict[str, Any]:
    """The values of a TOML text; raise NetworkError when it is not TOML."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise NetworkError([f"{file}: is not TOML: {_toml_mistake(str(error))}"]) from None


def _toml_mistake(told: str) -> str:
    """Tomllib's words for a mistake, in ours where its own help nobody."""
    told = told.replace("Cannot overwrite a value", "a key is given twice")
    if (found := re.search(r"Cannot declare \((.+?),?\) twice", told)) and (keys := re.findall("'([^']*)'", found[1])):
        told = told.replace(found[0], f"[{'.'.join(keys)}] is there twice")
    hint = ': write text in straight quotes, as in kind = "depot"' if told.startswith("Invalid value") else ""
    return told + hint


def examine(document: dict[str, Any]) -> tuple[Network | None, list[Problem]]:
    """The network of a VC table, and all mistakes in it."""
    problems: list[Problem] = []
    network = _convert_network(document, problems)
    if network is not None and not problems:
        problems = problems_of(network)  # only for a complete network, since the rules read all of it
    return network, problems


def schema() -> dict[str, Any]:
    """The JSON schema of a VC table, for editors."""
    made = msgspec.json.schema(Network, schema_hook=schema_of)
    for definition in made["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])  # as msgspec 0.23 does, and 0.22 does not
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "atmdepot VC table", **made}


_MOST_TOLD = 100
_LONGEST_TOLD = 1000
_LONGEST_END = 300
_LONGEST_GUESSED = 64
_NAMED: dict[str, type] = {"nodes": Node, "links": Link, "vps": Vp, "vcs": PermanentVc, "dlcis": Dlcis,
                           "connects": CrossConnect, "servers": Server, "services": Service, "depots": DepotSet}
_MAY_LACK = {"links", "vps", "vcs", "dlcis", "connects", "depots"}
_PLACED = re.compile(r"(.*) - at `(key` in `)?\$([^`]*)`", re.DOTALL)
_CUSTOM = (Duration, CellRate, BitRate, Vci, VciRange, Dlci, DlciRange, IpAddress, IpNetwork, InterfaceAddress,
           TcpAddress, UdpAddress, LinkKey)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MOST_OF_AN_ENTRY = 20
"""Mistakes that are looked for in one entry."""
_NAME_RULE = "a name has 1 to 32 letters, digits, '_' or '-'"


def _convert_network(document: dict[str, Any], problems: list[Problem]) -> Network | None:
    """Convert key by key and name by name, so that every mistake is found and its path has all keys."""
    hints = get_type_hints(Network, include_extras=True)
    attributes = dict(zip(Network.__struct_encode_fields__, Network.__struct_fields__, strict=True))
    kinds = {key: hints[attribute] for key, attribute in attributes.items()}
    for key in document:
        if key not in kinds:
            problems.append(Problem((key,), unknown("key", key, list(kinds))))
    converted: dict[str, Any] = {}
    for key, kind in kinds.items():
        if key in document and key not in _NAMED:
            converted[key] = convert(document[key], kind, (key,), problems)
    for key, kind in _NAMED.items():
        converted[key] = _convert_named(document.get(key), kind, key, problems)
    if "name" not in document:
        problems.append(Problem(("name",), "the network has no name: add name = \"my-network\" at the top"))
    return None if problems else Network(**{attributes[key]: value for key, value in converted.items()})


def fault_of_entry_name(name: str) -> str:
    """Say why a text cannot be the name of an entry, as in `[links.NAME]`; empty for a valid name."""
    return "" if _NAME.fullmatch(name) else f"{name!r} is no name: {_NAME_RULE}"


def _convert_named(entries: object, kind: type, key: str, problems: list[Problem]) -> dict[str, Any]:
    """Convert each entry of `[links.NAME]` or another table of names."""
    if not entries and key in _MAY_LACK and isinstance(entries, dict | None):
        return {}
    if not isinstance(entries, dict) or not entries:
        problems.append(Problem((key,), f"the network has no {key}: add at least one [{key}.NAME]"))
        return {}
    for name in entries:
        if fault := fault_of_entry_name(name):
            problems.append(Problem((key, name), fault))
    return {name: convert(entry, kind, (key, name), problems) for name, entry in entries.items()}


def convert(value: Any, kind: Any, path: tuple[str, ...], problems: list[Problem]) -> Any:
    """A value of TOML as a type of the model's; None, and all its mistakes as problems, where it is none."""
    left_out: set[str] = set()
    while True:
        try:
            converted = msgspec.convert(value, kind, dec_hook=_decode)
        except msgspec.ValidationError as error:
            if len(left_out) == _MOST_OF_AN_ENTRY:
                if more := _count_wrong(value, kind, path):
                    problems.append(Problem(path, f"and {count_text(more, 'more mistake')}, shown when those above are "
                                            "corrected"))
                return None
            # msgspec stops at the first mistake: the next one is found without its key.
            wrong = _tell(value, kind, path, error, left_out, problems)
            if not isinstance(value, dict) or wrong not in value:
                return None
            left_out.add(wrong)
            value = {key: inner for key, inner in value.items() if key != wrong}
        else:
            return None if left_out else converted


def _count_wrong(value: dict[str, Any], kind: Any, path: tuple[str, ...]) -> int:
    """Count the keys of an entry that are unknown or have a wrong value."""
    # One by one, unknown keys, of which there is no end, would take a time that grows with the square of their number.
    fields = getattr(kind, "__struct_encode_fields__", tuple(value))
    known = {key: value[key] for key in fields if key in value}
    wrong: set[str] = set()
    while True:
        try:
            msgspec.convert(known, kind, dec_hook=_decode)
        except msgspec.ValidationError as error:
            key = _tell(known, kind, path, error, wrong, [])
            if key in known:
                wrong.add(key)
                del known[key]
                continue
        return len(value) - len(known)


def _tell(value: Any, kind: Any, path: tuple[str, ...], error: msgspec.ValidationError, left_out: set[str],
          problems: list[Problem]) -> str:
    """Add the problem of an error; the key of the value in which it is, or an empty text."""
    # msgspec gives the place of an error only in its message.
    placed = _PLACED.fullmatch(str(error))
    message, is_of_key, place = placed.groups() if placed else (str(error), None, "")
    inner = _with_key(value, kind, tuple(re.findall(r"\.\.\.|[^.\[\]`]+", place)), str(error))
    wrong = inner[0] if inner else ""
    path += inner
    if extra := re.fullmatch(r"Object contains unknown field `(.*)`", message, re.DOTALL):
        path, message = (*path, extra[1]), unknown("key", extra[1], _fields_of(kind, inner))
        wrong = wrong or extra[1]
    elif missing := re.fullmatch(r"Object missing required field `(.*)`", message):
        if not inner and (missing[1] in left_out or not left_out.issubset(_fields_of(kind, inner))):
            return ""  # it was left out here, or is the one that a mistyped key was to be
        message = f"the key \"{missing[1]}\" is missing: add it"
    elif is_of_key:
        key, message = wrong_key(value, kind, inner)
        path = (*path, key)
    elif error.__cause__ is None:  # not from `_decode`: msgspec's own message names types of Python and JSON
        message = misfit(value, kind, path, inner)
    problems.append(Problem(path, message))
    return wrong


def _with_key(value: Any, kind: Any, inner: tuple[str, ...], error: str) -> tuple[str, ...]:
    """The path with the entry's name in place of the "..." that msgspec writes for any entry of a table."""
    if inner[1:2] != ("...",):
        return inner
    for key, entry in value[inner[0]].items():
        try:
            msgspec.convert({**value, inner[0]: {key: entry}}, kind, dec_hook=_decode)
        except msgspec.ValidationError as again:
            if str(again) == error:
                return inner[0], key, *inner[2:]
    return inner[0], *inner[2:]


def _fields_of(kind: Any, inner: tuple[str, ...]) -> list[str]:
    """The keys of a struct (a path into `from` of a link ends at a Line)."""
    struct = Line if inner and kind is Link else kind
    return list(struct.__struct_encode_fields__)


def unknown(what: str, key: str, known: list[str]) -> str:
    """The message for a key, or another word, that is not known, with the one that may be meant."""
    return f"unknown {what} \"{key}\": {_among_known(key, known)}"


def _among_known(key: str, known: list[str]) -> str:
    # difflib takes long for long texts, and a long key is no typing error.
    near = difflib.get_close_matches(key, known, n=1) if len(key) <= _LONGEST_GUESSED else []
    hint = f"did you mean \"{near[0]}\"? There" if near else "there"
    return f"{hint} are {', '.join(known)}"


def _decode(kind: type, value: object) -> object:
    for custom in _CUSTOM:
        if kind is custom:
            return custom.parse(value)
    raise NotImplementedError(kind)


def schema_of(kind: type) -> dict[str, Any]:
    """The JSON schema of a value with a unit."""
    if kind is Vci:
        return {"type": "integer", "minimum": 32, "maximum": 65535}
    if kind is Dlci:
        return {"type": "integer", "minimum": 16, "maximum": 991}
    if kind in (VciRange, DlciRange):
        return {"anyOf": [schema_of(Vci if kind is VciRange else Dlci),
                          {"type": "string", "pattern": r"^\s*\d+\s*-\s*\d+\s*$"}]}
    return {"type": "string", "description": (kind.__doc__ or "").splitlines()[0]}


def render_all(problems: list[Problem], text: str, file: str) -> list[str]:
    """A line for each problem, up to a bound: ten thousand mistyped entries are usually the same mistake."""
    lines = Lines(text)
    told = [_render(problem, lines, file) for problem in problems[:_MOST_TOLD]]
    more = len(problems) - len(told)
    return [*told, f"{file}: and {count_text(more, 'more mistake')}"] if more else told


def _render(problem: Problem, lines: Lines, file: str) -> str:
    line = lines.of(problem.path)
    told = f"{'.'.join(problem.path)}: {problem.message}"
    if len(told) > _LONGEST_TOLD:  # what to write stands at the end
        told = f"{told[:_LONGEST_TOLD - _LONGEST_END]}...{told[-_LONGEST_END:]}"
    what = printable(told)  # a single line for all keys
    return f"{file}:{line}: {what}" if line else f"{file}: {what}"
