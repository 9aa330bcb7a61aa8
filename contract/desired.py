"""Desired state: the applications of one revision of one target, as an immutable document.

Where a document is kept, and what names it, is ``contract.documents``'s.
"""

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from contract.applications import (
    Application,
    Bind,
    CommandHealthCheck,
    Dependency,
    DeviceAccess,
    HealthCheck,
    HttpHealthCheck,
    ImageHealthCheck,
    LogRotation,
    Port,
    Secret,
    TcpHealthCheck,
    Volume,
)
from contract.consistency import problems
from contract.cron import Cron
from contract.defaults import APPLICATIONS_MAX, WINDOWS_MAX
from contract.names import Identifier, Target
from contract.wire import Strict

__all__ = [
    "Application",
    "Bind",
    "CommandHealthCheck",
    "Dependency",
    "DesiredDocument",
    "DeviceAccess",
    "HealthCheck",
    "HttpHealthCheck",
    "ImageHealthCheck",
    "LogRotation",
    "MaintenanceWindow",
    "Port",
    "Secret",
    "TcpHealthCheck",
    "Volume",
]


def _cron(text: str) -> str:
    Cron.parse(text)
    return text


class MaintenanceWindow(Strict):
    """A time in which applications may be stopped for an update; it opens when ``cron`` says so."""

    cron: Annotated[str, StringConstraints(max_length=128), AfterValidator(_cron)]
    duration_min: Annotated[int, Field(ge=1, le=7 * 24 * 60)]
    time_zone: Literal["utc", "local"] = "utc"  # local: the device's own


class DesiredDocument(Strict):
    """All applications of one revision of a target. An empty list means: remove ours."""

    v: Literal[1] = 1
    target: Target
    revision: Annotated[int, Field(ge=1)]
    deployment_id: Identifier
    applications: Annotated[list[Application], Field(max_length=APPLICATIONS_MAX)]

    #: When one application fails, all go back together.
    atomic: bool = False
    #: Outside of these nothing that runs is stopped for an update; none means always.
    windows: Annotated[list[MaintenanceWindow], Field(max_length=WINDOWS_MAX)] = []
    #: Volumes of ours that no application here names are deleted, with what is in them.
    delete_volumes: bool = False
    #: Neither a window nor an update lock holds this revision back.
    force: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> "DesiredDocument":
        found = list(problems(self.applications))
        if found:
            raise ValueError("; ".join(found))
        return self

    def canonical(self) -> bytes:
        """Return the document's bytes: the same for the same meaning, on every machine."""
        return json.dumps(
            self.model_dump(mode="json", exclude_defaults=True) | {"v": self.v},
            sort_keys=True,
            separators=(",", ":"),
        ).encode()
