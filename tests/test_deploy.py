"""What is deployed to several machines is settings that the server takes, in roles that find one another.

`scripts/deploy/check.sh` lints and renders the Helm chart, and holds deploy/kubernetes/ against it and the schemas.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lingting.settings import PREFIX, Settings

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
SECRETS = {"LINGTING_CLUSTER_SECRET": "s" * 32, "POSTGRES_PASSWORD": "p", "POD_IP": "10.0.0.5"}


def filled(value: object) -> str:
    """A value as compose or Kubernetes hands it over."""
    text = re.sub(r"\$\{(\w+)(:\?[^}]*)?\}", lambda found: SECRETS[found[1]], str(value))
    return re.sub(r"\$\((\w+)\)", lambda found: SECRETS[found[1]], text)


def taken(environment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a process with this environment."""
    for name, value in environment.items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, filled(value))
    return Settings()


def composed() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose" / "cluster.yaml").read_text(encoding="utf-8"))["services"]


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text(encoding="utf-8")))


def containers() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Of each role on Kubernetes the pod's spec and its container."""
    found = {}
    for manifest in manifests("lingting.yaml"):
        if manifest["kind"] == "Deployment":
            spec = manifest["spec"]["template"]["spec"]
            found[manifest["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]] = (
                spec,
                spec["containers"][0],
            )
    return found


def environment(container: dict[str, Any]) -> dict[str, str]:
    """A container's environment, secrets filled with something that could be one."""
    secrets = {"database-url": "postgresql://db/x", "redis-url": "redis://r:6379/0", "cluster-secret": "s" * 32}
    return {
        each["name"]: each.get("value")
        or secrets.get(each["valueFrom"].get("secretKeyRef", {}).get("key"), "from-the-pod")
        for each in container["env"]
    }


@pytest.mark.parametrize("service", ["door-1", "home-1", "door-2", "home-2"])
def test_each_node_of_the_compose_file_starts_with_settings_that_are_valid(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = taken(composed()[service]["environment"], monkeypatch)
    assert settings.cluster_role == service.split("-", maxsplit=1)[0]
    assert settings.node == service
    if settings.cluster_role == "home":
        assert settings.cluster_listen.split(":")[0] == service, "doors find a home by its name in the network"


def test_no_home_database_or_redis_of_the_compose_file_can_be_reached_from_outside() -> None:
    for name, service in composed().items():
        if not name.startswith("door"):
            assert "ports" not in service
            assert service["networks"] == ["inside"]
        else:
            assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.parametrize("role", ["door", "home"])
def test_each_role_on_kubernetes_starts_with_settings_that_are_valid(
    role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, container = containers()[role]
    settings = taken(environment(container), monkeypatch)
    assert settings.cluster_role == role
    assert settings.drain_lead_seconds + settings.drain_seconds < spec["terminationGracePeriodSeconds"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["http"] == settings.port
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    if role == "home":
        assert settings.cluster_listen == f"10.0.0.5:{ports['link']}"


def test_every_worker_of_ray_has_a_readiness_probe_of_its_own_and_leaves_before_it_is_stopped() -> None:
    service = next(each for each in manifests("rayservice.yaml") if each["kind"] == "RayService")
    groups = {group["groupName"]: group for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]}
    assert set(groups) == {"door", "home"}
    for group in groups.values():
        container = group["template"]["spec"]["containers"][0]
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["lifecycle"]["preStop"]["exec"]["command"] == ["lingting", "cluster", "leave"]
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    assert config["proxy_location"] == "Disabled"
    selector = next(each for each in manifests("rayservice.yaml") if each["kind"] == "Service")["spec"]["selector"]
    assert selector["ray.io/group"] in groups
