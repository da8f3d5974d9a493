from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils as schemas
from support.parts import Parts
from support.source import ROOT

from gateway.config import load, variables

BASE = ROOT / "deploy/k8s/base"
SECRET = ROOT / "deploy/k8s/secret.example.yaml"
VERSIONS = (schemas.all_versions()[0], schemas.all_versions()[-1])
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def manifests(parts: Parts) -> list[Manifest]:
    """What `kubectl apply -k` would send, and the example Secret."""
    command = [str(parts.kubectl), "kustomize", str(BASE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [*yaml.safe_load_all(done.stdout), yaml.safe_load(SECRET.read_text())]


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """The only manifest of a kind."""
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


@pytest.fixture
def pod(manifests: list[Manifest]) -> Manifest:
    """The pod of the Deployment."""
    return one(manifests, "Deployment")["spec"]["template"]["spec"]


@pytest.fixture
def container(pod: Manifest) -> Manifest:
    """Its only container."""
    (found,) = pod["containers"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_o15_manifests_fit_the_schemas_of_the_oldest_and_the_newest_kubernetes(
    manifests: list[Manifest], version: str
) -> None:
    """O15: strictly, so an unknown field is a fault; a kind without a schema is one too."""
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_o15_the_schemas_can_refuse() -> None:
    """O15: the check above sees a misspelt field."""
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_file_of_the_base_is_applied(manifests: list[Manifest]) -> None:
    """A manifest that kustomization.yaml forgets would not be there, and nobody would see it."""
    files = sorted(path.name for path in BASE.glob("*.yaml") if path.name != "kustomization.yaml")
    assert yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"] == files
    assert len(manifests) == len(files) + 1


def test_o10_the_pod_is_restricted(pod: Manifest, container: Manifest) -> None:
    """O10: no root, no way to it, no capability, nothing to write on but its own folders."""
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    volumes = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert volumes <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}


def test_o10_memory_is_limited_and_the_processor_is_not(container: Manifest) -> None:
    """O10: requests and a memory limit; a processor limit would only make it late."""
    resources = container["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


def test_o10_the_account_has_no_token(manifests: list[Manifest], pod: Manifest) -> None:
    """O10: the account is our own and opens nothing."""
    account = one(manifests, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_o12_what_the_pod_is_given_starts_the_gateway(
    manifests: list[Manifest], pod: Manifest, container: Manifest, tmp_path: Path
) -> None:
    """O12: settings and secrets (as files) load for `run`; every name is one of ours."""
    environ = dict(one(manifests, "ConfigMap")["data"])
    secrets = one(manifests, "Secret")["stringData"]
    secret_names = {variable.name for variable in variables() if variable.row.form.secret}
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "secrets"]
    assert environ["WINBACK_SECRETS_DIR"] == mount["mountPath"]
    assert mount["readOnly"] is True
    assert set(secrets) <= secret_names
    assert not (set(environ) - {"WINBACK_STORE__URL"}) & secret_names

    for name, text in secrets.items():
        (tmp_path / name).write_text(text)
    settings = load({**environ, "WINBACK_SECRETS_DIR": str(tmp_path)}, command="run")
    assert container["args"] == ["run"]
    assert [port["containerPort"] for port in container["ports"]] == [settings.http.port]
    assert settings.shutdown.drain_s + 15 < pod["terminationGracePeriodSeconds"]
    assert str(settings.store.url.path).startswith("/var/lib/winback/")


def test_the_pod_refers_to_what_is_there(
    manifests: list[Manifest], pod: Manifest, container: Manifest
) -> None:
    """Names of the settings, the secret and the volume are those of the manifests."""
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert ("ConfigMap", container["envFrom"][0]["configMapRef"]["name"]) in names
    assert ("Secret", volumes["secrets"]["secret"]["secretName"]) in names
    claim = volumes["store"]["persistentVolumeClaim"]["claimName"]
    assert ("PersistentVolumeClaim", claim) in names
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounted) == set(volumes)
    assert mounted["store"] == "/var/lib/winback"
    assert mounted["tmp"] == "/tmp"  # noqa: S108 - a path inside the pod


def test_services_of_the_namespace_stay_out_of_the_environment(pod: Manifest) -> None:
    """A Service named winback would give WINBACK_PORT, which would stop the start."""
    assert pod["enableServiceLinks"] is False


def test_one_process_owns_the_sqlite_store(manifests: list[Manifest]) -> None:
    """The old pod ends before the new one starts, and there is never a second."""
    spec = one(manifests, "Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    assert one(manifests, "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_o4_the_start_has_two_minutes_and_each_probe_its_path(container: Manifest) -> None:
    """O2-O4: the three probes ask the three routes; the start may take 120 s and more."""
    probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
    assert paths == {"startup": "/startupz", "liveness": "/livez", "readiness": "/readyz"}
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {"http"}
    startup = probes["startup"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 120


def test_selectors_find_the_pod(manifests: list[Manifest]) -> None:
    """Service, disruption budget and network policy speak of the Deployment's pods."""
    deployment = one(manifests, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert one(manifests, "Service")["spec"]["selector"] == labels
    assert one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert one(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels


def test_o8_a_node_can_be_drained(manifests: list[Manifest]) -> None:
    """O8: a budget that allows no disruption would block every upgrade of the cluster."""
    assert one(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_o11_the_metadata_address_is_out_of_reach(manifests: list[Manifest]) -> None:
    """O11: no rule but the one for names goes anywhere without leaving out link-local."""
    policy = one(manifests, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    for rule in policy["egress"]:
        if {port["port"] for port in rule["ports"]} != {53}:
            assert [to["ipBlock"]["except"] for to in rule["to"]] == [["169.254.0.0/16"]]
