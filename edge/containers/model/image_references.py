"""Image references to pull by, and whose credentials to use. Talks to no registry itself."""

from collections.abc import Mapping
from typing import Protocol

from edge.ports.coded_error import CodedError
from edge.ports.engine import Credentials


class CredentialsUnavailable(CodedError):
    """No registry credentials can be had now. ``code`` says why; only time helps."""


class RegistryCredentials(Protocol):
    """Registry logins, kept for their life. Asked from worker threads."""

    def get(self, registry_host: str, *, fresh: bool = False) -> Credentials:
        """Return the login for ``registry_host`` (as the image names it, never a mirror).

        ``fresh`` asks for a new one: the registry refused the one it was shown.

        Raises:
            CredentialsUnavailable: none can be had now.
        """


def registry_host(image: str) -> str:
    """Return the registry's host of an image reference."""
    return image.partition("/")[0]


def references(image: str, mirrors: Mapping[str, str]) -> tuple[str, ...]:
    """Return what to ask the engine for, best first: the mirror's name where there is one, then the image's.

    Only the first is ever pulled; the others are good when the engine already has them.
    """
    host, _, rest = image.partition("/")
    mirror = mirrors.get(host)
    return (f"{mirror}/{rest}", image) if mirror else (image,)
