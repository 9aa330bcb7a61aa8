"""Desired state: the applications of one revision of one target, as an immutable document.

The document is content-addressed: its name is the SHA-256 of its bytes, and the component's
configuration carries only ``desired: {document_uri: "s3://BUCKET/desired/{sha256}.json"}``.
"""

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from contract.defaults import APPLICATIONS_MAX, HEALTHY_WINDOW_S, STOP_GRACE_S
from contract.names import ApplicationName, Identifier, ImageReference, Target
from contract.wire import Strict

PortNumber = Annotated[int, Field(ge=1, le=65_535)]
_URI = re.compile(
    r"^s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>desired/(?P<sha256>[0-9a-f]{64})\.json)$"
)


class Port(Strict):
    """A published port; without ``host_port`` the engine chooses one and the report says which."""

    container_port: PortNumber
    host_port: PortNumber | None = None
    protocol: Literal["tcp", "udp"] = "tcp"


class ImageHealthCheck(Strict):
    """Trust the image's own HEALTHCHECK; an image without one is healthy while it runs."""

    kind: Literal["image"] = "image"


class HttpHealthCheck(Strict):
    """Healthy when ``GET http://{container}:{port}{path}`` answers 200-399."""

    kind: Literal["http"]
    port: PortNumber  # the container's port, asked on the container's own address
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=256)] = "/"
    interval_s: Annotated[float, Field(ge=0.2, le=300)] = 5.0
    timeout_s: Annotated[float, Field(ge=0.1, le=60)] = 2.0


HealthCheck = Annotated[ImageHealthCheck | HttpHealthCheck, Field(discriminator="kind")]


class Application(Strict):
    """One named container on a device. Every field left out means its default, for ever."""

    name: ApplicationName
    image: ImageReference
    command: Annotated[list[str], Field(min_length=1, max_length=64)] | None = None
    env: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = {}
    ports: Annotated[list[Port], Field(max_length=32)] = []
    memory_mib: Annotated[int, Field(ge=6)] | None = None  # the engine's own minimum is 6 MiB
    restart: Literal["unless-stopped", "no"] = "unless-stopped"
    stop_grace_s: Annotated[float, Field(ge=0, le=3600)] = STOP_GRACE_S
    health_check: HealthCheck = ImageHealthCheck()
    healthy_window_s: Annotated[float, Field(ge=1, le=3600)] = HEALTHY_WINDOW_S

    def digest(self) -> str:
        """Return 64 hex digits that change exactly when the meaning of the specification does.

        Defaults are left out, so a field added later does not recreate every container. A default
        may therefore never change its value.
        """
        meaning = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


class DesiredDocument(Strict):
    """All applications of one revision of a target. An empty list means: remove ours."""

    v: Literal[1] = 1
    target: Target
    revision: Annotated[int, Field(ge=1)]
    deployment_id: Identifier
    applications: Annotated[list[Application], Field(max_length=APPLICATIONS_MAX)]

    @model_validator(mode="after")
    def _no_two_want_the_same(self) -> "DesiredDocument":
        names: set[str] = set()
        ports: dict[tuple[str, int], str] = {}
        for i, application in enumerate(self.applications):
            if application.name in names:
                raise ValueError(f'applications[{i}].name: "{application.name}" is used twice')
            names.add(application.name)
            for j, port in enumerate(application.ports):
                if port.host_port is None:
                    continue
                wanted = (port.protocol, port.host_port)
                if wanted in ports:
                    raise ValueError(
                        f"applications[{i}].ports[{j}].host_port: "
                        f'{port.host_port} is used by "{ports[wanted]}" too'
                    )
                ports[wanted] = application.name
        return self

    def canonical(self) -> bytes:
        """Return the document's bytes: the same for the same meaning, on every machine."""
        return json.dumps(
            self.model_dump(mode="json", exclude_defaults=True) | {"v": self.v},
            sort_keys=True,
            separators=(",", ":"),
        ).encode()


def document_key(document: bytes) -> str:
    """Return the object key of a document: ``desired/{sha256}.json``."""
    return f"desired/{hashlib.sha256(document).hexdigest()}.json"


def parse_document_uri(uri: str) -> tuple[str, str, str]:
    """Return ``(bucket, key, sha256)`` of a document URI.

    Raises:
        ValueError: not an ``s3://BUCKET/desired/{sha256}.json``.
    """
    match = _URI.match(uri)
    if match is None:
        raise ValueError("document_uri must be s3://BUCKET/desired/{sha256}.json")
    return match["bucket"], match["key"], match["sha256"]
