"""Getting an image onto the engine, with a login for each pull and a fresh one after a refusal."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from edge.containers.registry import RegistryCredentials, references, registry_host
from edge.engine.errors import RegistryDenied
from edge.engine.port import Engine, Told

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Puller:
    """Gets images by digest, through a mirror where there is one. Any thread may ask."""

    engine: Engine
    credentials: RegistryCredentials
    mirrors: Mapping[str, str]

    def fetch(self, image: str, told: Told) -> str:
        """Return the reference under which the engine has ``image`` by digest, pulling it where it must.

        What is there already needs no registry and no login. A login that the registry refuses is
        replaced once, because tokens expire earlier than they say when a role changes.

        Raises:
            EngineError: the engine's or the registry's answer.
            CredentialsUnavailable: no login can be had.
        """
        names = references(image, self.mirrors)
        for name in names:
            if self.engine.has_image(name):
                return name
        host = registry_host(image)
        try:
            self.engine.pull(names[0], self.credentials.get(host), told)
        except RegistryDenied:
            log.info("registry refused the login, asking for a fresh one: registry=%s", host)
            self.engine.pull(names[0], self.credentials.get(host, fresh=True), told)
        return names[0]
