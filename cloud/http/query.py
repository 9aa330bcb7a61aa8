"""Query parameters: a model says which a route takes, and what each must be; every other is refused. Pure.

The model is the only place that says so: the handler's ``Request.query`` parses by it, and the OpenAPI
description shows it. What a field's own validator says of a wrong value is what the caller is told.
"""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from cloud.http.gateway_events import Problem


class Query(BaseModel):
    """The query parameters of a route: none but a model's own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


AnyQuery = TypeVar("AnyQuery", bound=Query)


def parse_query(parameters: Mapping[str, str], model: type[AnyQuery]) -> AnyQuery:
    """Return ``parameters`` as ``model``.

    Raises:
        Problem: 400 ``unknown-parameter`` or ``invalid-parameter``, its ``field`` the first that is wrong.
    """
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
    unknown = sorted(str(each["loc"][0]) for each in wrong if each["type"] == "extra_forbidden")
    if unknown:
        raise Problem(400, "unknown-parameter", f"{unknown[0]}: unknown parameter", field=unknown[0])
    first = wrong[0]
    said = first["ctx"]["error"] if first["type"] == "value_error" else "not a valid one"
    raise invalid_parameter(str(first["loc"][0]), str(said))


def invalid_parameter(name: str, complaint: str) -> Problem:
    """Return the problem of a parameter that is not as it must be."""
    return Problem(400, "invalid-parameter", f"{name}: {complaint}", field=name)


def saying(complaint: str) -> WrapValidator:
    """Return what has a field's wrong values refused as ``complaint``, whatever is wrong with them."""

    def validated(value: object, inner: ValidatorFunctionWrapHandler) -> object:
        try:
            return inner(value)
        except ValueError:  # a pydantic.ValidationError is one
            raise ValueError(complaint) from None

    return WrapValidator(validated)
