"""Lints and renders the Helm chart, and checks what comes out against the schemas of Kubernetes and of a RayService.

    check.py [--write] [--crd ray.io_rayservices.yaml]

`--write` renews deploy/kubernetes/, which is what the chart renders by itself; without it a difference is an error.
`--crd` checks the RayService against KubeRay's own definition too, as `kubectl get crd rayservices.ray.io -o yaml` or
KubeRay's repository gives it. Runs in an environment of its own: see check.sh.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "lingting"
RENDERED = ROOT / "deploy" / "kubernetes"
KUBERNETES = ("1.28", "1.37")
SECRET = {"existingSecret": "lingting"}
RAY = {**SECRET, "ray": {"enabled": True, "redisAddress": "ray-redis:6379"}}
# every way that the chart branches
VALUES: dict[str, dict[str, Any]] = {
    "deployments": SECRET,
    "ray": RAY,
    "secrets given": {
        "secrets": {
            "databaseUrl": "postgresql+psycopg://u:p@db/x",
            "redisUrl": "redis://r/0",
            "clusterSecret": "s" * 32,
        },
        "settings": {"MODEL": "sensevoice-small", "STREAMS_PER_TENANT": 100, "CONVERT_NUMBERS": True},
        "pullSecrets": ["registry"],
        "doors": {"autoscaling": {"enabled": False}},
        "homes": {
            "autoscaling": {"podMetric": "lingting_live_streams"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "speech", "operator": "Exists"}],
        },
        "service": {"type": "LoadBalancer", "annotations": {"example.com/a": "b"}},
    },
    "ray without autoscaling": {
        **RAY,
        "homes": {"autoscaling": {"enabled": False}, "nodeSelector": {"gpu": "yes"}},
        "networkPolicy": {"enabled": False},
    },
}
# the chart must refuse these: a name mistyped, a secret too short, no secret at all
REFUSED: list[dict[str, Any]] = [
    {**SECRET, "homs": {"replicas": 3}},
    {**SECRET, "doors": {"replica": 3}},
    {**SECRET, "settings": {"model": "whisper-base"}},
    {"secrets": {"databaseUrl": "postgresql://d/x", "redisUrl": "redis://r/0", "clusterSecret": "short"}},
    {},
]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--crd", type=Path)
    options = parser.parse_args()
    chart = helm_python.Chart.load(CHART)
    wrong = linted() + accepted(chart)
    rendered = {}
    for name, values in VALUES.items():
        text = render(chart, values)
        rendered[name] = text
        for document in yaml.safe_load_all(text):
            wrong += [f"{name}: {fault}" for fault in faults(document, options.crd)]
    wrong += mistakes_are_found(rendered["ray"])
    wrong += same({"lingting.yaml": rendered["deployments"], "rayservice.yaml": rendered["ray"]}, write=options.write)
    for fault in wrong:
        print(fault, file=sys.stderr)
    print(f"{len(VALUES)} ways to render the chart, {len(wrong)} faults")
    return 1 if wrong else 0


def linted() -> list[str]:
    """What Helm's own lint says, of warnings upwards."""
    report = helm_python.lint(CHART, values=SECRET, strict=True)
    return [f"lint: {each['path']}: {each['error']}" for each in report["messages"] if each["severity"] > 1]


def accepted(chart: helm_python.Chart) -> list[str]:
    """Which values are taken that ought to be refused."""
    taken = []
    for values in REFUSED:
        try:
            chart.validate_schema(values)
            chart.render(values, name="lingting", namespace="default")
            taken.append(f"values are not refused: {values}")
        except helm_python.HelmError:
            pass
    return taken


def render(chart: helm_python.Chart, values: dict[str, Any]) -> str:
    """Every manifest of the chart, in the order of kinds and names."""
    chart.validate_schema(values)
    documents = [
        document
        for path, text in chart.render(values, name="lingting", namespace="default").items()
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    documents.sort(key=lambda document: (document["kind"], document["metadata"]["name"]))
    return "---\n".join(yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110) for document in documents)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def faults(document: dict[str, Any], crd: Path | None) -> list[str]:
    """What is wrong with one manifest."""
    if document["kind"] != "RayService":
        return [fault for version in KUBERNETES for fault in validate(document, version)]
    schema = json.loads((Path(__file__).parent / "rayservice.schema.json").read_text(encoding="utf-8"))
    found = [f"RayService: {error.json_path}: {error.message}" for error in _errors(schema, document)]
    if crd is not None:
        found += [f"RayService: {error.json_path}: {error.message}" for error in _errors(_closed(crd), document)]
    cluster = document["spec"].get("rayClusterConfig", {})
    groups = [cluster.get("headGroupSpec", {}), *cluster.get("workerGroupSpecs", [])]
    for group in groups:
        pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(group.get("template", {}))}
        pod.setdefault("metadata", {})["name"] = "pod"
        found += [fault for version in KUBERNETES for fault in validate(pod, version)]
    return found


def validate(document: dict[str, Any], version: str) -> list[str]:
    """What Kubernetes of that version would say of a manifest."""
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{document['kind']} ({version}): {'.'.join(map(str, error.path))}: {error.message}"]
    return []


def _errors(schema: dict[str, Any], document: dict[str, Any]) -> list[jsonschema.ValidationError]:
    return list(jsonschema.Draft7Validator(schema).iter_errors(document))


def _closed(crd: Path) -> dict[str, Any]:
    """The definition's schema of ray.io/v1, closed against fields that it does not know."""
    definition = yaml.safe_load(crd.read_text(encoding="utf-8"))
    schema: dict[str, Any] = next(
        each["schema"]["openAPIV3Schema"] for each in definition["spec"]["versions"] if each["name"] == "v1"
    )

    def close(node: Any) -> None:
        if isinstance(node, list):
            for each in node:
                close(each)
        elif isinstance(node, dict):
            if node.get("x-kubernetes-int-or-string"):
                node.pop("format", None)
                node.pop("type", None)
            if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
                node.setdefault("additionalProperties", False)
            for each in node.values():
                close(each)

    close(schema["properties"]["spec"])
    return schema


def mistakes_are_found(text: str) -> list[str]:
    """Whether this check can fail: a mistyped field of a RayService and one of its pods must be found."""
    wrong = []
    for path, name in (
        (("rayClusterConfig",), "wrokerGroupSpecs"),
        (("rayClusterConfig", "headGroupSpec", "template", "spec"), "contianers"),
    ):
        document = next(each for each in yaml.safe_load_all(text) if each["kind"] == "RayService")
        node = document["spec"]
        for part in path:
            node = node[part]
        node[name] = []
        if not faults(document, None):
            wrong.append(f"{name} is not found")
    return wrong


def same(texts: dict[str, str], *, write: bool) -> list[str]:
    """Which manifests of deploy/kubernetes/ are not what the chart renders."""
    differing = []
    for name, text in texts.items():
        head = "# Rendered from deploy/helm/lingting by scripts/deploy/check.sh --write; edit there.\n"
        if write:
            (RENDERED / name).write_text(head + text, encoding="utf-8")
        elif not (RENDERED / name).is_file() or (RENDERED / name).read_text(encoding="utf-8") != head + text:
            differing.append(
                f"deploy/kubernetes/{name} is not what the chart renders: sh scripts/deploy/check.sh --write"
            )
    return differing


if __name__ == "__main__":
    sys.exit(main())
