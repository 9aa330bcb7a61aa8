"""Amazon resource names of Greengrass, taken apart and put together. Pure."""

import re
from dataclasses import dataclass

from local.greengrass.control_plane.errors import InvalidRequest

_COMPONENT = re.compile(
    r"^arn:[^:]*:greengrass:[^:]*:(?P<owner>aws|[0-9]+):components:(?P<name>[^:]+)(?::versions:(?P<version>[^:]+))?$"
)
_TARGET = re.compile(
    r"^arn:[^:]*:iot:[^:]*:[0-9]+:(?P<kind>thing|thinggroup)/(?P<name>[a-zA-Z0-9:_-]{1,128})$"
)


@dataclass(frozen=True, slots=True)
class Place:
    """The region and account in which everything here lives."""

    region: str
    account: str

    def component(self, name: str, *, owner: str | None = None) -> str:
        """Return the ARN of a component; ``owner`` is the account unless it is ``aws``."""
        return f"arn:aws:greengrass:{self.region}:{owner or self.account}:components:{name}"

    def configuration(self, target: "Target", revision: str) -> str:
        """Return the ARN that names a target's revision in the job document."""
        owner = f"arn:aws:greengrass:{self.region}:{self.account}"
        return f"{owner}:configuration:{target.kind}/{target.name}:{revision}"


@dataclass(frozen=True, slots=True)
class ComponentArn:
    """The parts of a component ARN; ``version`` is None for the component as a whole."""

    owner: str
    name: str
    version: str | None

    @classmethod
    def parse(cls, arn: str, *, versioned: bool) -> "ComponentArn":
        """Return the parts of ``arn``, which must (or must not) name a version.

        Raises:
            InvalidRequest: it is not such an ARN.
        """
        match = _COMPONENT.match(arn)
        if match is None or (match["version"] is not None) != versioned:
            shape = "component version" if versioned else "component"
            raise InvalidRequest(f"Invalid Input: {arn!r} is not the ARN of a {shape}")
        return cls(match["owner"], match["name"], match["version"])


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a deployment: a thing or a thing group."""

    kind: str
    name: str
    arn: str

    @classmethod
    def parse(cls, arn: object) -> "Target":
        """Return the target that ``arn`` names.

        Raises:
            InvalidRequest: it is not the ARN of a thing or thing group.
        """
        match = _TARGET.match(arn) if isinstance(arn, str) else None
        if match is None:
            raise InvalidRequest("Invalid Input: targetArn must be the ARN of a thing or a thing group")
        return cls(match["kind"], match["name"], match.string)
