"""The port to ECR for one image: what a tag or digest names."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Image:
    """The image that a tag or digest names now; ``architectures`` is empty when it is unknown."""

    digest: str
    architectures: frozenset[str]


class Images(Protocol):
    """The images of one registry."""

    def resolve(self, repository: str, *, tag: str | None = None, digest: str | None = None) -> Image: ...
