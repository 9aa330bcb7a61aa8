"""What the agent and its short-lived AWS process say to each other: one JSON line each way."""

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


class Failure(_Message):
    """It could not be had, and why."""

    kind: Literal["failure"] = "failure"
    code: str
    message: str


Request = Annotated[GetDocument | GetRegistryLogin, Field(discriminator="kind")]
Answer = Annotated[Document | RegistryLogin | Failure, Field(discriminator="kind")]

REQUEST: TypeAdapter[GetDocument | GetRegistryLogin] = TypeAdapter(Request)
ANSWER: TypeAdapter[Document | RegistryLogin | Failure] = TypeAdapter(Answer)
