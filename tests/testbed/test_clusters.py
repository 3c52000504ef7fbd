"""Manifests for Kubernetes and Swarm against their JSON schemas, against the table and the program that they start.

No cluster runs here: that the files have the right form is tested, not what a cluster does with them. Where kubectl is
installed, it builds the overlay.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from atmdepot.cli import cli
from atmdepot.config.reading import load

TESTBED = Path(__file__).parents[2] / "testbed"
SCHEMAS = Path(__file__).parent / "schemas"
KUBERNETES = TESTBED / "kubernetes"
STACK = TESTBED / "swarm" / "stack.yaml"
OF_KIND = {("apps/v1", "StatefulSet"): "io.k8s.api.apps.v1.StatefulSet",
           ("policy/v1", "PodDisruptionBudget"): "io.k8s.api.policy.v1.PodDisruptionBudget"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def faults(manifest: dict[str, Any]) -> list[str]:
    """The places where a manifest breaks the schema of its kind in Kubernetes 1.37."""
    schema = json.loads((SCHEMAS / "kubernetes.json").read_text())
    schema["$ref"] = f"#/$defs/{OF_KIND[manifest['apiVersion'], manifest['kind']]}"
    return [error.json_path for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest)]


def faults_of_stack(stack: dict[str, Any]) -> list[str]:
    """The places where a stack file breaks the Compose specification."""
    schema = json.loads((SCHEMAS / "compose.json").read_text())
    return [error.json_path for error in jsonschema.Draft202012Validator(schema).iter_errors(stack)]


def resources() -> list[Path]:
    return [KUBERNETES / "base" / name for name in read(KUBERNETES / "base" / "kustomization.yaml")["resources"]]


def depots() -> dict[str, Any]:
    found: dict[str, Any] = read(KUBERNETES / "base" / "depots.yaml")
    return found


def pod() -> dict[str, Any]:
    found: dict[str, Any] = depots()["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("path", resources(), ids=lambda path: path.stem)
def test_manifests_have_the_form_that_kubernetes_wants(path: Path) -> None:
    assert faults(read(path)) == []


@pytest.mark.parametrize(("change", "place"), [
    (lambda it: it["spec"].update(replica=2), "$.spec"),
    (lambda it: it["spec"].update(replicas="two"), "$.spec.replicas"),
    (lambda it: it["spec"].pop("selector"), "$.spec"),
    (lambda it: it["spec"]["template"]["spec"].update(hostnetwork=True), "$.spec.template.spec"),
    (lambda it: it["spec"]["template"]["spec"]["containers"][0].pop("name"), "$.spec.template.spec.containers[0]")])
def test_a_mistake_would_be_found(change: Any, place: str) -> None:
    manifest = copy.deepcopy(depots())
    change(manifest)
    assert faults(manifest) == [place]


def test_the_stack_has_the_form_that_swarm_wants() -> None:
    assert faults_of_stack(read(STACK)) == []
    wrong = read(STACK)
    wrong["services"]["depots"]["cap_ad"] = []
    assert faults_of_stack(wrong) == ["$.services.depots"]


def test_selectors_meet_the_pods_that_they_mean() -> None:
    labels = depots()["spec"]["template"]["metadata"]["labels"]
    (apart,) = pod()["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    for selector in (depots()["spec"]["selector"], apart["labelSelector"],
                     read(KUBERNETES / "base" / "disruption.yaml")["spec"]["selector"]):
        assert selector["matchLabels"] == labels
    assert apart["topologyKey"] == "kubernetes.io/hostname", "never two depots of a set on one host"


def test_the_table_has_a_depot_for_each_replica_and_all_can_be_hosts() -> None:
    network = load(KUBERNETES / "main" / "table.toml")
    of = network.sets["main"]
    assert len(of.nodes) == depots()["spec"]["replicas"]
    for node in of.nodes:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", node), "a host's name"
        (own,) = {link.ends[node].host for link in network.links.values() if node in link.ends}
        assert own == of.sync[node].host, "a depot's addresses are its host's"


def command() -> list[str]:
    """The command that a container of the pod runs."""
    (container,) = pod()["containers"]
    return list(container["args"])


@pytest.mark.parametrize("words", [
    command(), re.sub(r'.*exec atmdepot |"', "", read(STACK)["services"]["depots"]["entrypoint"][-1]).split()],
    ids=["kubernetes", "swarm"])
def test_the_command_is_one_that_the_program_knows(words: list[str]) -> None:
    known = CliRunner().invoke(cli, [words[0], "--help"]).output
    assert words[0] == "depot"
    assert all(word in known for word in words if word.startswith("--"))


def test_probes_ask_where_the_pages_are() -> None:
    (container,) = pod()["containers"]
    (port,) = container["ports"]
    assert container["args"][-1] == f"0.0.0.0:{port['containerPort']}"
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}
    health = read(STACK)["services"]["depots"]["healthcheck"]["test"]
    assert f":{port['containerPort']}/readyz" in health[-1]


def test_the_ways_in_are_what_a_depot_needs_and_no_more() -> None:
    (container,) = pod()["containers"]
    stack = read(STACK)["services"]["depots"]
    assert container["securityContext"]["capabilities"]["add"] == stack["cap_add"]
    assert "privileged" not in str(depots()) + str(stack)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod()["volumes"]}
    assert mounts["tun"] == "/dev/net/tun"
    assert pod()["hostNetwork"] is True


def test_files_that_are_named_are_there() -> None:
    for name in [file for maps in read(KUBERNETES / "main" / "kustomization.yaml")["configMapGenerator"]
                 for file in maps["files"]]:
        assert (KUBERNETES / "main" / name).is_file()
    for config in read(STACK)["configs"].values():
        assert (STACK.parent / config["file"]).is_file()


def test_kubectl_builds_the_overlay() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed (Debian has it in the package kubernetes-client)")
    done = subprocess.run(["kubectl", "kustomize", str(KUBERNETES / "main")], capture_output=True, text=True,
                          check=True)
    built = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    assert faults(built["StatefulSet"]) == faults(built["PodDisruptionBudget"]) == []
    made = built["StatefulSet"]["spec"]["template"]
    assert made["spec"]["nodeSelector"] == {"atmdepot/set": "main"}
    assert made["metadata"]["labels"].items() >= built["StatefulSet"]["spec"]["selector"]["matchLabels"].items()
    (table,) = [volume for volume in made["spec"]["volumes"] if volume["name"] == "table"]
    assert table["configMap"]["name"] == built["ConfigMap"]["metadata"]["name"]


def test_compose_itself_accepts_the_stack() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose 1 is not installed")
    subprocess.run(["docker-compose", "-f", str(STACK), "config", "-q"], capture_output=True, check=True)
