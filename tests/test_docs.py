"""The documentation is run: Python examples as doctests, the README's tour word by word in a lab."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from atmdepot.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", [page for page in PAGES if ">>>" in page.read_text()], ids=lambda page: page.name)
def test_python_examples_are_true(page: Path) -> None:
    failed, attempted = doctest.testfile(str(page), module_relative=False)
    assert attempted
    assert failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shown_commands_and_options_exist(page: Path) -> None:
    """Every `atmdepot ...` in a console block has a subcommand and options that the program knows."""
    for line in _console_commands(page.read_text()):
        words = shlex.split(line)
        if words[:1] != ["atmdepot"]:
            continue
        own = words[1:words.index("--")] if "--" in words else words[1:]
        is_group = own[:1] in (["lab"], ["bench"], ["oam"], ["protection"], ["vc"])
        subcommand = [word for word in own if not word.startswith("-")][:2 if is_group else 1]
        told = CliRunner().invoke(cli, [*subcommand, "--help"])
        assert told.exit_code == 0, f"{line}: {told.output}"
        for option in (word.split("=")[0] for word in own if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", told.output), f"{line}: no option {option}"


def test_the_commands_page_has_every_command_and_option() -> None:
    """Each command is named; of each option one of its spellings."""
    page = (ROOT / "docs" / "commands.md").read_text()
    missing = []
    for name, command in _commands(cli, "atmdepot"):
        if not re.search(rf"`(atmdepot )?{name.removeprefix('atmdepot ').replace(' ', '[^`]*')}\b", page):
            missing.append(name)
        missing += [f"{name} {option.opts[-1]}" for option in command.params
                    if isinstance(option, click.Option) and not option.hidden
                    and not any(re.search(rf"(?<![\w-]){re.escape(spelling)}(?![\w-])", page)
                                for spelling in (*option.opts, *option.secondary_opts))]
    assert missing == []


def test_the_counters_page_has_every_counter_that_is_a_metric() -> None:
    from atmdepot.net.metrics import counters_with_a_metric

    page = (ROOT / "docs" / "counters.md").read_text()
    assert [name for name in counters_with_a_metric() if f"`{name}`" not in page] == []


def test_the_counters_page_has_every_reason() -> None:
    from atmdepot import DropReason

    page = (ROOT / "docs" / "counters.md").read_text()
    assert [reason for reason in DropReason if f"`{reason}`" not in page] == []


def test_the_metrics_page_has_every_metric_with_its_labels() -> None:
    from atmdepot.net.metrics import FAMILIES

    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = [f"| `{name}{'_total' * family.counts}` | {', '.join(f'`{label}`' for label in family.labels)} |"
            for name, family in FAMILIES.items()]
    assert [row for row in rows if row not in page] == []
    rules = (ROOT / "testbed" / "monitoring" / "rules.yml").read_text()
    named = re.findall(r"- (?:record|alert): (\S+)", rules)
    assert named
    assert [name for name in named if f"`{name}`" not in page] == []


def test_the_vc_table_page_has_every_key() -> None:
    page = (ROOT / "docs" / "vc-tables.md").read_text()
    known = json.loads((ROOT / "vc_tables" / "schema.json").read_text())["$defs"]
    keys = {key for struct in known.values() for key in struct.get("properties", {})}
    assert sorted(key for key in keys if f"`{key}`" not in page) == []
    listed = [name for table in re.findall(r"^\| key \|.*\n((?:\|.*\n)+)", page, re.MULTILINE)
              for row in table.splitlines()[1:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert [name for name in listed if name not in keys] == []


def test_the_vc_table_page_names_every_table_that_ships() -> None:
    page = (ROOT / "docs" / "vc-tables.md").read_text()
    names = sorted(path.stem for path in (ROOT / "vc_tables").glob("*.toml"))
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.namespaces
@pytest.mark.slow
def test_the_lab_of_the_python_page(lab_environment: dict[str, str]) -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    script = page.partition("<!-- lab -->\n```python\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False,
                          env=lab_environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    octets, *sessions = done.stdout.splitlines()
    assert octets == "1024 octets"
    assert sessions
    assert all(re.fullmatch(r"\S+:\d+ web[12] \d+/\d+ [1-9]\d*", session) for session in sessions), sessions


@pytest.mark.namespaces
def test_the_tour_of_the_readme(tmp_path: Path, lab_environment: dict[str, str]) -> None:
    """Each command of the tour, in order, as it stands."""
    tour = (ROOT / "README.md").read_text().partition("<!-- tour -->")[2].partition("\n## ")[0]
    servers = []
    for line in _console_commands(tour):
        command = shlex.split(line)
        assert command[0] == "atmdepot"
        done = subprocess.run([sys.executable, "-P", "-m", *command], capture_output=True, text=True, check=False,
                              env=lab_environment, cwd=ROOT)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if line.endswith("/server"):
            servers.append(done.stdout.strip())
        if "10MB" in line:
            assert done.stdout.startswith(f"{10 * 1024 * 1024} octets")
    assert sorted(servers[:2]) == ["web1", "web2"]
    assert servers[2] == "web1"


@pytest.mark.namespaces
@pytest.mark.slow
def test_the_commands_of_the_tutorial(tmp_path: Path, lab_environment: dict[str, str]) -> None:
    """Each command in order: a lab that is up must not be in the way of the next."""
    for name in ("testbed", "vc_tables"):
        (tmp_path / name).symlink_to(ROOT / name)
    for line in _console_commands((ROOT / "docs" / "tutorial.md").read_text()):
        done = subprocess.run([sys.executable, "-P", "-m", *shlex.split(line)], capture_output=True, text=True,
                              check=False, env=lab_environment, cwd=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_the_pages_are_a_site(tmp_path: Path) -> None:
    """Each page is in the navigation, and each link and anchor leads somewhere: warnings are errors."""
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(ROOT / "docs"),
                           str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "searchindex.js").exists()


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Each command below a command, by its words."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command, info_name=name)
    for word in command.list_commands(context):
        below = command.get_command(context, word)
        if below is not None and not below.hidden:
            yield from _commands(below, f"{name} {word}")


def _console_commands(text: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
