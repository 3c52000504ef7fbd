"""Pages, pings and `show` on the lab of `direct`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from atmdepot.lab.pages import SIZES, page
from tests.end_to_end.sites import CLIENT, CLIENT6, VIP, VIP6, Site, rows_of, until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.namespaces

SUBJECTS = ["sessions", "vcs", "links", "servers", "counters"]
FAMILIES = pytest.mark.parametrize(("vip", "client"), [(VIP, CLIENT), (VIP6, CLIENT6)], ids=["IPv4", "IPv6"])


@FAMILIES
@pytest.mark.parametrize("name", SIZES)
def test_pages_come_whole_from_both_servers(direct: Site, vip: str, client: str, name: str) -> None:
    before = direct.drops()
    got = [direct.fetch(vip, name) for _ in range(2)]
    assert {one.server for one in got} == {"web1", "web2"}
    assert all(one.octets == page(name) for one in got)
    assert direct.drops() == before


def test_daemons_do_not_preempt_other_processes(direct: Site) -> None:
    for process in ("depot", "web1", "web2"):
        threads = Path(f"/proc/{direct.pid(process)}/task").iterdir()
        assert {os.sched_getscheduler(int(thread.name)) for thread in threads} == {os.SCHED_BATCH}


@FAMILIES
def test_servers_take_turns(direct: Site, vip: str, client: str) -> None:
    got = [direct.fetch(vip, "server") for _ in range(6)]
    assert all(one.octets == f"{one.server}\n".encode() for one in got)
    order = [one.server for one in got]
    assert order in (["web1", "web2"] * 3, ["web2", "web1"] * 3)


@FAMILIES
def test_the_web_server_sees_the_clients_own_address(
    direct: Site, needs: Callable[[str], None], vip: str, client: str,
) -> None:
    needs("nginx")
    assert direct.lab.web_server == "nginx"
    servers = {direct.fetch(vip, "100B?whose").server for _ in range(2)}
    assert servers == {"web1", "web2"}
    for server in servers:
        line = f'{client} {vip} "GET /100B?whose HTTP/1.1" 200 100'
        assert (direct.lab.directory / server / "access.log").read_text().splitlines().count(line) == 1


def is_closed(it: Site, vc: str) -> bool:
    """Both ends of the session on a VC have closed, and its last packet has arrived."""
    [session] = [one for one in it.rows("sessions") if one["vc"] == vc]
    far = it.vcs(session["server"])[vc]
    return session["table"] == "secondary" and far["rx_pdus"] == session["packets_in"]


@FAMILIES
def test_one_vc_is_one_connection(direct: Site, vip: str, client: str) -> None:
    before = direct.vcs()
    used = direct.fetch(vip, "10KB")
    [vc] = direct.vcs().keys() - before.keys()
    until(lambda: is_closed(direct, vc))  # the last packets are on their way when the page is there
    row = direct.vcs()[vc]
    assert (row["link"], row["tx_pdus"] > 4, row["rx_pdus"] > 4) == (f"to-{used.server}", True, True)
    far = direct.vcs(used.server)[vc]
    assert [row[key] for key in ("carries", "tx_pdus", "tx_cells", "rx_pdus", "rx_cells")] == [
        far[key] for key in ("carries", "rx_pdus", "rx_cells", "tx_pdus", "tx_cells")]
    [session] = [one for one in direct.rows("sessions") if one["vc"] == vc]
    assert session["client"] == row["carries"]
    assert (session["server"], session["packets_in"], session["packets_out"]) == (
        used.server, row["tx_pdus"], row["rx_pdus"])


@FAMILIES
def test_ping_is_answered_on_the_default_vc(
    direct: Site, needs: Callable[[str], None], vip: str, client: str,
) -> None:
    needs("ping")
    before = {node: direct.vcs(node) for node in direct.daemons}
    done = direct.run("client", "ping", "-n", "-c", "4", "-i", "0.1", "-W", "10", vip)
    assert "4 packets transmitted, 4 received" in done.stdout
    moved = {node: {vc: row["tx_pdus"] - before[node][vc]["tx_pdus"] for vc, row in direct.vcs(node).items()
                    if row != before[node].get(vc)} for node in direct.daemons}
    default = "1/32" if "1/32" in moved["depot"] else "2/32"
    server, other = ("web1", "web2") if default == "1/32" else ("web2", "web1")
    assert moved == {"depot": {default: 4}, server: {default: 4}, other: {}}
    # A packet of 84 or 104 octets and the trailer of 8 are 2 or 3 cells.
    cells = direct.vcs()[default]["tx_cells"] - before["depot"][default]["tx_cells"]
    assert cells == 4 * (2 if vip == VIP else 3)


def test_a_port_that_is_no_service_is_refused_by_silence(direct: Site) -> None:
    before = direct.count("drop:not-a-service")
    done = direct.run("client", "curl", "-s", "--connect-timeout", "0.5", f"http://{VIP}:81/", check=False)
    assert done.returncode == 28
    assert direct.count("drop:not-a-service") > before


@pytest.mark.parametrize("subject", SUBJECTS)
def test_show_as_json_is_every_nodes_rows(direct: Site, subject: str) -> None:
    direct.fetch(VIP, "100B")
    done = direct.atmdepot("show", subject, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = rows_of(done.stdout)
    assert rows
    nodes = {row["node"] for row in rows if "node" in row}
    assert nodes == {"sessions": set(), "servers": {"web1", "web2"}}.get(subject, {"depot", "web1", "web2"})


def test_show_of_one_node_of_few_rows_and_of_counters_that_are_0(direct: Site) -> None:
    def shown(*words: str) -> list[dict[str, Any]]:
        return rows_of(direct.atmdepot("show", *words, "-o", "json").stdout)

    assert {row["node"] for row in shown("vcs", "--node", "web2", "--network", "direct")} == {"web2"}
    assert [row["node"] for row in shown("vcs", "--limit", "1")] == ["depot", "web1", "web2"]
    assert 0 not in {row["value"] for row in shown("counters")}
    assert 0 in {row["value"] for row in shown("counters", "--all")}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_show_as_a_table(direct: Site, subject: str) -> None:
    direct.fetch(VIP, "100B")
    done = direct.atmdepot("show", subject)
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines = done.stdout.splitlines()
    count = int(title.split("(")[1].split(")")[0].replace(",", ""))
    assert title.startswith(f"{subject} (")
    rule = next(number for number, line in enumerate(lines) if "───" in line)
    assert len([line for line in lines[rule + 1:] if line.strip()]) == count > 0
    expected = {"sessions": f"{CLIENT}:", "vcs": "1/32", "links": "to-web1", "servers": "alive", "counters": "rx-cells"}
    assert expected[subject] in done.stdout


def test_status_names_every_process(direct: Site) -> None:
    [lab] = json.loads(direct.atmdepot("lab", "status", "-o", "json").stdout)["labs"]
    states = {process["name"]: process["state"] for node in lab["nodes"] for process in node["processes"]}
    assert states == dict.fromkeys(("depot", "web1", "web2", "web1.web", "web2.web"), "running")
