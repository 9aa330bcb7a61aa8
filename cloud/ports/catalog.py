"""The port to ECR for lists: repositories below the stack's prefix, and their images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository; ``name`` is the part below the prefix, ``uri`` the whole without a tag."""

    name: str
    uri: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image by digest; ``findings`` counts a finished scan's findings by severity."""

    digest: str
    tags: tuple[str, ...]
    size_bytes: int | None  # compressed, as ECR counts it
    pushed_at: datetime
    media_type: str | None = None
    scan_status: str | None = None
    scanned_at: datetime | None = None
    findings: Mapping[str, int] = field(default_factory=dict)


class Catalog(Protocol):
    """The repositories that devices may pull from."""

    def repositories(self) -> tuple[list[Repository], bool]: ...
    def images(self, repository: str) -> tuple[list[StoredImage], bool]: ...
