"""Getting an image onto the engine, with a login for each pull and a fresh one after a refusal."""

import logging
from collections.abc import Mapping

from edge.containers.registry import RegistryCredentials, references, registry_host
from edge.engine.errors import RegistryDenied
from edge.engine.port import Engine

log = logging.getLogger(__name__)


def fetch(engine: Engine, credentials: RegistryCredentials, image: str, mirrors: Mapping[str, str]) -> str:
    """Return the reference under which the engine has ``image`` by digest, pulling it where it must.

    What is there already needs no registry and no login. A login that the registry refuses is
    replaced once, because tokens expire earlier than they say when a role changes.

    Raises:
        EngineError: the engine's or the registry's answer.
        CredentialsUnavailable: no login can be had.
    """
    names = references(image, mirrors)
    for name in names:
        if engine.has_image(name):
            return name
    host = registry_host(image)
    try:
        engine.pull(names[0], credentials.get(host))
    except RegistryDenied:
        log.info("registry refused the login, asking for a fresh one: registry=%s", host)
        engine.pull(names[0], credentials.get(host, fresh=True))
    return names[0]
