"""The OpenAPI 3.1 document, generated from the routes, the operations' table and the models."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core.core_schema import DictSchema, NullableSchema

from cloud.auth.routes import PUBLIC_ROUTES, ROUTES
from cloud.http.gateway_events import BODY_MAX_BYTES, PATH_PARAMETERS, RETRY_LATER
from cloud.http.preconditions import TAGS
from cloud.http.query import Query
from cloud.openapi.examples import AUDIT_LINE, EXAMPLES, PARAMETERS
from cloud.openapi.models.answers import GatewayMessage, Problem
from cloud.openapi.operations import OPERATIONS, Operation

_REF = "#/components/schemas/{model}"
#: Who may do what (cloud.auth.permissions) is said with each operation; these may be answered to any.
_GATEWAY: Mapping[int, str] = {
    401: "No token, or one that has expired",
    403: "The token is refused, or its roles do not reach this",
    413: f"The body is larger than {BODY_MAX_BYTES} bytes, whether this takes one or not",
    429: "Too many requests",
    500: "A failure of ours; the request id finds it in the log",
    503: "A service behind this one did not answer: try again",
}


_CONDITIONS: Mapping[str, str] = {
    "If-Match": "Only if the target's newest revision has one of these ETags; `*`: if it has a revision.",
    "If-None-Match": "Only if the target's newest revision has none of these ETags; `*`: if it has none yet.",
}
_HEADERS: Mapping[str, tuple[str, str]] = {
    "X-Request-Id": (
        "string",
        "Finds the request in our log; the gateway's own answers call it apigw-requestid",
    ),
    "Retry-After": ("integer", "Seconds to wait; the gateway's own answers say none"),
    "Location": ("string", "Where to follow it"),
    "ETag": ("string", "Of what is answered, or of the revision"),
    "Link": ("string", 'Where the next page is, `rel="next"`; none on the last one'),
    "Cache-Control": ("string", "How long it may be kept"),
}


def document() -> dict[str, Any]:
    """Return the whole document."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted([*ROUTES, *PUBLIC_ROUTES], key=lambda route: (route.split(" ")[1], route)):
        method, path = route.split(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(route, OPERATIONS[route], schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fleetgrass",
            "version": "1",
            "summary": "Fleets of Linux edge devices: what runs where and why, and reboots with proof",
            "license": {"name": "Proprietary"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "headers": {
                name: {"description": description, "schema": {"type": kind}}
                for name, (kind, description) in _HEADERS.items()
            },
            "examples": {model.__name__: {"value": EXAMPLES[model]} for model in (Problem, GatewayMessage)},
            "schemas": schemas.definitions(),
        },
    }


def text() -> str:
    """Return the document as it is committed."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


class _ClosedMappings(GenerateJsonSchema):
    """As pydantic's, and a mapping whose names have a pattern takes no other name."""

    def dict_schema(self, schema: DictSchema) -> dict[str, Any]:
        said = super().dict_schema(schema)
        return said | {"additionalProperties": False} if "patternProperties" in said else said


class _QueryFields(GenerateJsonSchema):
    """As pydantic's, of a query's model: None is a parameter that is not there, and no value of it."""

    def nullable_schema(self, schema: NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])


def _query_parameters(model: type[Query]) -> list[dict[str, Any]]:
    found = model.model_json_schema(schema_generator=_QueryFields)
    parameters = []
    for name, field in found["properties"].items():
        type_of_its_own = found["$defs"][field.pop("$ref").rpartition("/")[2]] if "$ref" in field else {}
        schema = type_of_its_own | field
        del schema["title"]
        description = schema.pop("description")
        if schema["default"] is None:
            del schema["default"]
        parameters.append({"name": name, "in": "query", "description": description, "schema": schema})
    return parameters


class _Schemas:
    """The models that were referred to."""

    def __init__(self) -> None:
        self._wanted: dict[str, tuple[type[BaseModel], JsonSchemaMode]] = {}

    def reference(self, model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, str]:
        self._wanted[model.__name__] = (model, mode)
        return {"$ref": _REF.format(model=model.__name__)}

    def definitions(self) -> dict[str, Any]:
        wanted = list(self._wanted.values())
        _, schema = models_json_schema(wanted, ref_template=_REF, schema_generator=_ClosedMappings)
        found: dict[str, Any] = schema["$defs"]
        missing = self._wanted.keys() - found.keys()
        assert not missing, f"models of one name: {sorted(missing)}"  # noqa: S101 - a mistake of ours
        return dict(sorted(found.items()))


def _operation(route: str, operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    public = route in PUBLIC_ROUTES
    name = PUBLIC_ROUTES[route] if public else ROUTES[route].operation
    said: dict[str, Any] = {
        "operationId": name,
        "summary": operation.summary,
        "tags": [operation.tag],
    }
    if operation.description:
        said["description"] = operation.description
    if public:
        said["security"] = []
    else:
        said["x-role"] = ROUTES[route].role.canonical
    parameters = _parameters(route, operation)
    if parameters:
        said["parameters"] = parameters
    if operation.request is not None:
        content: dict[str, Any] = {"schema": schemas.reference(operation.request, "validation")}
        if operation.example is not None:
            content["example"] = operation.example
        said["requestBody"] = {
            "required": not operation.body_optional,
            "content": {"application/json": content},
        }
    said["responses"] = _responses(route, operation, schemas, public=public)
    return said


def _parameters(route: str, operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for segment in route.split("/"):
        if segment.startswith("{"):
            name = segment.strip("{}")
            schema = PATH_PARAMETERS[name].json_schema()
            found.append(
                {"name": name, "in": "path", "required": True, "schema": schema, "example": PARAMETERS[name]}
            )
    if operation.query is not None:
        found += _query_parameters(operation.query)
    if route.startswith("POST "):
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key with the same request is the same request, for 24 hours.",
                "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            }
        )
    if operation.conditional:
        for name, asks in _CONDITIONS.items():
            schema = {"type": "string", "pattern": f"^{TAGS}$"}
            found.append({"name": name, "in": "header", "description": asks, "schema": schema})
    if operation.cached:
        found.append(
            {
                "name": "If-None-Match",
                "in": "header",
                "description": "The ETag of what the caller has already.",
                "schema": {"type": "string", "pattern": f"^{TAGS}$"},
            }
        )
    return found


def _responses(route: str, operation: Operation, schemas: _Schemas, *, public: bool) -> dict[str, Any]:
    responses: dict[str, Any] = {str(operation.status): _success(operation, schemas)}
    if operation.cached:
        responses["304"] = {
            "description": "The caller has it already",
            "headers": _headers("X-Request-Id", "ETag", "Cache-Control"),
        }
    problems = dict(operation.problems)
    if not public:
        problems |= {status: _GATEWAY[status] for status in _GATEWAY if status not in problems}
        problems.setdefault(400, "The request is not shaped as it must be; every wrong field is named")
    else:
        problems |= {status: _GATEWAY[status] for status in (429, 500, 503)}
        problems[413] = "The body is larger than the gateway takes (10 MB)"
    if operation.request is not None and route.startswith("POST ") and not operation.idempotent:
        problems.setdefault(422, "The Idempotency-Key was used before with a different request")
    for status, description in sorted(problems.items()):
        content = {"application/problem+json": _shared(Problem, schemas)}
        if status in _GATEWAY:
            content["application/json"] = _shared(GatewayMessage, schemas)
        headers = _headers("X-Request-Id", *(["Retry-After"] if status in RETRY_LATER | {409} else []))
        responses[str(status)] = {"description": description, "headers": headers, "content": content}
    return responses


def _shared(model: type[BaseModel], schemas: _Schemas) -> dict[str, Any]:
    """Return the content of what many answers are, with the one example of it."""
    name = model.__name__
    example = {"$ref": f"#/components/examples/{name}"}
    return {"schema": schemas.reference(model, "serialization"), "examples": {name: example}}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _success(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    said: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if operation.response is not None:
        schema = schemas.reference(operation.response, "serialization")
        said["content"] = {operation.media_type: {"schema": schema, "example": EXAMPLES[operation.response]}}
    elif operation.media_type != "application/json":
        said["content"] = {operation.media_type: {"schema": {"type": "string"}, "example": AUDIT_LINE}}
    said["headers"] = _headers(
        "X-Request-Id",
        *(["Location"] if operation.location else []),
        *(["ETag", "Cache-Control"] if operation.cached else []),
        *operation.headers,
    )
    if operation.links:
        said["links"] = dict(operation.links)
    return said
