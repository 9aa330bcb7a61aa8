"""docs/openapi.json: generated, whole, valid, and the same as the routes and the handlers."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from cloud.auth.routes import PUBLIC_ROUTES, ROUTES
from cloud.http.openapi_document import DOCUMENT
from cloud.openapi import document
from cloud.openapi.examples import AUDIT_LINE, EXAMPLES
from cloud.openapi.models.answers import Problem
from cloud.openapi.models.audit import AuditEntry
from cloud.openapi.operations import OPERATIONS
from tests.support.cloud.template import template


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document.document()


def test_the_committed_document_is_what_the_code_makes() -> None:
    assert DOCUMENT.read_text("utf-8") == document.text(), "run: python -m cloud openapi"


def test_it_is_valid_openapi_3_1(described: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(described).validate()


def test_every_route_is_described_and_nothing_else() -> None:
    assert OPERATIONS.keys() == ROUTES.keys() | PUBLIC_ROUTES.keys()


def test_the_described_operations_are_the_gateways_routes(described: dict[str, Any]) -> None:
    routes = {
        resource["Properties"]["RouteKey"]
        for resource in template()["Resources"].values()
        if resource["Type"] == "AWS::ApiGatewayV2::Route"
    }

    assert routes == {
        f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods
    }


def test_a_route_takes_query_parameters_where_its_operation_has_a_model_of_them() -> None:
    for key, route in ROUTES.items():
        assert route.takes_query is (OPERATIONS[key].query is not None), key


def test_the_gateways_own_answers_are_described(described: dict[str, Any]) -> None:
    responses = described["paths"]["/devices/{device}"]["get"]["responses"]

    for status in ("401", "403", "429", "500", "503"):
        assert responses[status]["content"].keys() == {"application/problem+json", "application/json"}
    assert responses["404"]["content"].keys() == {"application/problem+json"}


def test_every_answer_is_described_with_its_id_and_what_passes_with_when_to_come_again(
    described: dict[str, Any],
) -> None:
    for methods in described["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                assert "X-Request-Id" in response["headers"], operation["operationId"]
                assert ("Retry-After" in response["headers"]) is (status in ("409", "429", "503"))


def test_an_export_says_where_its_next_page_is(described: dict[str, Any]) -> None:
    headers = described["paths"]["/audit/export"]["get"]["responses"]["200"]["headers"]

    assert headers["Link"] == {"$ref": "#/components/headers/Link"}
    assert described["components"]["headers"].keys() >= {"Link"}


def within(schemas: Mapping[str, Any], name: str) -> set[str]:
    """The schema ``name`` and every other that is somewhere in it."""
    found, wanted = set(), {name}
    while wanted:
        found |= wanted
        text = json.dumps([schemas[each] for each in wanted])
        wanted = set(re.findall(r'"#/components/schemas/(\w+)"', text)) - found
    return found


def test_a_body_refuses_unknown_fields_at_every_depth_and_an_answer_may_grow(
    described: dict[str, Any],
) -> None:
    schemas = described["components"]["schemas"]
    bodies = [operation.request.__name__ for operation in OPERATIONS.values() if operation.request]
    asked = {each for body in bodies for each in within(schemas, body) if "properties" in schemas[each]}

    assert {"DeploymentRequest", "WantedApplication"} < asked
    for name in asked:
        assert schemas[name]["additionalProperties"] is False, name
    for operation in OPERATIONS.values():
        if operation.response is not None:
            assert schemas[operation.response.__name__].get("additionalProperties") is not False


def test_a_name_that_a_mapping_does_not_take_is_refused_by_its_schema(described: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/WantedApplication"} | described
    takes = Draft202012Validator(schema).is_valid
    application = {"name": "web", "image": "fleetgrass/hello:v1"}

    assert takes(application | {"env": {"TZ": "UTC"}, "labels": {"line": "3"}})
    assert not takes(application | {"env": {"9": "nine"}})
    assert not takes(application | {"labels": {"": "nothing"}})


def test_every_pattern_reads_the_same_in_javascript() -> None:
    # As OpenAPI's patterns are: these are Python's alone, which others refuse or read as plain letters.
    patterns = re.findall(r'"pattern": (".*")', document.text())

    assert len(patterns) > 20
    assert [each for each in patterns if re.search(r"\\[AZU]|\(\?P", json.loads(each))] == []


def test_the_examples_are_bodies_that_their_models_take() -> None:
    for operation in OPERATIONS.values():
        if operation.request is not None and operation.example is not None:
            operation.request.model_validate(operation.example)


def unknown(value: object) -> list[str]:
    """The members, at every depth, that the models of an answer do not have."""
    if isinstance(value, BaseModel):
        held = [each for name in type(value).model_fields for each in unknown(getattr(value, name))]
        return [*(value.model_extra or {}), *held]
    return [each for part in value for each in unknown(part)] if isinstance(value, list) else []


@pytest.mark.parametrize("model", EXAMPLES)
def test_an_example_is_an_answer_that_its_model_and_its_schema_take(
    model: type[BaseModel], described: dict[str, Any]
) -> None:
    example = json.loads(json.dumps(EXAMPLES[model]))

    assert unknown(model.model_validate(example)) == []
    schema = {"$ref": f"#/components/schemas/{model.__name__}"} | described
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(example)


def test_every_success_every_problem_and_every_name_in_a_path_has_an_example(
    described: dict[str, Any],
) -> None:
    for methods in described["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    assert content.keys() & {"example", "examples"}, (operation["operationId"], status)
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    Draft202012Validator(parameter["schema"]).validate(parameter["example"])
    assert AuditEntry.model_validate_json(AUDIT_LINE).model_extra == {}


def test_a_problem_says_what_the_framing_says() -> None:
    said = {"type", "title", "status", "detail", "code", "request_id"}

    assert {name for name, about in Problem.model_fields.items() if about.is_required()} == said
