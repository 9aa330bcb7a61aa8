"""What the agent is told from outside: the component's configuration and its environment.

Read leniently, because Nucleus Lite turns the scalars of a YAML recipe into strings and a list may
come as JSON in a string; but never guessed: a value that means nothing is refused in one line that
names its key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from contract.defaults import DISK_FLOOR_BYTES, HEARTBEAT_S, REBOOT_BUDGET, REBOOT_GRACE_S
from contract.names import ThingName
from edge.containers.secrets import SECRETS_FOLDER
from edge.lenient import from_json
from edge.link import Link, Missing, NotSupported
from edge.policy import DEFAULT, Policy

_REBOOT = ["systemctl", "reboot"]


class ConfigurationInvalid(Exception):
    """A value cannot be used; the text is one line that starts with its key."""

    code = "configuration-invalid"


def _address(value: str) -> str:
    ip_address(value)
    return value


class DesiredReference(BaseModel):
    """Where the desired document is; not judged here, so that a bad one is reported, not fatal."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    document_uri: str | None = None


class Settings(BaseModel):
    """The component's configuration with the recipe's defaults; keys of others are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    desired: Annotated[DesiredReference | None, BeforeValidator(from_json)] = None
    publish_address: Annotated[str, AfterValidator(_address)] = "0.0.0.0"
    registry_mirrors: Annotated[dict[str, str], BeforeValidator(from_json)] = {}
    heartbeat_s: Annotated[float, Field(ge=0.2, le=86_400)] = HEARTBEAT_S
    boot_id_path: Path = Path("/proc/sys/kernel/random/boot_id")
    reboot_command: Annotated[list[str], BeforeValidator(from_json), Field(min_length=1)] = [
        "systemctl",
        "reboot",
    ]
    reboot_grace_s: Annotated[float, Field(gt=0, le=3_600)] = REBOOT_GRACE_S
    reboot_budget: Annotated[int, Field(ge=0, le=100)] = REBOOT_BUDGET
    disk_floor_mib: Annotated[int, Field(ge=0, le=1 << 30)] = DISK_FLOOR_BYTES >> 20  # or a share of the disk
    healthy_poll_s: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    secrets_folder: Path = SECRETS_FOLDER
    policy: Annotated[Policy, BeforeValidator(from_json)] = DEFAULT
    report_usage: bool = False  # each application's cpu and memory in every report
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def document_uri(self) -> str | None:
        """The reference to the desired document; None when this device is not managed yet."""
        return self.desired.document_uri if self.desired is not None else None


def parse_settings(configuration: Mapping[str, object]) -> Settings:
    """Return the settings in a component configuration; null means the default.

    Raises:
        ConfigurationInvalid: the first key that cannot be used, and why.
    """
    given = {key: value for key, value in configuration.items() if value is not None}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"]).encode("unicode_escape").decode()
        raise ConfigurationInvalid(f"{key}: {first['msg']}") from None


def read_settings(link: Link) -> Settings:
    """Return the settings as the nucleus has them now.

    Raises:
        ConfigurationInvalid: see ``parse_settings``.
        LinkError: the nucleus did not answer.
    """
    try:
        return parse_settings(link.configuration())
    except Missing:
        return Settings()
    except NotSupported:
        return parse_settings(_key_by_key(link))  # Lite cannot return a whole configuration near 12 KB


def _key_by_key(link: Link) -> Mapping[str, object]:
    found: dict[str, object] = {}
    for key, field in Settings.model_fields.items():
        try:
            value = link.configuration(key)
        except Missing:
            continue
        scalar = set(value) == {key} and field.annotation not in (dict[str, str], Policy)
        found[key] = value[key] if scalar else value
    return found


@dataclass(frozen=True, slots=True)
class Environment:
    """What the nucleus gives a component in its environment."""

    thing: str
    ipc_socket: str
    ipc_token: str


class _Given(BaseModel):
    AWS_IOT_THING_NAME: ThingName
    AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT: Annotated[str, StringConstraints(min_length=1)]
    SVCUID: Annotated[str, StringConstraints(min_length=1)]


def parse_environment(variables: Mapping[str, str]) -> Environment:
    """Return the component's environment.

    Raises:
        ConfigurationInvalid: a variable is missing or wrong; the text names it, never its value.
    """
    try:
        given = TypeAdapter(_Given).validate_python(dict(variables))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ConfigurationInvalid(f"{first['loc'][0]}: {first['msg']}") from None
    return Environment(
        given.AWS_IOT_THING_NAME, given.AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT, given.SVCUID
    )
