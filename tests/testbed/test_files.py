"""Files of the testbed against the code and each other, without Docker: values in two places are the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from atmdepot.commands.container import container
from atmdepot.config.reading import load
from atmdepot.lab.lans import CLIENT
from atmdepot.lab.pages import ORIGIN
from atmdepot.lab.plan import plan_of
from atmdepot.lab.web import web_servers
from atmdepot.net.metrics import full_names

ROOT = Path(__file__).parents[2]
TESTBED = ROOT / "testbed"
MONITORING = TESTBED / "monitoring"
COMPOSE = sorted([*TESTBED.glob("compose*.yaml"), *(TESTBED / "two-hosts").glob("*.yaml")])
PROFILES = {"monitoring", "gns3", "depot", "edge"}


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


NODE = read(TESTBED / "node.yaml")["services"]
DASHBOARD = json.loads((MONITORING / "grafana" / "dashboards" / "atmdepot.json").read_text())
RULES = [rule for group in read(MONITORING / "rules.yml")["groups"] for rule in group["rules"]]


def services() -> list[tuple[str, str, dict[str, Any]]]:
    """Compose file, name and definition of each service that runs our image."""
    return [(path.name, name, service) for path in COMPOSE for name, service in read(path)["services"].items()
            if "extends" in service]


def command_of(service: dict[str, Any]) -> list[str]:
    """Words after `atmdepot container` in a service's command, with the variables' defaults."""
    command = service["command"]
    text = command if isinstance(command, str) else command[-1]
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    found = re.search(r"(?:^|atmdepot )container (.*)$", text, re.MULTILINE)
    assert found
    return found[1].split()


@pytest.mark.parametrize(("file", "name", "service"), [one for one in services() if "command" in one[2]],
                         ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_names_a_table_and_a_node_of_it(file: str, name: str, service: dict[str, Any]) -> None:
    table, *options = command_of(service)
    assert CliRunner().invoke(container, [table, *options, "--help"]).exit_code == 0
    node = options[options.index("--node") + 1]
    if table == "/vc_tables/mine.toml":
        assert (node, name) in {("depot", "host-depot"), ("web1", "host-edge")}
        return
    network = load(ROOT / table.lstrip("/"))
    assert node in plan_of(network).nodes
    # The node takes the addresses of the plan, or the file gives it those of the table.
    given = [net["ipv4_address"] for net in (service.get("networks") or {}).values() if net] if isinstance(
        service.get("networks"), dict) else []
    if "--wire" not in options and node != CLIENT:
        assert {link.ends[node].host for link in network.links_of(node).values()} == set(given)
    kind = "client" if node == CLIENT else "image" if node == ORIGIN else "node"
    assert service["extends"]["service"] == kind
    if node in network.nodes:
        port = network.nodes[node].metrics.port
        assert f"http://127.0.0.1:{port}/readyz" in NODE["node"]["healthcheck"]["test"]
        assert network.nodes[node].metrics.host == "0.0.0.0"


@pytest.mark.parametrize("name", ["compose", "compose-sets", "compose-standby", "compose-switch", "compose-proxies"])
def test_every_node_of_the_table_is_a_service_of_the_default_profile(name: str) -> None:
    compose = read(TESTBED / f"{name}.yaml")["services"]
    default = {name for name, service in compose.items() if "profiles" not in service}
    network = load(name)
    assert default == {CLIENT, *plan_of(network).daemons, *(web.node for web in web_servers(network))}


def test_the_profiles_are_these() -> None:
    compose = read(TESTBED / "compose.yaml")["services"]
    assert {profile for service in compose.values() for profile in service.get("profiles", [])} == PROFILES


def test_no_service_of_ours_is_privileged() -> None:
    for service in [*NODE.values(), *(service for _, _, service in services())]:
        assert not {"privileged", "pid", "ipc", "security_opt", "userns_mode"} & service.keys()
        assert service.get("cap_add", ["NET_ADMIN"]) == ["NET_ADMIN"]
        assert service.get("devices", ["/dev/net/tun"]) == ["/dev/net/tun"]


def test_gns3s_port_and_network_agree_with_its_table() -> None:
    compose = read(TESTBED / "compose.yaml")
    ends = load("compose-gns3").links["r2-link"].ends
    port = ends["depot"].port
    assert compose["services"]["gns3-depot"]["ports"] == [f"${{GNS3_ADDRESS:-127.0.0.1}}:{port}:{port}/udp"]
    assert compose["networks"]["gns3"]["ipam"]["config"][0]["gateway"] == ends["r2"].host


def test_the_health_check_of_the_client_looks_for_the_file_that_it_leaves() -> None:
    from atmdepot.commands.container import READY_FILE

    assert NODE["client"]["healthcheck"]["test"] == ["CMD-SHELL", f"ls /run/atmdepot/*/{READY_FILE}"]


def test_the_image_is_made_from_all_that_the_package_is_made_from() -> None:
    """Without setup.py the image would be installed, too, but with the data path in plain Python."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    data = [pattern for patterns in project["tool"]["setuptools"]["data-files"].values() for pattern in patterns]
    needed = ["setup.py", "pyproject.toml", project["project"]["readme"], "LICENSE", *data,
              *project["tool"]["setuptools"]["packages"]["find"]["include"]]
    assert [path for path in needed if not {path.rstrip("*"), path.partition("/")[0]} & sent] == []
    assert "**/*.so" in ignored  # a checkout's extensions are for its own Python


@pytest.mark.parametrize("file", COMPOSE, ids=lambda path: path.stem)
def test_compose_itself_accepts_the_files(file: Path) -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    profiles = [word for profile in sorted(PROFILES) for word in ("--profile", profile)]
    done = subprocess.run(["docker-compose", "-f", str(file), *profiles, "config"], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 0, done.stderr


# ── monitoring ──

RECORDED = {rule["record"] for rule in RULES if "record" in rule}
OF_PROMETHEUS_ITSELF = {"up", "process_resident_memory_bytes"}
WORDS = {"sum", "max", "rate", "increase", "by", "on", "or", "and", "label_values", "group_left"}


def metrics_in(expression: str) -> set[str]:
    """The names of metrics in a PromQL expression."""
    plain = re.sub(r'"[^"]*"', "", expression)
    plain = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", plain)
    plain = re.sub(r"\b(?:by|on)\s*\([^)]*\)", "", plain)
    plain = re.sub(r"(label_values\([^,]*),[^)]*\)", r"\1)", plain)
    return set(re.findall(r"[a-zA-Z_:][\w:]*", plain)) - WORDS


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    variables = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"]]
    return [*(rule["expr"] for rule in RULES), *panels, *variables]


def test_metrics_in_finds_metric_names() -> None:
    assert metrics_in('sum by (a, b) (rate(x_total{c="d"}[1m])) > 1 or y:z / on (q) (w)') == {"x_total", "y:z", "w"}
    assert metrics_in('label_values(info{a="$b"}, node)') == {"info"}


@pytest.mark.parametrize("expression", expressions())
def test_rules_and_dashboard_ask_for_metrics_that_there_are(expression: str) -> None:
    assert metrics_in(expression)
    assert metrics_in(expression) <= full_names() | RECORDED | OF_PROMETHEUS_ITSELF


def test_the_dashboard_shows_the_main_metrics() -> None:
    shown = set().union(*map(metrics_in, expressions()))
    assert {"atmdepot:link_cells:rate1m", "atmdepot_server_sessions", "atmdepot:drops:rate1m", "atmdepot_link_vcs",
            "atmdepot:link_vcs:ratio", "atmdepot_ready"} <= shown
    [source] = read(MONITORING / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_labels_in_expressions_are_labels_of_the_metrics() -> None:
    from atmdepot.net.metrics import FAMILIES

    known = {"network", "node", "job", "instance"} | {label for family in FAMILIES.values() for label in family.labels}
    for expression in expressions():
        labels = set(re.findall(r"(\w+)=~?\"", expression))
        for names in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
            labels |= set(re.split(r",\s*", names))
        assert labels <= known


def test_prometheus_asks_every_node_of_the_table() -> None:
    network = load("compose")
    configuration = read(MONITORING / "prometheus.yml")
    [job] = configuration["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [
        f"{name}:{node.metrics.port}" for name, node in network.nodes.items() if node.metrics]
    assert configuration["rule_files"] == ["rules.yml"]
    volumes = read(TESTBED / "compose.yaml")["services"]["prometheus"]["volumes"]
    for volume in volumes:
        assert (TESTBED / volume.split(":")[0]).is_file()


def test_promtool_accepts_the_rules() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian has it in the package prometheus)")
    for words in (["check", "config", "prometheus.yml"], ["check", "rules", "rules.yml"]):
        done = subprocess.run(["promtool", *words], cwd=MONITORING, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
