"""Derived rows of `check`: routes, cross-connects, permanent VCs, and the rates that contracts keep free on links."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.commands.check import check_command
from atmdepot.config.reading import load, shipped_tables

if TYPE_CHECKING:
    from pathlib import Path


def derived(table: str, capsys: pytest.CaptureFixture[str]) -> dict[str, list[dict[str, Any]]]:
    check_command.main([table, "-o", "json"], standalone_mode=False)
    found: dict[str, list[dict[str, Any]]] = json.loads(capsys.readouterr().out)["derived"]
    return found


@pytest.mark.parametrize("name", shipped_tables())
def test_every_route_and_cross_connect_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    network, found = load(name), derived(name, capsys)
    assert [row["vp"] for row in found["routes"] if row["route"] == "working"] == list(network.vps)
    for row in found["routes"]:
        assert row["nodes"][0] == network.vps[row["vp"]].ends[0]
        assert len(row["vpis"]) == len(row["nodes"]) - 1
    passed = sum(len(row["nodes"]) - 2 for row in found["routes"])
    of_vps = [row for row in found["cross_connects"] if row["name"].startswith("vps.")]
    assert len(of_vps) == 2 * passed  # one in each direction
    check_command.main([name], standalone_mode=False)
    text = capsys.readouterr().out
    assert all(f" {row['comes_in']} " in text for row in found["cross_connects"])


def test_a_protected_route_and_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {(row["vp"], row["route"]): row for row in derived("backbone", capsys)["routes"]}
    assert rows["web1", "working"]["nodes"] == ["depot", "paris", "berlin", "web1"]
    assert (rows["web1", "working"]["delay"], rows["web1", "protection"]["delay"]) == (4_400_000, 6_950_000)
    assert rows["web2", "working"]["vpis"] == {"lyon-web2": 1, "paris-lyon": 1, "d-paris": 2}
    found = derived("mesh", capsys)
    assert [(row["vc"], row["root"], row["to"]) for row in found["permanent_vcs"]] == [
        ("news", "depot", "web1"), ("news", "depot", "web2")]
    [tree] = [row for row in found["cross_connects"] if row["name"] == "vcs.news"]
    assert (tree["comes_in"], tree["leaves"]) == ("trunk 9/100", ["to-web1 9/100", "to-web2 9/100"])


def test_contracts_are_summed_on_each_link_that_they_cross(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shipped_tables()["backbone"].read_text()
    for vp, contract in (("web1", "cbr:pcr=100kcps"), ("web2", "ubr:pcr=200kcps,mdcr=5kcps"), ("web3", "ubr")):
        text = text.replace(f"[vps.{vp}]\n", f"[vps.{vp}]\ncontract = \"{contract}\"\n")
    text = text.replace("[servers.web1]", """[vcs.news]
ends = ["depot", "web1", "web2"]
vpi = 9
vci = 99
contract = "cbr:pcr=7kcps"
[servers.web1]""")
    path = tmp_path / "loaded.toml"
    path.write_text(text)
    loads = {(row["link"], row["from"]): row for row in derived(str(path), capsys)["loads"]}
    kept = {place: row["kept_free"] for place, row in loads.items()}
    # news goes by paris - berlin to web1, and straight to lyon for web2.
    assert kept["paris-berlin", "paris"] == 107_000
    assert kept["paris-berlin", "berlin"] == 100_000
    assert kept["d-paris", "depot"] == 112_000
    assert kept["d-lyon", "depot"] == kept["lyon-web2", "lyon"] + 95_000 == 107_000
    assert kept["lyon-web1", "web1"] == 100_000  # the second route
    assert kept["paris-web3", "paris"] == 0
    assert loads["paris-lyon", "lyon"]["contracts"] == {"vps.web2": "ubr.1:pcr=200000cps,mdcr=5000cps"}
    assert ("lyon-berlin", "lyon") not in loads


def test_check_tells_the_part_of_the_session_vcis_of_each_depot_of_a_set(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = derived("standby", capsys)["sets"]
    assert one == {"set": "main", "depot": "depot1", "standby": "warm", "interval": 0, "ownership": "keepalived",
                   "gateway": ["10.9.0.1/24", "fd00:9::1/64"], "sync": "10.60.0.1:7500",
                   "session_vcis": {"web1": "64-32799", "web2": "64-32799"}}
    assert (other["depot"], other["session_vcis"]) == ("depot2", {"web1-b": "32800-65535", "web2-b": "32800-65535"})
    assert derived("direct", capsys)["sets"] == []
    check_command.main(["standby"], standalone_mode=False)
    told = capsys.readouterr().out
    assert "as it happens" in told
    assert "VCIs of its own sessions" in told


def test_long_tables_are_cut_off_with_a_line_that_says_how_to_see_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    check_command.main(["backbone", "--limit", "2"], standalone_mode=False)
    told = capsys.readouterr()
    crossed = len(derived("backbone", capsys)["cross_connects"])
    assert f"cross connects (2 of {crossed})" in told.out
    assert told.err.startswith("atmdepot: there are more rows; `--limit ")
    check_command.main(["backbone"], standalone_mode=False)
    whole = capsys.readouterr()
    assert (" of " not in whole.out.split("cross connects")[1].splitlines()[0], whole.err) == (True, "")
