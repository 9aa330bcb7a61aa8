"""Models of answers about images."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from cloud.openapi.models.answers import Answer, Cursor


class Repository(Answer):
    """A repository that devices may pull from; ``name`` is the part below the stack's prefix."""

    name: str
    uri: str
    created_at: datetime


class RepositoryPage(Answer):
    """Repositories in order of name; ``truncated``: ECR holds more than were looked at."""

    repositories: list[Repository]
    cursor: Cursor
    truncated: bool


class Scan(Answer):
    """ECR's scan of an image; ``findings`` counts by severity."""

    status: str
    completed_at: datetime | None
    findings: dict[str, int]


class StoredImage(Answer):
    """An image in a repository."""

    digest: str
    tags: list[str]
    size_bytes: Annotated[int | None, Field(description="Compressed, as ECR counts it.")]
    pushed_at: datetime
    media_type: str | None
    scan: Scan | None


class ImagePage(Answer):
    """A repository's images, the newest push first."""

    repository: str
    images: list[StoredImage]
    cursor: Cursor
    truncated: bool
