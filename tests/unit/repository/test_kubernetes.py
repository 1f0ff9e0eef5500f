"""docs/kubernetes: every manifest has the shape that Kubernetes knows, and its parts know each other."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest
import yaml

from cli.main import skald
from cli.server.serve import API_GRACE, WORKER_GRACE
from cli.settings import Settings, variable

FOLDER = Path(__file__).parents[3] / "docs" / "kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS: dict[tuple[str, str], dict[str, Any]] = {
    (manifest["kind"], manifest["metadata"]["name"]): manifest
    for file in KUSTOMIZATION["resources"]
    for manifest in yaml.safe_load_all((FOLDER / file).read_text())
}
SHAPES: dict[str, Any] = json.loads((Path(__file__).parent / "kubernetes-1.37.schema.json").read_text())
VERSIONS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "Service": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
# The custom resource of CloudNativePG, as far as the file uses it.
CLUSTER: dict[str, Any] = {
    "instances": int,
    "imageName": str,
    "bootstrap": {
        "initdb": dict.fromkeys(
            ("database", "owner", "encoding", "localeProvider", "builtinLocale", "locale"), str
        )
    },
    "postgresql": {
        "synchronous": {"method": str, "number": int, "dataDurability": str},
        "parameters": dict,
    },
    "storage": {"size": str},
    "resources": dict,
    "affinity": {"enablePodAntiAffinity": bool, "topologyKey": str, "podAntiAffinityType": str},
}


def test_every_file_is_in_the_kustomization() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == {
        "kustomization.yaml",
        *KUSTOMIZATION["resources"],
    }


def check(manifest: dict[str, Any], kind: str) -> None:
    """Raises ValidationError with the place of what Kubernetes would not take."""
    jsonschema_rs.validate({**SHAPES, "$ref": f"#/$defs/{kind}"}, manifest)


@pytest.mark.parametrize("key", [key for key in MANIFESTS if key[0] != "Cluster"], ids="/".join)
def test_a_manifest_has_the_shape_that_kubernetes_knows(key: tuple[str, str]) -> None:
    check(MANIFESTS[key], key[0])
    assert MANIFESTS[key]["apiVersion"] == VERSIONS[key[0]]


@pytest.mark.parametrize(
    "wrong",
    [{"replica": 1}, {"replicas": "1"}, {"template": {"spec": {"containers": {}}}}, {"selector": None}],
)
def test_the_check_finds_a_misspelt_key_and_a_wrong_type(wrong: dict[str, Any]) -> None:
    manifest = MANIFESTS["Deployment", "skald-api"]
    with pytest.raises(jsonschema_rs.ValidationError):
        check({**manifest, "spec": {**manifest["spec"], **wrong}}, "Deployment")


def test_the_database_has_keys_of_its_resource() -> None:
    manifest = MANIFESTS["Cluster", "skald-database"]
    assert manifest["apiVersion"] == "postgresql.cnpg.io/v1"
    _known(manifest["spec"], CLUSTER, "spec")
    assert manifest["spec"]["postgresql"]["synchronous"]["dataDurability"] in {"required", "preferred"}
    assert all(isinstance(value, str) for value in manifest["spec"]["postgresql"]["parameters"].values())


def _known(value: Any, expected: Any, where: str) -> None:
    if isinstance(expected, dict):
        assert set(value) <= set(expected), where
        for name, inner in value.items():
            _known(inner, expected[name], f"{where}.{name}")
    else:
        assert isinstance(value, expected), where


def pods() -> dict[str, dict[str, Any]]:
    return {
        name: manifest["spec"]["template"]["spec"]
        for (_, name), manifest in MANIFESTS.items()
        if "template" in manifest.get("spec", {})
    }


def containers() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{pod}/{one['name']}", one)
        for pod, spec in pods().items()
        for one in [*spec.get("initContainers", []), *spec["containers"]]
    ]


@pytest.mark.parametrize(("name", "container"), containers(), ids=[name for name, _ in containers()])
def test_what_runs_has_no_privileges_and_limits(name: str, container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {one["name"] for one in container["volumeMounts"]}
    pod = pods()[name.partition("/")[0]]
    assert pod["securityContext"]["runAsNonRoot"] is True
    templates = (
        MANIFESTS.get(("StatefulSet", name.partition("/")[0]), {})
        .get("spec", {})
        .get("volumeClaimTemplates", [])
    )
    assert mounted == {one["name"] for one in pod.get("volumes", [])} | {
        one["metadata"]["name"] for one in templates
    }
    if container["image"] == "skald":
        command, *options = container["args"]
        called = skald.get_command(click.Context(skald), command)
        assert called is not None
        assert set(options) <= {option for parameter in called.params for option in parameter.opts}
        assert {one["name"] for one in container["env"]} <= {
            variable(field) for field in Settings.__struct_fields__
        }


def test_services_lead_to_pods_and_secrets_are_those_that_the_operator_makes() -> None:
    labels = [
        manifest["spec"]["template"]["metadata"]["labels"]
        for manifest in MANIFESTS.values()
        if "template" in manifest["spec"]
    ]
    for (kind, _), manifest in MANIFESTS.items():
        if kind == "Service":
            assert manifest["spec"]["selector"] in labels
        if kind in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            assert manifest["spec"]["selector"]["matchLabels"] in labels
    secrets = {
        one["valueFrom"]["secretKeyRef"]["name"]
        for _, container in containers()
        for one in container.get("env", [])
        if "valueFrom" in one
    }
    assert secrets == {"skald-database-app"}
    addresses = [one.get("value", "") for _, container in containers() for one in container.get("env", [])]
    assert any("//skald-valkey:6379" in address for address in addresses)


def test_only_our_pods_reach_the_cache_which_has_no_password() -> None:
    policy = MANIFESTS["NetworkPolicy", "skald-valkey"]["spec"]
    assert policy["podSelector"] == MANIFESTS["StatefulSet", "skald-valkey"]["spec"]["selector"]
    [rule] = policy["ingress"]
    [origin] = rule["from"]
    [wish] = origin["podSelector"]["matchExpressions"]
    using = {
        manifest["spec"]["template"]["metadata"]["labels"][wish["key"]]
        for manifest in MANIFESTS.values()
        if manifest["kind"] == "Deployment"
    }
    assert set(wish["values"]) == using
    [port] = rule["ports"]
    [container] = pods()["skald-valkey"]["containers"]
    assert port["port"] in {one["name"] for one in container["ports"]}


def test_a_pod_has_the_time_that_it_takes_to_start_and_to_stop() -> None:
    pod = pods()["skald-api"]
    [api] = pod["containers"]
    stop = api["lifecycle"]["preStop"]["sleep"]["seconds"] + API_GRACE
    assert pod["terminationGracePeriodSeconds"] > stop
    assert pods()["skald-worker"]["terminationGracePeriodSeconds"] > WORKER_GRACE
    # Before it listens, `skald serve` makes anew what an older release rendered: the log may be large.
    probe = api["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 3600
    # Only readiness asks for the database: a new start of the process brings none back.
    assert {api[one]["httpGet"]["path"] for one in ("startupProbe", "livenessProbe")} == {"/healthz"}
    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz"
    # /readyz answers within a second.
    assert all(api[one]["timeoutSeconds"] >= 3 for one in ("startupProbe", "livenessProbe", "readinessProbe"))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_takes_the_folder() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    assert len(made) == len(MANIFESTS)
    images = {
        one["image"]
        for manifest in made
        for one in manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    }
    assert images == {"registry.example.com/skald:1", "valkey/valkey:9"}
