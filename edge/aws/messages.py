"""Messages between the agent and its short-lived AWS process: one JSON line each way."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GetDocument(_Message):
    """Give me an object of S3, if it is not larger than ``max_bytes``."""

    kind: Literal["get-document"] = "get-document"
    bucket: str
    key: str
    max_bytes: int


class GetRegistryLogin(_Message):
    """Give me a login for an ECR registry."""

    kind: Literal["get-registry-login"] = "get-registry-login"
    registry: str


class GetSecrets(_Message):
    """Give me the values of all these sources (``secretsmanager:NAME``, ``ssm:NAME``), or of none."""

    kind: Literal["get-secrets"] = "get-secrets"
    sources: Annotated[list[str], Field(min_length=1, max_length=64)]


class Document(_Message):
    """An object's bytes."""

    kind: Literal["document"] = "document"
    base64: str


class RegistryLogin(_Message):
    """A login and its end. Never logged; ``repr`` does not show the password."""

    kind: Literal["registry-login"] = "registry-login"
    username: str
    password: Annotated[str, Field(repr=False)]
    expires_at: datetime


class SecretValues(_Message):
    """Every source's value, in base64. Never logged; ``repr`` shows none."""

    kind: Literal["secret-values"] = "secret-values"
    values: Annotated[dict[str, str], Field(repr=False)]


class Failure(_Message):
    """It could not be had, and why."""

    kind: Literal["failure"] = "failure"
    code: str
    message: str


Request = GetDocument | GetRegistryLogin | GetSecrets
Answer = Document | RegistryLogin | SecretValues | Failure

REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])
