"""Names as AWS and we allow them, checked before they touch a topic, a key or an ARN.

Sources: IoT CreateThing and CreateThingGroup (thingName, thingGroupName: 1-128 of ``[a-zA-Z0-9:_-]``).
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, StringConstraints

COMPONENT = "io.fleetgrass.Agent"

ThingName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9:_-]{1,128}$")]
GroupName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9:_-]{1,128}$")]
#: A DNS label, because it becomes part of container and network names.
ApplicationName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
#: Ours: ``{prefix}-{26 Crockford base32 digits}``, sortable by the time it was made.
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,8}-[0-9a-hjkmnp-tv-z]{26}$")]
#: A stable machine-readable reason, kebab-case.
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
#: ``thinggroup/{name}`` or ``thing/{name}``: the resource part of the target's ARN.
Target = Annotated[str, StringConstraints(pattern=r"^(thinggroup|thing)/[a-zA-Z0-9:_-]{1,128}$")]
#: Repository in ECR by digest: ``{account}.dkr.ecr.{region}.amazonaws.com/{repository}@sha256:{hex}``.
ImageReference = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?"
        r"/[a-z0-9]+([._/-][a-z0-9]+)*@sha256:[0-9a-f]{64}$",
        max_length=400,
    ),
]


class Nucleus(StrEnum):
    """Which Greengrass nucleus a device has, and so the group that deploys to it."""

    CLASSIC = "classic"
    LITE = "lite"


def known_nucleus(word: object) -> Nucleus | None:
    """Return the nucleus that ``word`` names; None for any other text, of a later release for example."""
    return Nucleus(word) if isinstance(word, str) and word in set(Nucleus) else None


#: As a device reports it: an unknown text is no reason to refuse the rest of the message.
SaidNucleus = Annotated[Nucleus | None, BeforeValidator(known_nucleus)]

#: Docker's names for what ``uname -m`` says.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv8l": "arm",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "i386": "386",
}


def docker_architecture(machine: str) -> str:
    """Return Docker's name for the ``machine`` of ``uname -m``; that word itself where we know none."""
    return _ARCHITECTURES.get(machine, machine)


_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def identifier(prefix: str, *, unix_ms: int, random80: int) -> str:
    """Return a sortable identifier: 48 bits of time, then 80 random bits (the ULID layout).

    ``unix_ms`` and ``random80`` are the caller's: this module reads no clock and no entropy.
    """
    value = ((unix_ms & ((1 << 48) - 1)) << 80) | (random80 & ((1 << 80) - 1))
    digits = "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))
    return f"{prefix}-{digits}"
