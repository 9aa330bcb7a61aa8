"""What a component is started with: its scripts with variables replaced, and its environment."""

import logging
import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.core.configuration import Configuration, Json, KeyNotFound
from local.core.device import Device, Folder
from local.core.interpolation import as_text, interpolate, pointer
from local.core.ipc.components import Components
from local.core.lifecycle import Rendered
from local.core.recipe import Recipe, Script

log = logging.getLogger(__name__)

TOKEN_EXCHANGE = "aws.greengrass.TokenExchangeService"  # noqa: S105 - a component's name
NUCLEUS = "aws.greengrass.Nucleus"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all components of one power-on share."""

    device: Device
    folder: Folder
    configuration: Configuration
    components: Components
    socket: Path
    credentials_url: str


class ComponentLaunch:
    """A Launch (see lifecycle) out of a recipe."""

    def __init__(
        self, surroundings: Surroundings, recipe: Recipe, find: Callable[[str], Recipe | None]
    ) -> None:
        """``find`` knows the recipes of what else is installed, for ``{other:…}`` variables."""
        self.name = recipe.name
        self.folder = surroundings.folder.work(recipe.name)
        self.log = surroundings.folder.log(recipe.name)
        self.record = surroundings.folder.process(recipe.name)
        self._all = surroundings
        self._recipe = recipe
        self._find = find

    def install(self) -> Rendered | None:
        """See Launch."""
        return self._render(self._recipe.install)

    def run(self) -> Rendered | None:
        """See Launch."""
        return self._render(self._recipe.run)

    def token(self, *, new: bool) -> Mapping[str, str]:
        """See Launch."""
        components = self._all.components
        token = components.issue_token(self.name) if new else components.token_of(self.name)
        return {"SVCUID": token, "AWS_CONTAINER_AUTHORIZATION_TOKEN": token}

    def interpolated(self, value: Json) -> Json:
        """Return a configuration value with the variables in its texts replaced (classic, on request)."""
        match value:
            case dict():
                return {key: self.interpolated(item) for key, item in value.items()}
            case list():
                return [self.interpolated(item) for item in value]
            case str():
                return interpolate(value, self._variable, self._all.device.nucleus).text
            case _:
                return value

    def _render(self, script: Script | None) -> Rendered | None:
        if script is None:
            return None
        dialect = self._all.device.nucleus
        text = interpolate(script.text, self._variable, dialect)
        if text.failed_at is not None:
            log.error("script is cut off: component=%s variable=%s", self.name, text.failed_at)
        setenv = {
            key: interpolate(value, self._variable, dialect).text for key, value in script.environment.items()
        }
        return Rendered(text.text, {**self._environment(), **setenv}, script.timeout_s)

    def _environment(self) -> dict[str, str]:
        device, user = self._all.device, pwd.getpwuid(os.getuid())
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "PWD": str(self.folder),
            "AWS_IOT_THING_NAME": device.thing,
            "AWS_REGION": device.region,
            "AWS_DEFAULT_REGION": device.region,
            "AWS_ENDPOINT_URL": device.endpoint_url,
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self._all.socket),
            "GGC_VERSION": device.nucleus.version,
            "GG_ROOT_CA_PATH": str(device.ca_path),
        }
        if device.docker_host:
            environment["DOCKER_HOST"] = device.docker_host
        if TOKEN_EXCHANGE in self._recipe.dependencies:
            environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = self._all.credentials_url
        return environment

    def _variable(self, name: str) -> str | None:
        parts = name.split(":", 2)
        recipe: Recipe | None = self._recipe
        if len(parts) == 3 and parts[0] in self._recipe.dependencies:
            recipe = self._find(parts[0])
            parts = parts[1:]
        if recipe is None or len(parts) != 2:
            return None
        return self._own_variable(recipe, parts[0], parts[1])

    def _own_variable(self, recipe: Recipe, space: str, key: str) -> str | None:
        folder = self._all.folder
        match space, key:
            case "work", "path":
                return self._path(folder.work(recipe.name))
            case "artifacts", "path":
                return self._path(folder.artifacts(recipe.name, recipe.version))
            case "artifacts", "decompressedPath":
                return self._path(folder.unarchived(recipe.name, recipe.version))
            case "kernel", "rootPath":
                return str(folder.root)
            case "iot", "thingName":
                return self._all.device.thing
            case "configuration", _:
                try:
                    return as_text(self._all.configuration.get(recipe.name, pointer(key)))
                except KeyNotFound:
                    return None
            case _:
                return None

    def _path(self, path: Path) -> str:
        return f"{path}/" if self._all.device.nucleus.trailing_slash else str(path)
