"""Commands load lazily: which modules a command line imports, and what help and completion say without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import atmdepot
from atmdepot import build
from atmdepot.cli import cli

ROOT = Path(__file__).parent.parent
ON_EXIT = """
import atexit, json, sys
from pathlib import Path
atexit.register(lambda: Path(sys.argv[0]).write_text(json.dumps(sorted(sys.modules))))
place, sys.argv[1:] = sys.argv[1], sys.argv[2:]
sys.argv[0] = place
from atmdepot.cli import main
main()
"""
SLOW = {"asyncio", "construct", "crcmod", "fastcrc", "h11", "importlib.metadata", "prometheus_client", "pyroute2",
        "scapy", "trio", "unittest"}
"""Packages that take tens of milliseconds each."""
TABLES = {"rich"}
NETWORK = {"atmdepot.config.model", "atmdepot.config.links", "atmdepot.config.pools", "msgspec"}
DATA_PATH = set(build.compilable())
DAEMONS = {"atmdepot.net.control", "atmdepot.net.daemon", "atmdepot.net.pump", "atmdepot.net.views"}


def imported(tmp_path: Path, *words: str, code: str = ON_EXIT, exit_code: int = 0, **variables: str) -> set[str]:
    """The modules, and the packages of modules, that a process has imported when it ends."""
    place = tmp_path / "modules"
    done = subprocess.run([sys.executable, "-c", code, str(place), *words], capture_output=True, text=True, check=False,
                          cwd=ROOT, env=os.environ | {"ATMDEPOT_RUN_DIR": str(tmp_path / "run")} | variables)
    assert done.returncode == exit_code, done.stderr
    modules = set(json.loads(place.read_text()))
    return modules | {name.split(".")[0] for name in modules}


@pytest.mark.parametrize(("words", "exit_code", "unwanted"), [
    (["--version"], 0, SLOW | TABLES | NETWORK | DATA_PATH | DAEMONS),
    (["--help"], 0, SLOW | TABLES | NETWORK | DATA_PATH | DAEMONS),
    (["fly"], 2, SLOW | TABLES | NETWORK | DATA_PATH | DAEMONS),
    (["show", "--help"], 0, SLOW | TABLES | NETWORK | DATA_PATH | DAEMONS),
    (["show", "links"], 1, SLOW | TABLES | DATA_PATH | DAEMONS),
    (["drain", "web1"], 1, SLOW | TABLES | DATA_PATH | DAEMONS),
    (["takeover"], 1, SLOW | TABLES | DATA_PATH | DAEMONS),
    (["check", "direct"], 0, (SLOW | DAEMONS) - {"crcmod", "fastcrc"}),
    (["check", "direct", "-o", "json"], 0, (SLOW | TABLES | DAEMONS) - {"crcmod", "fastcrc"}),
    # What reads a table knows its rules, and they know the DSCP map.
    (["check", "--schema"], 0, (SLOW | TABLES | DAEMONS | DATA_PATH) - {"atmdepot.config.qos"}),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_command_imports_only_its_needs(tmp_path: Path, words: list[str], exit_code: int, unwanted: set[str]) -> None:
    assert imported(tmp_path, *words, exit_code=exit_code) & unwanted == set()


def test_completion_imports_no_command(tmp_path: Path) -> None:
    found = imported(tmp_path, exit_code=0, _MODULES_COMPLETE="bash_complete", COMP_WORDS="modules ", COMP_CWORD="1")
    assert "click.shell_completion" in found
    assert found & (SLOW | TABLES | NETWORK | DATA_PATH | DAEMONS) == set()


def test_the_package_alone_is_light(tmp_path: Path) -> None:
    code = "import atmdepot, json, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(json.dumps(sorted(sys.modules)))"
    found = imported(tmp_path, code=code)
    assert found & (SLOW | TABLES | NETWORK | DATA_PATH | DAEMONS | {"click"}) == set()
    assert {name for name in found if name.startswith("atmdepot.")} == {"atmdepot.build"}


# What is said without the modules.


@pytest.mark.parametrize("name", sorted(cli.places))
def test_a_help_line_is_that_of_the_command(name: str) -> None:
    place = cli.places[name]
    command = getattr(import_module(place.module), place.name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert place.line == command.get_short_help_str(1000)
    assert cli.get_command(click.Context(cli), name) is command


def test_completion_completes_commands_and_options() -> None:
    def completed(words: list[str], incomplete: str) -> dict[str, str | None]:
        found = ShellComplete(cli, {}, "atmdepot", "_ATMDEPOT_COMPLETE").get_completions(words, incomplete)
        return {item.value: item.help for item in found}

    context = click.Context(cli)
    assert list(completed([], "")) == cli.list_commands(context)
    assert completed([], "de") == {
        name: cli.get_command(context, name).get_short_help_str() for name in ("demo", "depot")}
    assert set(completed([], "--")) == {"--version", "--log-level", "--log-format", "--help"}
    assert "--level" in completed(["trace"], "--l")
    assert completed(["lab"], "u").keys() == {"up"}
    assert completed(["show"], "s").keys() == {"sessions", "servers"}


def test_a_command_that_is_not_there() -> None:
    assert cli.get_command(click.Context(cli), "fly") is None


# The public API.


def test_public_names_load_when_they_are_used() -> None:
    assert sorted(atmdepot._MODULE_OF) == atmdepot.__all__ == sorted(atmdepot.__all__)
    for name, module in atmdepot._MODULE_OF.items():
        assert getattr(atmdepot, name) is getattr(import_module(module), name)
    assert set(atmdepot.__all__) <= set(dir(atmdepot))


def test_a_public_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError) as error:
        _ = atmdepot.no_such_name
    assert error.value.name == "no_such_name"


@pytest.mark.parametrize(("words", "meant"), [
    (["trcae"], "atmdepot trace"), (["up", "direct"], "atmdepot lab up"),
    (["lab", "satus"], "atmdepot lab status"), (["lab", "destroy"], "atmdepot lab down"),
])
def test_an_unknown_command_is_told_which_one_was_meant(words: list[str], meant: str) -> None:
    told = CliRunner().invoke(cli, words, prog_name="atmdepot")
    assert told.exit_code == 2
    assert f"Did you mean `{meant}`?" in told.output


def test_a_word_like_no_command_gets_no_hint() -> None:
    told = CliRunner().invoke(cli, ["xyzzy"])
    assert "No such command 'xyzzy'.\n" in told.output
    assert "No such option" in CliRunner().invoke(cli, ["--xyzzy"]).output
