"""What a cluster or a container engine is given: the validators take it, and it is as hardened as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli.settings import env_example
from gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = ROOT / "docker-compose.yml"
FOLDER = ROOT / "deploy" / "kubernetes"
BIN = Path(sys.executable).parent


def run(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_passes_its_linter() -> None:
    run(BIN / "hadolint", "deploy/Dockerfile")


def test_the_compose_file_is_one() -> None:
    files = ("docker-compose.yml", "deploy/docker-compose.tls.yml")
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files)


@pytest.mark.parametrize("name", ["namespace", "gateway", "autoscaling", "triton", "network"])
def test_the_manifests_are_kubernetes_own(name: str) -> None:
    run(BIN / "kubernetes-validate", "--strict", FOLDER / f"{name}.yaml")


def objects(kind: str) -> list[dict[str, Any]]:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    found = [each for name in listed for each in yaml.safe_load_all((FOLDER / name).read_text())]
    return [each for each in found if each["kind"] == kind]


def containers() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    pods = [deployment["spec"]["template"]["spec"] for deployment in objects("Deployment")]
    return [(pod, each) for pod in pods for each in pod["containers"] + pod.get("initContainers", [])]


def test_every_container_of_the_cluster_is_hardened() -> None:
    found = containers()
    assert {container["name"] for _, container in found} == {"gateway", "models", "triton"}
    for pod, container in found:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


def test_images_are_pinned_by_digest() -> None:
    pinned = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["images"]
    assert {container["image"] for _, container in containers()} == {image["name"] for image in pinned}
    assert all(image["digest"].startswith("sha256:") for image in pinned)


def test_the_cluster_lets_nobody_but_the_gateway_meet_triton() -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in objects("NetworkPolicy")}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    triton = policies["triton"]
    callers = [rule["from"] for rule in triton["ingress"] if {"port": "grpc"} in rule["ports"]]
    assert callers == [[{"podSelector": {"matchLabels": {"app": "gateway"}}}]]
    assert set(triton["policyTypes"]) == {"Ingress", "Egress"}
    assert "egress" not in triton


def test_a_new_version_is_there_before_the_old_one_goes() -> None:
    for deployment in objects("Deployment"):
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert {budget["metadata"]["name"] for budget in objects("PodDisruptionBudget")} == {"gateway", "triton"}


def names_of_settings() -> set[str]:
    return set(re.findall(r"^(?:# )?([A-Z_]+)=", env_example(), re.MULTILINE))


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_what_is_set_is_a_setting(where: str) -> None:
    if where == "compose":
        given = set(yaml.safe_load(COMPOSE.read_text())["services"]["gateway"]["environment"])
    else:
        lines = (FOLDER / "gateway.env").read_text().splitlines()
        given = {line.split("=", 1)[0] for line in lines if line and not line.startswith("#")}
        given |= {each["name"] for _, container in containers() for each in container.get("env", [])}
    assert {name.removesuffix("_FILE") for name in given} <= names_of_settings()


def test_the_kubernetes_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in names_of_settings():
            monkeypatch.delenv(name)
    for line in (FOLDER / "gateway.env").read_text().splitlines():
        if line and not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    for number, name in enumerate(("ADMISSION_KEY_PEPPER", "DEID_KEY", "AUDIT_CHAIN_KEY")):
        monkeypatch.setenv(name, str(number) * 32)
    drains = Settings().http
    pod = objects("Deployment")[0]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > drains.drain_pause_seconds + drains.drain_seconds


def test_only_the_gateways_port_is_public() -> None:
    compose = yaml.safe_load(COMPOSE.read_text())
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    loopback = {name for name, ports in published.items() if all(str(port).startswith("127.0.0.1:") for port in ports)}
    assert set(published) - loopback == {"gateway"}
    assert compose["networks"]["internal"]["internal"] is True
    assert {
        name for name, service in compose["services"].items() if "public" in service.get("networks", [])
    } - loopback == {"gateway"}


def test_every_service_of_the_compose_file_is_hardened() -> None:
    for name, service in yaml.safe_load(COMPOSE.read_text())["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true", "seccomp=builtin"], name
        assert service.get("user", "").split(":")[0] != "0" or service["network_mode"] == "none", name
        assert service["pids_limit"], name
        assert service["mem_limit"], name
        lasting = service["restart"] != "no" and name != "gateway"  # the gateway's is in its image
        assert "healthcheck" in service or not lasting, name
        assert not service.get("privileged"), name


def test_the_autoscaler_looks_at_a_metric_that_there_is() -> None:
    asked = {
        each["pods"]["metric"]["name"]
        for each in objects("HorizontalPodAutoscaler")[0]["spec"]["metrics"]
        if "pods" in each
    }
    assert asked
    assert all(f"`{name}`" in (ROOT / "docs" / "observability" / "metrics.md").read_text() for name in asked)


def with_tls(name: str) -> list[dict[str, Any]]:
    """The manifests of a file as the component ``tls`` changes them, by JSON Patch (RFC 6902), of which it uses add."""
    documents = list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()))
    for patch in yaml.safe_load((FOLDER / "tls" / "kustomization.yaml").read_text())["patches"]:
        for document in documents:
            if (document["kind"], document["metadata"]["name"]) != (patch["target"]["kind"], patch["target"]["name"]):
                continue
            for step in yaml.safe_load(patch["patch"]):
                assert step["op"] == "add"
                *parents, last = step["path"].strip("/").split("/")
                place: Any = document
                for part in parents:
                    place = place[int(part) if isinstance(place, list) else part]
                if last == "-":
                    place.append(step["value"])
                else:
                    place[last] = step["value"]
    return documents


@pytest.mark.parametrize("name", ["gateway", "triton"])
def test_with_tls_they_still_are_and_find_their_files(name: str, tmp_path: Path) -> None:
    documents = with_tls(name)
    file = tmp_path / f"{name}.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    run(BIN / "kubernetes-validate", "--strict", file)
    [deployment] = [document for document in documents if document["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    volumes = {each["name"] for each in pod["volumes"]}
    used = [each["value"] for each in container.get("env", []) if "_TLS_" in each["name"]]
    used += [word.partition("=")[2] for word in container.get("args", []) if "-cert=" in word or "-key=" in word]
    assert len(used) == {"gateway": 8, "triton": 3}[name]
    for path in used:
        assert mounts[path.rpartition("/")[0]] in volumes
    assert {each["name"] for each in container.get("env", []) if "_TLS_" in each["name"]} <= names_of_settings()
    if name == "gateway":
        probes = [container[f"{each}Probe"]["httpGet"] for each in ("startup", "readiness", "liveness")]
        assert all(probe["scheme"] == "HTTPS" for probe in probes)
