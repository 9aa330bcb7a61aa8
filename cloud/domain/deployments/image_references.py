"""Image references as an operator may write them, and what each means in our registry. Pure."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

_REPOSITORY = r"[a-z0-9]+(?:[._/-][a-z0-9]+)*"
#: A repository in our registry, or the part of its name below a prefix.
RepositoryName = Annotated[str, StringConstraints(pattern=f"^{_REPOSITORY}$", max_length=256)]
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
#: ``repo:tag``, ``repo@sha256:…``, maybe after a registry's host; never a bare name, which would mean latest.
PATTERN = (
    r"^([0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/)?"
    + _REPOSITORY.replace("(?:", "(")
    + r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$"
)
_PARTS = re.compile(
    r"(?:(?P<registry>[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?)/)?"
    rf"(?P<repository>{_REPOSITORY})"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True)
class WantedImage:
    """An image as asked for. With a ``digest`` the tag is ignored; ``registry`` None means ours."""

    registry: str | None
    repository: str
    tag: str | None
    digest: str | None


def parse_image(text: str) -> WantedImage:
    """Return what ``text``, which matches PATTERN, asks for.

    Raises:
        ValueError: it does not match.
    """
    found = _PARTS.fullmatch(text)
    if found is None or (found["tag"] is None and found["digest"] is None):
        raise ValueError("not an image by tag or digest")
    return WantedImage(found["registry"], found["repository"], found["tag"], found["digest"])
