"""API Gateway's events and answers: payload 2.0, JSON and problem documents (RFC 9457).

Checks shapes and sizes only; permissions and the work are ``cloud.http.handler``'s and the operations'.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from cloud.auth.permissions import Caller, Kind
from cloud.domain.deployments.image_references import RepositoryName
from contract.names import ApplicationName, GroupName, Identifier, ThingName

BODY_MAX_BYTES = 320 * 1024  # a desired document of 256 KiB, and room for white space
RETRY_AFTER_S = 2  # where a problem that passes does not say better
RETRY_LATER = frozenset({429, 503})  # the statuses of what passes
PATH_PARAMETERS: Mapping[str, TypeAdapter[str]] = {
    "device": TypeAdapter(ThingName),
    "app": TypeAdapter(ApplicationName),
    "command": TypeAdapter(Identifier),
    "deployment": TypeAdapter(Identifier),
    "group": TypeAdapter(GroupName),
    "reboot": TypeAdapter(Identifier),
    "repository": TypeAdapter(RepositoryName),
}
_KINDS: Mapping[str, Kind] = {"user": "user", "application": "application"}


class Problem(Exception):
    """An answer that is not a success; ``extra`` becomes further members of the document."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra


@dataclass(frozen=True, slots=True)
class Response:
    """A success: status, JSON body (datetimes allowed; None for no body) and further headers.

    ``text`` is an answer that is not JSON, with its media type. ``before`` and ``after`` are for the
    audit: the small facts that this call changed.
    """

    status: int
    body: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    text: tuple[str, str] | None = None
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)


INTERNAL = Problem(500, "internal-error", "an internal error; find it in the log by the request id")


def request_id_of(event: object, context: object) -> str:
    """Return the gateway's id of the request, else Lambda's: visible ASCII, whatever the event is."""
    try:
        request_id = event["requestContext"]["requestId"]  # type: ignore[index]
    except (KeyError, TypeError):
        request_id = getattr(context, "aws_request_id", "")
    return re.sub(r"[^!-~]", "", str(request_id))[:128]


def caller_of(event: Mapping[str, Any]) -> Caller | None:
    """Return the caller whom the authorizer passed on; None where there is none."""
    try:
        context = event["requestContext"]["authorizer"]["lambda"]
        return Caller(
            issuer=context["issuer"],
            subject=context["subject"],
            kind=_KINDS[context["kind"]],
            roles=tuple(context["roles"].split()),
            expires_at=int(context["exp"]),
            application=context.get("application", ""),
            token_id=context.get("token_id", ""),
        )
    except (KeyError, AttributeError, TypeError, ValueError):
        return None


def headers_of(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers, names in lower case."""
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def raw_path_of(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the path's parameters, decoded; they may be anything, and the event too."""
    given = event.get("pathParameters")
    return {name: unquote(str(each)) for name, each in given.items()} if isinstance(given, Mapping) else {}


def path_of(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the path's parameters, decoded.

    Raises:
        Problem: 400 ``invalid-parameter``: one does not match its AWS pattern.
    """
    path = raw_path_of(event)
    for name, value in path.items():
        try:
            PATH_PARAMETERS[name].validate_python(value)
        except ValidationError:
            raise Problem(400, "invalid-parameter", f"{name}: not a valid name", field=name) from None
    return path


def body_of(event: Mapping[str, Any]) -> bytes:
    """Return the body.

    Raises:
        Problem: 400 ``invalid-body``, 413 ``body-too-large``.
    """
    text = event.get("body") or ""
    if not isinstance(text, str):
        raise Problem(400, "invalid-body", "the body is not a text")
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except (binascii.Error, ValueError):
        raise Problem(400, "invalid-body", "the body is not base64 as its event says") from None
    if len(body) > BODY_MAX_BYTES:
        raise Problem(
            413, "body-too-large", f"the body is {len(body)} bytes; at most {BODY_MAX_BYTES} are taken"
        )
    return body


def answer(response: Response, request_id: str) -> dict[str, Any]:
    """Return the gateway's form of a success."""
    answer: dict[str, Any] = {
        "statusCode": response.status,
        "headers": {**response.headers, "x-request-id": request_id},
    }
    if response.text is not None:
        answer["headers"]["content-type"], answer["body"] = response.text
    elif response.body is not None:
        answer["headers"]["content-type"] = "application/json"
        answer["body"] = json.dumps(response.body, default=_json_default, separators=(",", ":"))
    return answer


def problem_answer(problem: Problem, request_id: str) -> dict[str, Any]:
    """Return the gateway's form of a problem document; one that passes says when to come again."""
    document = {
        "type": f"urn:fleetgrass:problem:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
    }
    headers = problem.headers | {"content-type": "application/problem+json", "x-request-id": request_id}
    if problem.status in RETRY_LATER:
        headers.setdefault("retry-after", str(RETRY_AFTER_S))
    return {
        "statusCode": problem.status,
        "headers": headers,
        "body": json.dumps({**problem.extra, **document}, default=_json_default, separators=(",", ":")),
    }


def _json_default(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"not JSON: {type(value).__name__}")
