"""The agent's settings: the component's configuration and its environment.

Read leniently, because Nucleus Lite turns the scalars of a YAML recipe into strings and a list may
come as JSON in a string; but never guessed. A configured value that cannot be used never ends the agent: the
key keeps its last good value, else the default, and one log line names it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
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

from contract.names import ThingName
from edge.containers.execute.secrets import SECRETS_FOLDER
from edge.containers.model.policy import DEFAULT, Policy
from edge.defaults import DISK_FLOOR_BYTES, HEARTBEAT_S, REBOOT_BUDGET, REBOOT_GRACE_S
from edge.lenient_values import from_json
from edge.ports.link import Link, Missing, NotSupported

CONFIGURATION_INVALID = "configuration-invalid"
#: Says why a value that makes sense cannot be used on this machine, None when it can; by key.
Checks = Mapping[str, Callable[[object], str | None]]
#: What may stand for a registry's host in an image's name: a host, its port, folders.
_MIRROR = re.compile(
    r"(\[[0-9a-fA-F:]+\]|[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*)"
    r"(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
)


class EnvironmentInvalid(Exception):
    """A variable of the environment cannot be used; the text is one line that starts with its name."""


def _address(value: str) -> str:
    ip_address(value)
    if "%" in value:  # a scope, which no engine publishes on
        raise ValueError("must be an address without a scope")
    return value


def _text(value: str) -> str:
    """Refuse what no call of the system takes."""
    value.encode()  # UnicodeEncodeError is a ValueError
    if "\0" in value:
        raise ValueError("must not have a NUL in it")
    return value


def _path(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty")
    return _text(value) if isinstance(value, str) else value


def _mirror(value: str) -> str:
    if _MIRROR.fullmatch(value) is None:
        raise ValueError("must be a registry's host as image names have it, such as mirror.example:5000")
    return value


_File = Annotated[Path, BeforeValidator(_path)]
_Mirrors = dict[str, Annotated[str, AfterValidator(_mirror)]]
_Words = list[Annotated[str, AfterValidator(_text)]]


class DesiredReference(BaseModel):
    """The reference to the desired document; not checked here, so that a bad one is reported, not fatal."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    document_uri: str | None = None


class Settings(BaseModel):
    """The component's configuration with the recipe's defaults; keys of others are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    desired: Annotated[DesiredReference | None, BeforeValidator(from_json)] = None
    publish_address: Annotated[str, AfterValidator(_address)] = "0.0.0.0"
    registry_mirrors: Annotated[_Mirrors, BeforeValidator(from_json)] = {}
    heartbeat_s: Annotated[float, Field(ge=0.2, le=86_400)] = HEARTBEAT_S
    boot_id_path: _File = Path("/proc/sys/kernel/random/boot_id")
    reboot_command: Annotated[_Words, BeforeValidator(from_json), Field(min_length=1)] = [
        "systemctl",
        "reboot",
    ]
    reboot_grace_s: Annotated[float, Field(gt=0, le=3_600)] = REBOOT_GRACE_S
    reboot_budget: Annotated[int, Field(ge=0, le=100)] = REBOOT_BUDGET
    disk_floor_mib: Annotated[int, Field(ge=0, le=1 << 30)] = DISK_FLOOR_BYTES >> 20  # or a share of the disk
    healthy_poll_s: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    secrets_folder: _File = SECRETS_FOLDER
    policy: Annotated[Policy, BeforeValidator(from_json)] = DEFAULT
    report_usage: bool = False  # each application's cpu and memory in every report
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def document_uri(self) -> str | None:
        """The reference to the desired document; None when this device is not managed yet."""
        return self.desired.document_uri if self.desired is not None else None


DEFAULTS = Settings()


@dataclass(frozen=True, slots=True)
class Reading:
    """The settings to use, and the keys of the configuration that could not be used."""

    settings: Settings
    unusable: Mapping[str, str]  # why not, by key

    @property
    def complaint(self) -> str | None:
        """One line that names every key that cannot be used; None when all can."""
        return "; ".join(self.unusable.values()) or None


def parse_settings(
    configuration: Mapping[str, object], last_good: Settings = DEFAULTS, checks: Checks = MappingProxyType({})
) -> Reading:
    """Return the settings in a component configuration, judged key by key; null means the default.

    A key whose value cannot be used keeps its value in ``last_good``, and where that no longer passes
    ``checks`` either, the default. Never raises.
    """
    values: dict[str, object] = {}
    unusable: dict[str, str] = {}
    for key in Settings.model_fields:
        values[key] = getattr(DEFAULTS, key)
        given = configuration.get(key)
        if given is None:
            continue
        try:
            values[key] = _usable(key, given, checks)
        except _Unusable as error:
            unusable[key] = str(error)
            kept = getattr(last_good, key)
            if key not in checks or kept == values[key] or checks[key](kept) is None:
                values[key] = kept
    return Reading(DEFAULTS.model_copy(update=values), unusable)


class _Unusable(Exception):
    pass


def _usable(key: str, given: object, checks: Checks) -> object:
    try:
        value = getattr(Settings.model_validate({key: given}), key)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _Unusable(_one_line(f"{where}: {first['msg']}")) from None
    trouble = checks[key](value) if key in checks else None
    if trouble is not None and value != getattr(DEFAULTS, key):  # instead of a default there is nothing
        raise _Unusable(_one_line(f"{key}: {trouble}"))
    return value


def _one_line(text: str) -> str:
    return text.encode("unicode_escape").decode()


def read_settings(
    link: Link, last_good: Settings = DEFAULTS, checks: Checks = MappingProxyType({})
) -> Reading:
    """Return the settings as the nucleus has them now; see ``parse_settings``.

    Raises:
        LinkError: the nucleus did not answer.
    """
    try:
        return parse_settings(link.configuration(), last_good, checks)
    except Missing:
        return Reading(DEFAULTS, {})
    except NotSupported:  # Lite cannot return a whole configuration near 12 KB
        return parse_settings(_key_by_key(link), last_good, checks)


def _key_by_key(link: Link) -> Mapping[str, object]:
    found: dict[str, object] = {}
    for key in Settings.model_fields:
        try:
            value = link.configuration(key)
        except Missing:
            continue
        found[key] = value[key] if set(value) == {key} else value
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
        EnvironmentInvalid: a variable is missing or wrong; the text names it, never its value.
    """
    try:
        given = TypeAdapter(_Given).validate_python(dict(variables))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise EnvironmentInvalid(f"{first['loc'][0]}: {first['msg']}") from None
    return Environment(
        given.AWS_IOT_THING_NAME, given.AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT, given.SVCUID
    )
