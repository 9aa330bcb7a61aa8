"""Launch of a component: its scripts with variables replaced, and its environment."""

import logging
import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.greengrass.nucleus.components.lifecycle import Rendered
from local.greengrass.nucleus.components.ownership import give, give_contents, named
from local.greengrass.nucleus.components.process import User
from local.greengrass.nucleus.components.recipe import Recipe, Script
from local.greengrass.nucleus.configuration.interpolation import as_text, interpolate, pointer
from local.greengrass.nucleus.configuration.store import Configuration, Json, KeyNotFound
from local.greengrass.nucleus.device import Device, Folder
from local.greengrass.nucleus.ipc.components import Components

log = logging.getLogger(__name__)

TOKEN_EXCHANGE = "aws.greengrass.TokenExchangeService"  # noqa: S105 - a component's name
NUCLEUS = "aws.greengrass.Nucleus"


#: What the stand-in's own process needs and a nucleus does not have.
_OWN = frozenset(
    {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"}
    | {"PYTHONPATH", "PYTHONUNBUFFERED", "VIRTUAL_ENV"}
)


def _nucleus_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _OWN}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment that all components of one power-on share."""

    device: Device
    folder: Folder
    configuration: Configuration
    components: Components
    socket: Path
    credentials_url: Callable[[], str]
    environment: Mapping[str, str] = field(default_factory=_nucleus_environment)  # the nucleus' own


class ComponentLaunch:
    """A Launch (see lifecycle) out of a recipe."""

    def __init__(
        self,
        surroundings: Surroundings,
        recipe: Recipe,
        find: Callable[[str], Recipe | None],
        posix_user: str | None = None,
    ) -> None:
        """``find`` knows the recipes of what else is installed, for ``{other:…}`` variables.

        ``posix_user`` is whom the deployments want it to run as, instead of the default user.
        """
        self.name = recipe.name
        self.folder = surroundings.folder.work(recipe.name)
        self.log = surroundings.folder.log(recipe.name)
        self.record = surroundings.folder.process(recipe.name)
        self._all = surroundings
        self._recipe = recipe
        self._find = find
        if surroundings.device.nucleus.kind == "lite":
            posix_user = None
        self._user = named(posix_user or surroundings.device.component_user)

    def install(self) -> Rendered | None:
        """See Launch."""
        return self._render(self._recipe.install)

    def run(self) -> Rendered | None:
        """See Launch."""
        return self._render(self._recipe.run)

    def own(self) -> None:
        """See Launch."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._user is None:
            return
        give(self.folder, self._user)
        if self._all.device.nucleus.kind == "classic":
            of = (self.name, self._recipe.version)
            give_contents((self._all.folder.artifacts(*of), self._all.folder.unarchived(*of)), self._user)

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
        user = None if script.privileged else self._user
        return Rendered(text.text, {**self._environment(user), **setenv}, script.timeout_s, user)

    def _environment(self, user: User | None) -> dict[str, str]:
        device, who = self._all.device, pwd.getpwuid(user.uid if user else os.getuid())
        classic = device.nucleus.kind == "classic"
        environment = {
            **(self._all.environment if classic else {}),
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": who.pw_dir,
            "USER": who.pw_name,
            "PWD": str(self.folder),
            "AWS_IOT_THING_NAME": device.thing,
            "AWS_REGION": device.region,
            "AWS_DEFAULT_REGION": device.region,
            "AWS_ENDPOINT_URL": device.endpoint_url,
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self._all.socket),
            "GGC_VERSION": device.nucleus.version,
            "GG_ROOT_CA_PATH": str(device.ca_path),
            "FLEETGRASS_HOME": str(self._all.folder.home),
        }
        if classic:
            environment |= {
                "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH": str(self._all.socket),
                "AWS_GG_FIPS_MODE": "false",
                "AWS_USE_FIPS_ENDPOINT": "false",
            }
        if device.docker_host:
            environment["DOCKER_HOST"] = device.docker_host
        # Classic gives it to all as soon as it is installed, Lite to those that depend on it, hard or soft.
        if TOKEN_EXCHANGE in self._recipe.dependencies or (classic and self._find(TOKEN_EXCHANGE)):
            environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = self._all.credentials_url()
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
                return str(folder.nucleus)
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
