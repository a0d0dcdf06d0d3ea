"""The OpenAPI document: valid, complete, true in its examples, and true of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lingting.api.openapi.document import document
from lingting.settings import Settings
from tests.api.serving import Running, serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
DOCUMENT = document(Settings(data_dir=Path("unused")))
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield path, operation


def contents() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Every schema that has examples, and each example."""
    for path, operation in operations():
        holders = [operation.get("requestBody", {}), *operation["responses"].values()]
        for holder in holders:
            for content in holder.get("content", {}).values():
                for name, example in content.get("examples", {}).items():
                    yield f"{path} {name}", content["schema"], example["value"]


@pytest.mark.parametrize(("name", "schema", "example"), list(contents()), ids=lambda value: str(value)[:40])
def test_every_example_is_what_its_schema_says(name: str, schema: dict[str, Any], example: Any) -> None:
    jsonschema_rs.validate(schema | {"components": DOCUMENT["components"]}, example)


def test_every_schema_is_json_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid(schema)


def test_the_document_is_openapi_3_1() -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.validate()
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for found in references(DOCUMENT):
        kind, name = found.removeprefix("#/components/").split("/")
        assert name in DOCUMENT["components"][kind], found


def test_every_operation_is_named_and_documents_its_errors() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(names) == len(set(names))
    expected = {
        "file_recognize": {"200", "400", "413", "429", "500"},
        "stream_recognize": {"200", "400", "413", "429", "500"},
        "flash": {"200", "400", "401", "403", "404", "413", "415", "429", "500", "503"},
    }
    for _, operation in operations():
        if operation["operationId"] in expected:
            assert set(operation["responses"]) == expected[operation["operationId"]]


def test_the_server_serves_the_document(server: Running) -> None:
    answer = requests.get(server.url + "/openapi.json", timeout=5)
    assert answer.json() == document(server.service.settings)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without rates that generated requests would hit."""
    with serving(
        tmp_path_factory.mktemp("document"),
        file_requests_per_second=100_000,
        flash_requests_per_second=100_000,
        streams_per_tenant=100_000,
        stream_idle_seconds=0.5,
        drain_seconds=1,
    ) as running:
        yield running


@pytest.mark.parametrize("operation_id", [operation["operationId"] for _, operation in operations()])
def test_the_server_does_what_the_document_says(patient: Running, operation_id: str) -> None:
    schema = schemathesis.openapi.from_url(f"{patient.url}/openapi.json")
    operation = schema.find_operation_by_id(operation_id)

    @given(case=operation.as_strategy())
    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def answers(case: schemathesis.Case) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {patient.key}"}, checks=CHECKS)

    answers()
