"""The plan of the house, read off the source: imports go one way, and the inner rooms see no clock and no socket.

`wire, config <- atm <- bearer <- node <- depot, edge, switch <- net <- trace, lab <- bench, view, exercises <- commands
<- cli`, with the helpers (errors, drops, ...) below them all.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from atmdepot.drops import DropReason, Drops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SOURCE = Path(__file__).parent.parent / "atmdepot"
FILES = sorted(SOURCE.rglob("*.py"))
PURE = ("wire", "atm", "bearer", "node", "depot", "edge", "switch")
IMPURE_MODULES = {
    "asyncio", "concurrent", "datetime", "fcntl", "multiprocessing", "os", "pathlib", "pyroute2", "sched", "secrets",
    "select", "selectors", "signal", "socket", "subprocess", "tempfile", "threading", "time", "trio"}
SLOW_MODULES = {"construct", "scapy"}
LAYOUTS = {"atmdepot.wire.layouts", "atmdepot.wire.ip_layouts", "atmdepot.wire.relay_layouts"}

# A part may import those of its own rank and below.
RANKS = {
    "errors": 0, "decoding": 0, "printable": 0, "drops": 0, "signatures": 0, "options": 0, "paths": 0, "build": 0,
    "restoring": 0, "quantiles": 0,
    "wire": 1, "config": 1,
    "tables": 2,
    "atm": 2,
    "__init__": 3,  # the public API: the codecs and reassembly
    "bearer": 3,
    "node": 4,
    "depot": 5, "edge": 5, "switch": 5,
    "net": 6,
    "trace": 7, "lab": 7,
    "bench": 8, "scenario": 8, "view": 8, "exercises": 8,
    "commands": 9,
    "completion": 10, "lazy_group": 10, "logs": 10, "cli": 10,
    "__main__": 11,
}
STRANGERS = {("wire", "config"), *permutations(("depot", "edge", "switch"), 2)}
"""Parts of one rank that do not know each other."""


class Import(NamedTuple):
    """One imported module; `late` ones are not needed to import the module that asks for them."""

    module: str
    line: int
    late: bool


def imports_of(tree: ast.AST, late: bool = False) -> Iterator[Import]:
    """Every import under a node, with those in functions and for type checkers marked late."""
    for node in ast.iter_child_nodes(tree):
        here = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, here) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if base == "atmdepot" or base.startswith("atmdepot."):
                yield from (Import(_module_of(base, alias.name), node.lineno, here) for alias in node.names)
            else:
                yield Import("." * node.level + base, node.lineno, here)
        yield from imports_of(node, here)


def _module_of(base: str, name: str) -> str:
    """`from atmdepot.wire import cell` imports a module, `from atmdepot.wire.cell import hec` a name."""
    path = SOURCE.joinpath(*base.split(".")[1:], name)
    return f"{base}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else base


def module_name(path: Path) -> str:
    parts = ("atmdepot", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def is_upward(mine: str, other: str) -> bool:
    return RANKS[other] > RANKS[mine] or (mine, other) in STRANGERS


def impurities(tree: ast.AST) -> list[str]:
    """The parts of a module that depend on more than their arguments."""
    found = [f"{one.line}: imports {one.module}" for one in imports_of(tree)
             if one.module.split(".")[0] in IMPURE_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            found += [f"{node.lineno}: random.{alias.name}" for alias in node.names if alias.name != "Random"]
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("random.") and node.attr != "Random":
            found.append(f"{node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("open", "print", "input", "__import__", "importlib.import_module"):
                found.append(f"{node.lineno}: calls {called}")
            elif called in ("Random", "random.Random") and not node.args:
                found.append(f"{node.lineno}: a generator without a seed")
    return found


def upward(module: str, imports: Iterable[Import]) -> list[str]:
    """The imports that go the wrong way."""
    mine = part_of(module)
    return [f"{one.line}: {mine} imports {one.module}" for one in imports
            if one.module.split(".")[0] == "atmdepot" and is_upward(mine, part_of(one.module))]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports_in(path: Path) -> tuple[Import, ...]:
    """The imports of a file, which many tests ask for."""
    return tuple(imports_of(parsed(path)))


def found_in(paths: Iterable[Path], look: Callable[[Path], list[str]]) -> dict[str, list[str]]:
    """The finds in each file that has some. One test asks for all files: a test for each takes longer than its look."""
    return {name_of(path): found for path in paths if (found := look(path))}


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


BEARER_WORDS = re.compile(r"(?<![a-z])(vps?|vcs?|vpis?|vcis?|cells?|atm|ethernet|arp|macs?|dlcis?)(?![a-z])",
                          re.IGNORECASE)
FREE_OF_BEARERS = ("depot", "node")
INTERFACE = {"atmdepot.bearer", "atmdepot.bearer.base", "atmdepot.bearer.registry"}
"""The modules of bearers that those rooms know: their interface, and the registry."""


def is_free_of_bearers(path: Path) -> bool:
    """The rooms that know a bearer's interface only: another bearer must change none of their files."""
    return part_of(module_name(path)) in FREE_OF_BEARERS or module_name(path) == "atmdepot.net.pump"


def bearer_words(source: str) -> list[str]:
    """The lines with words of a bearer, but for the names of the VC table, its key `cells` and this package."""
    shorn = re.sub(r"VC tables?|`cells`|atmdepot(\.atm\.(timers|shares|fragments))?", "", source)
    return [line for line in shorn.splitlines() if BEARER_WORDS.search(line)]


def is_of_a_bearer(imported: str) -> bool:
    if part_of(imported) == "bearer":
        return imported not in INTERFACE
    return part_of(imported) == "atm" and imported not in (
        "atmdepot.atm.timers", "atmdepot.atm.shares", "atmdepot.atm.fragments")


# ── the house as it stands ──

def test_there_is_a_house() -> None:
    assert {part_of(module_name(path)) for path in FILES} >= {*PURE, "net", "cli", "__init__"}


def test_imports_go_one_way() -> None:
    assert found_in(FILES, lambda path: upward(module_name(path), imports_in(path))) == {}


def test_imports_are_absolute() -> None:
    assert found_in(FILES, lambda path: [str(one) for one in imports_in(path) if one.module.startswith(".")]) == {}


def test_the_inner_rooms_are_pure() -> None:
    inner = [path for path in FILES if part_of(module_name(path)) in PURE]
    assert len(inner) > len(PURE)
    assert found_in(inner, lambda path: impurities(parsed(path))) == {}


def test_compiled_twins_are_pure_too() -> None:
    for part in PURE:
        for path in [*(SOURCE / part).rglob("*.pyx"), *(SOURCE / part).rglob("*.pxd")]:
            imported = re.findall(r"^\s*(?:c?import|from)\s+(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert set(imported) & (IMPURE_MODULES | {"posix"}) == set(), path


def test_construct_and_scapy_stay_out_of_the_path_of_a_cell() -> None:
    used = {module_name(path): {one.module for one in imports_in(path)
                                if one.module.split(".")[0] in SLOW_MODULES or one.module in LAYOUTS} for path in FILES}
    assert [used[module] - LAYOUTS for module in LAYOUTS] == [{"construct"}] * len(LAYOUTS)
    assert {module for module, slow in used.items() if slow and part_of(module) != "trace"} == LAYOUTS


KINDS = "atmdepot.net.kinds"
NODE_CLASSES = {"atmdepot.depot.forwarding", "atmdepot.edge.node", "atmdepot.switch.node"}


def net_imports() -> dict[str, list[Import]]:
    """The imports of each module of net/."""
    return {module_name(path): list(imports_in(path)) for path in FILES if part_of(module_name(path)) == "net"}


def test_only_the_registry_of_kinds_and_what_it_alone_imports_know_the_classes_of_nodes() -> None:
    """The agents and jobs of a kind may name its class, because no module but the registry imports them."""
    imports = net_imports()
    importers: dict[str, set[str]] = {}
    for name, found in imports.items():
        for one in found:
            importers.setdefault(one.module, set()).add(name)
    knowing = {name for name, found in imports.items() if NODE_CLASSES & {one.module for one in found}}
    assert [name for name in knowing if name != KINDS and importers[name] != {KINDS}] == []


BALANCING = "atmdepot.depot.balancing."


def test_only_the_registry_of_balancing_knows_the_criteria() -> None:
    """So that another criterion takes its own module and a row."""
    known = {f"{BALANCING}base", f"{BALANCING}registry"}
    others = [path for path in FILES if not module_name(path).startswith(BALANCING)]
    assert found_in(others, lambda path: [
        one.module for one in imports_in(path) if one.module.startswith(BALANCING) and one.module not in known]) == {}


def test_net_asks_no_node_for_its_class_or_kind() -> None:
    paths = [path for path in FILES if part_of(module_name(path)) == "net"]
    assert paths
    assert found_in(paths, lambda path: questions_of_class(parsed(path))) == {}


def questions_of_class(tree: ast.AST) -> list[str]:
    """The calls and comparisons that ask a node for its class or kind."""
    asked = [ast.unparse(call) for call in ast.walk(tree) if isinstance(call, ast.Call)
             and isinstance(call.func, ast.Name) and call.func.id in ("isinstance", "type")]
    compared = [ast.unparse(found) for found in ast.walk(tree) if isinstance(found, ast.Compare)]
    return [*(call for call in asked if re.search(r"\bnode,|Depot\b|EdgeNode|SwitchNode", call)),
            *(test for test in compared if re.search(r"['\"](depot|edge|switch)['\"]", test))]


def test_no_module_needs_itself_to_be_imported() -> None:
    graph = {module_name(path): {one.module for one in imports_in(path) if not one.late} for path in FILES}
    list(TopologicalSorter(graph).static_order())


def test_no_circle_of_imports_even_for_type_checkers() -> None:
    graph = {module_name(path): {one.module for one in imports_in(path)} for path in FILES}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", [path for path in FILES if is_free_of_bearers(path)], ids=name_of)
def test_rooms_above_the_bearer_do_not_know_it(path: Path) -> None:
    for source in (path, path.with_suffix(".pxd")):
        assert not source.exists() or bearer_words(source.read_text(encoding="utf-8")) == []
    assert [one for one in imports_in(path)
            if one.module.startswith("atmdepot.") and is_of_a_bearer(one.module)] == []


# ── what the checks above would find ──

@pytest.mark.parametrize("source", [
    "import os", "import os.path", "from os import path", "import trio", "from time import monotonic",
    "import socket as s", "def f():\n    import subprocess", "if TYPE_CHECKING:\n    from pathlib import Path",
    "try:\n    import select\nfinally: 1", "from random import random", "import random\nrandom.random()",
    "import random\nrandom.seed(1)", "from random import *", "from random import Random\nRandom()",
    "import random\nrandom.Random()", "open('x')", "print(1)", "__import__('os')"])
def test_impure_imports_are_found(source: str) -> None:
    assert impurities(ast.parse(source)) != []


@pytest.mark.parametrize(("source", "wrong"), [
    ("isinstance(node, Switch)", True), ("isinstance(it, Depot)", True), ("kind == 'edge'", True),
    ("isinstance(it, bytes)", False), ("kind == 'link'", False)])
def test_questions_of_class_are_found(source: str, wrong: bool) -> None:
    assert bool(questions_of_class(ast.parse(source))) is wrong


@pytest.mark.parametrize("source", [
    "vp = 1", "server.vp", "default_vci = 1", "# its cells", '"""A VC."""', "atm.Vc", "rx_cells", "VPI/VCI",
    "its MAC address", "a dlci"])
def test_words_of_a_bearer(source: str) -> None:
    assert bearer_words(source) != []


@pytest.mark.parametrize("source", [
    "from atmdepot.depot import x", '"""The VC table."""', "cellar = vcr", "a path", "bearer_of(network)", "machine",
    "from atmdepot.atm.timers import TimerWheel"])
def test_words_of_no_bearer(source: str) -> None:
    assert bearer_words(source) == []


@pytest.mark.parametrize("source", [
    "import re", "from random import Random\nRandom(1)", "import random\ndef f(x: random.Random): x.random()",
    "time = 1", "from atmdepot.atm.timers import TimerWheel"])
def test_pure_imports_pass(source: str) -> None:
    assert impurities(ast.parse(source)) == []


@pytest.mark.parametrize(("module", "source", "wrong"), [
    ("atmdepot.wire.cell", "from atmdepot.atm.sar import Reassembler", True),
    ("atmdepot.wire.cell", "from atmdepot.drops import DropReason", False),
    ("atmdepot.wire.cell", "from atmdepot.config.units import Vci", True),
    ("atmdepot.atm.sar", "import atmdepot.depot.sessions", True),
    ("atmdepot.atm.sar", "from atmdepot.wire import cell", False),
    ("atmdepot.atm.sar", "def f():\n    from atmdepot.net import pump", True),
    ("atmdepot.bearer.atm", "from atmdepot.edge.node import EdgeNode", True),
    ("atmdepot.edge.node", "from atmdepot.config.qos import QosMap", False),
    ("atmdepot.edge.node", "from atmdepot.depot.session import Session", True),
    ("atmdepot.depot.forwarding", "from atmdepot.edge.node import EdgeNode", True),
    ("atmdepot.edge.node", "if TYPE_CHECKING:\n    from atmdepot.net.pump import Pump", True),
    ("atmdepot.net.pump", "from atmdepot.cli import main", True),
    ("atmdepot.net.pump", "from atmdepot.depot.forwarding import Depot", False),
    ("atmdepot.bearer.atm", "from atmdepot import config", False),
    ("atmdepot.node.node", "from atmdepot import __version__", False),
    ("atmdepot.atm.vc", "from atmdepot import __version__", True),
    ("atmdepot.config.units", "from atmdepot.atm.vc import Vc", True),
    ("atmdepot.trace.live", "from atmdepot.commands.trace import trace", True),
    ("atmdepot.bench.run", "from atmdepot.lab.testbed import Lab", False),
])
def test_which_way_is_wrong(module: str, source: str, wrong: bool) -> None:
    assert bool(upward(module, imports_of(ast.parse(source)))) is wrong


def test_a_circle_is_found() -> None:
    with pytest.raises(CycleError):
        list(TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())


# ── drops ──

def test_every_drop_reason_can_be_told_to_a_person() -> None:
    for reason in DropReason:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason)
        assert reason.unit in {"datagrams", "cells", "PDUs", "frames", "packets"}
        assert len(reason.text) > 10
        assert reason.text[-1] not in ".!"
    assert len({reason.text for reason in DropReason}) == len(DropReason)


def test_no_two_drop_reasons_have_one_name() -> None:
    """An enumeration would make the second an alias of the first, and count both as one."""
    assert list(DropReason.__members__.values()) == list(DropReason)
    assert len({str(reason) for reason in DropReason}) == len(DropReason.__members__)


def test_every_drop_reason_is_used() -> None:
    elsewhere = "".join(path.read_text(encoding="utf-8") for path in FILES if path.name != "drops.py")
    assert [reason.name for reason in DropReason if not re.search(rf"DropReason\.{reason.name}\b", elsewhere)] == []


def test_drops_count() -> None:
    drops = Drops()
    drops[DropReason.CRC_ERROR] += 2
    assert drops == {DropReason.CRC_ERROR: 2}
    assert drops[DropReason.TOO_BIG] == 0
