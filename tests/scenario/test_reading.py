from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from atmdepot.commands import scenario as scenario_command
from atmdepot.config.reading import NetworkError
from atmdepot.errors import AtmdepotError
from atmdepot.scenario import reading
from atmdepot.scenario.containers import compose_file
from atmdepot.scenario.steps import KINDS
from tests.commands.test_cli import run
from tests.scenario.scenes import HEAD, scenario

SHIPPED = reading.shipped()


@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_scenario_is_right_and_fits_the_schema(name: str) -> None:
    made = reading.load(name)
    assert (made.name, made.network.name) == (name, name)
    assert made.description
    jsonschema.validate(tomllib.loads(SHIPPED[name].read_text()), reading.schema())


def test_the_schema_is_the_one_that_ships_and_has_every_kind_of_step() -> None:
    done = run("lab", "run", "--schema")
    assert done.stdout.encode() == next(iter(SHIPPED.values())).with_name("schema.json").read_bytes()
    kinds = json.loads(done.stdout)["properties"]["steps"]["additionalProperties"]["oneOf"]
    assert [kind["properties"]["do"]["const"] for kind in kinds] == list(KINDS)


def test_a_directory_that_cannot_be_made_is_told_before_the_first_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario_command, "_play", lambda *_: pytest.fail("it began to play"))
    done = run("lab", "run", "baseline", "--out", "/dev/null/results")
    assert done.returncode == 1
    assert "/dev/null/results" in done.stderr


def test_check_starts_nothing_and_tells_of_every_file() -> None:
    done = run("lab", "run", "--check", "baseline", "link-cut")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    assert "baseline" in run("lab", "run", "--list").stdout
    assert run("lab", "run").returncode == 2


def test_changes_are_made_to_the_table_and_to_nothing_else() -> None:
    made = scenario('[steps.a]\ndo = "get"\n', HEAD + "[changes.links.to-web1]\ncell_loss = 0.01\n")
    assert made.network.links["to-web1"].line_from("depot").cell_loss == 0.01
    assert made.network.links["to-web2"].line_from("depot").cell_loss is None
    assert "# " in made.text, "the comments of the table stay"


def test_steps_keep_their_order() -> None:
    names = ["z", "a", "m"]
    assert list(scenario("".join(f'[steps.{name}]\ndo = "get"\n' for name in names)).steps) == names


MISTAKES = {
    '[steps.a]\ndo = "kil"': ("steps.a.do", '"kill"'),
    '[steps.a]\nnode = "web1"': ("steps.a.do", "load"),
    '[steps.a]\ndo = "kill"': ("steps.a", '"node"'),
    '[steps.a]\ndo = "kill"\nnode = "web9"': ("steps.a.node", "web1"),
    '[steps.a]\ndo = "kill"\nnode = "depot"\nwhat = "web"': ("steps.a.what", "web1"),
    '[steps.a]\ndo = "cut"\nwires = ["to-web9"]': ("steps.a.wires", "to-web1"),
    '[steps.a]\ndo = "cut"\nwires = []': ("steps.a.wires", "to-web1"),
    '[steps.a]\ndo = "drain"\nserver = "depot"': ("steps.a.server", "web1"),
    '[steps.a]\ndo = "takeover"\ndepot = "web1"': ("steps.a.depot", "depot"),
    '[steps.a]\ndo = "get"\npage = "2KB"': ("steps.a.page", "1KB"),
    '[steps.a]\ndo = "get"\nvip = "1.2.3.4"': ("steps.a.vip", "10.80.0.1"),
    '[steps.a]\ndo = "get"\ndscp = "XX"': ("steps.a.dscp", "EF"),
    '[steps.a]\ndo = "impair"\nlink = "x"\nloss = 0.1': ("steps.a.link", "to-web1"),
    '[steps.a]\ndo = "impair"\nlink = "to-web1"': ("steps.a.link", "loss"),
    '[steps.a]\ndo = "impair"\nlink = "to-web1"\nloss = 2': ("steps.a.loss", "0 to 1"),
    '[steps.a]\ndo = "impair"\nlink = "to-web1"\nfrom = "web2"\nloss = 0.1': ("steps.a.from", "web1"),
    '[steps.a]\ndo = "load"\nclients = 0': ("steps.a.clients", "1 to 2000"),
    '[steps.a]\ndo = "finish"\nload = "x"': ("steps.a.load", "none"),
    '[steps.a]\ndo = "wait"\nlasts = 3': ("steps.a.lasts", "ms"),
    '[steps.a]\ndo = "run"\nnode = "x"\ncommand = ["true"]': ("steps.a.node", "client"),
    '[steps.a]\ndo = "expect"': ("steps.a.expect", "condition"),
    '[steps.a]\ndo = "get"\nexpect = { faild = 0 }': ("steps.a.expect.faild", '"failed"'),
    '[steps.a]\ndo = "get"\nexpect = { gap = "fast" }': ("steps.a.expect.gap", "200ms"),
    '[steps.a]\ndo = "get"\nexpect = { served = 3 }': ("steps.a.expect.served", "served.NAME"),
    '[steps.a]\ndo = "get"\nexpect = { served.web9 = 3 }': ("steps.a.expect.served.web9", "web1"),
    '[steps.a]\ndo = "get"\n[changes.links.to-web1]\ncell_loss = 2': ("changes.links.to-web1.cell_loss", "0 to 1"),
    '[steps.a]\ndo = "get"\n[changes.links.to-web9]\nx = 2': ("changes.links.to-web9.x", "ends"),
    '[steps."a b"]\ndo = "get"': ("steps.a b", "letters"),
    'stepz.a = 1': ("stepz", "steps"),
    "": ("steps", "[steps.NAME]"),
    "steps = 3": ("steps", "table"),
    "steps.a = 3": ("steps.a.do", "load"),
}


@pytest.mark.parametrize("steps", MISTAKES)
def test_each_mistake_is_told_with_its_place_and_what_would_be_right(steps: str) -> None:
    key, right = MISTAKES[steps]
    with pytest.raises(NetworkError) as told:
        scenario(steps)
    assert any(f": {key}: " in line and right in line for line in told.value.problems), told.value.problems


def test_all_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + '[steps.a]\ndo = "kill"\nnode = "x"\n[steps.b]\ndo = "get"\npage = "y"\n')
    done = run("lab", "run", "--check", path, "no-such")
    assert done.returncode == 1
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == ["5", "8"]


def test_all_mistakes_of_one_step_are_told() -> None:
    with pytest.raises(NetworkError) as told:
        scenario('[steps.a]\ndo = "load"\nclients = 0\nevery = "50"\nbogus = 1\n'
                 '[steps.b]\ndo = "takeover"\nforce = 3\n')
    assert [line.split(": ")[1] for line in told.value.problems] == [
        "steps.a.clients", "steps.a.every", "steps.a.bogus", "steps.b.force", "steps.b"]


@pytest.mark.parametrize("head", ['name = "mine"', 'table = "direct"', 'name = "a b"\ntable = "direct"',
                                  'name = "mine"\ntable = "no-such"', 'name = "mine"\ntable = "direct"\nx = 1',
                                  'name = "mine"\ntable = "direct"\ntimeout = 5', "name = ["])
def test_a_wrong_head_is_refused(head: str) -> None:
    with pytest.raises(NetworkError):
        scenario('\n[steps.a]\ndo = "get"\n', head)


def test_a_load_is_ended_once() -> None:
    steps = '[steps.l]\ndo = "load"\n[steps.a]\ndo = "finish"\nload = "l"\n'
    scenario(steps)
    with pytest.raises(NetworkError, match=r"steps\.b\.load"):
        scenario(steps + '[steps.b]\ndo = "finish"\nload = "l"\n')


def test_containers_have_the_nodes_of_the_table_and_a_client() -> None:
    made = compose_file(reading.load("baseline").network, Path("/table"), Path("/checkout/testbed/node.yaml"))
    assert list(made["services"]) == ["client", "depot", "web1", "web2"]
    assert made["services"]["web1"]["command"][-3:] == ["--node", "web1", "--wire"]
    with pytest.raises(AtmdepotError, match="web1 stands on Ethernet"):
        compose_file(reading.load("ports").network, Path("/table"), Path("/node.yaml"))
