"""Models that all answers share, and those of no single resource."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Cursor = Annotated[str | None, Field(description="Of the next page; null on the last one.")]


class Answer(BaseModel):
    """Base of all answers: further members may be added."""

    model_config = ConfigDict(extra="allow", frozen=True)


class FieldError(Answer):
    """One wrong field of a request's body."""

    field: str
    message: str
    type: str


class Problem(Answer):
    """RFC 9457; ``code`` is stable, ``detail`` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    field: str | None = None
    errors: list[FieldError] = []


class GatewayMessage(BaseModel):
    """The gateway's own answer: no token, a refused one, too many requests, its own failures."""

    model_config = ConfigDict(frozen=True)

    message: str | None


class Description(Answer):
    """The API's description."""

    openapi: str
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    security: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]


class Health(Answer):
    """The API answers."""

    status: Literal["ok"]
