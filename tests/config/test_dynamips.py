"""Nodes of VC tables for Dynamips: every link, PVC and cross-connect, and a refusal for what Dynamips cannot be."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from click import BadParameter
from click.testing import CliRunner

from atmdepot.cli import cli
from atmdepot.config import dynamips
from atmdepot.config.reading import load, parse
from atmdepot.errors import AtmdepotError

TABLES = Path(__file__).parents[2] / "vc_tables"


def run(*words: str) -> str:
    done = CliRunner().invoke(cli, ["dynamips", *words], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout


@pytest.mark.parametrize("table", ["gns3", "gns3-switch"])
def test_each_end_of_a_link_is_a_tunnel_between_the_addresses_of_the_table(table: str) -> None:
    network = load(table)
    made = {words[2]: words[3:] for line in run(table).splitlines() if (words := line.split())[1] == "create_udp"}
    wanted = {}
    for name, link in network.links.items():
        for end, address in link.ends.items():
            if end != "depot":
                far = link.ends[link.other_end(end)]
                wanted[f"{end}.{name}"] = [str(address.port), far.host, str(far.port)]
    assert made == wanted


def test_a_switch_has_a_connection_for_each_cross_connect_of_the_table() -> None:
    network = load("gns3-switch")
    made = [line.split()[3:] for line in run("gns3-switch", "--node", "sw1").splitlines() if "create_vpc" in line]
    assert made == [[f"sw1.{of.place.link}", str(of.place.vpi), f"sw1.{of.leaves[0].link}", str(of.leaves[0].vpi)]
                    for of in network.routes.cross_connects("sw1")]


def test_cross_connects_that_the_table_gives_by_itself_are_made_too() -> None:
    own = '[connects.extra]\nswitch = "sw1"\nfrom = "trunk 9/100"\nto = ["r1-link 8/101"]\n'
    network = parse((TABLES / "gns3-switch.toml").read_text() + own)
    assert "atmsw create_vcc sw1 sw1.trunk 9 100 sw1.r1-link 8 101" in dynamips.hypervisor(network, ["sw1"], "i")


def test_a_router_has_a_module_for_each_link_and_is_started_last() -> None:
    lines = run("gns3", "--node", "r2", "--image", "my image").splitlines()
    assert 'vm set_ios r2 "my image"' in lines
    assert [line for line in lines if "slot_add" in line] == [
        "vm slot_add_binding r2 1 0 PA-A1", "vm slot_add_nio_binding r2 1 0 r2.r2-link"]
    assert lines[-2:] == ["vm start r2", "hypervisor close"]
    assert not any("r1" in line for line in lines)


def test_dynagen_gets_a_router_for_each_node_with_its_pvcs(tmp_path: Path) -> None:
    run("gns3", "-w", str(tmp_path / "gns3.net"))
    text = (tmp_path / "gns3.net").read_text()
    # Dynagen's files are INI files with nested sections in doubled brackets.
    flat = configparser.ConfigParser(delimiters="=")
    flat.read_string("\n".join(line.strip().replace("[[", "[").replace("]]", "]") for line in text.splitlines()))
    assert flat.sections() == ["localhost:7200", "7200", "ROUTER r1", "ROUTER r2"]
    assert flat["ROUTER r2"]["a1/0"] == "NIO_udp:10004:172.31.2.1:10003"
    assert {line.rpartition(" ")[2] for line in text.splitlines() if "PVC" in line} == {"1/100", "2/100"}


@pytest.mark.parametrize(("words", "place"), [
    (("direct",), "links.to-web1.cells"),
    (("gns3", "--node", "depot"), "depot"),
    (("gns3", "--node", "r9"), "r9"),
    (("frame-relay",), "links.to-web1.bearer"),
    (("compose-gns3",), "links.r2-link.ends.r2"),
    (("mesh", "--node", "sw1"), "vcs.news"),
    (("gns3-switch", "--format", "dynagen"), "nodes.sw1"),
])
def test_what_dynamips_cannot_be_is_refused_with_its_place(words: tuple[str, ...], place: str) -> None:
    with pytest.raises(AtmdepotError) as caught:
        run(*words)
    assert place in str(caught.value)


def test_a_file_that_cannot_be_written_is_refused_with_its_directory() -> None:
    with pytest.raises(BadParameter, match=r"^/nowhere/gns3\.net cannot be written: the directory /nowhere "):
        run("gns3", "-w", "/nowhere/gns3.net")


def test_a_strict_crc_is_refused_for_a_router_and_not_for_a_switch() -> None:
    network = parse((TABLES / "gns3-switch.toml").read_text().replace('crc = "dynamips"', 'crc = "strict"'))
    assert not list(dynamips.problems(network, ["sw1"]))
    assert {of.path for of in dynamips.problems(network, ["r1", "r2"])} == {("vps", "r1", "crc"), ("vps", "r2", "crc")}


def test_a_table_without_such_nodes_is_refused() -> None:
    with pytest.raises(AtmdepotError, match="no node"):
        run("ethernet")


@pytest.mark.parametrize("words", ["gns3-switch --node sw1", "gns3 --node r2", "gns3 --format dynagen"])
def test_the_page_shows_what_the_command_prints(words: str) -> None:
    page = (TABLES.parent / "docs" / "gns3.md").read_text()
    assert f"$ atmdepot dynamips {words}\n{run(*words.split())}```" in page
