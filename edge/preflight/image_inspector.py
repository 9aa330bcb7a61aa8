"""Preflight of one image: whether it is for this machine, and how much would come down."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edge.containers.model.image_references import (
    CredentialsUnavailable,
    RegistryCredentials,
    references,
    registry_host,
)
from edge.ports.engine import Credentials, Engine
from edge.ports.engine_errors import EngineError, EngineUnavailable, RegistryDenied, WrongArchitecture
from edge.preflight.manifests import Index, ManifestUnreadable, parse, parse_configuration, runs_on

log = logging.getLogger(__name__)


class Registry(Protocol):
    """Port to a registry; see ``HttpRegistry``."""

    def manifest(self, reference: str, credentials: Credentials) -> bytes:
        """Return the manifest of a reference."""

    def blob(self, reference: str, digest: str, credentials: Credentials) -> bytes:
        """Return a small blob of a reference's repository."""


@dataclass(frozen=True, slots=True)
class ImageInspector:
    """Any thread may ask it; takes as long as the registry takes."""

    engine: Engine
    credentials: RegistryCredentials
    registry: Registry

    def estimate_pull_bytes(self, image: str, mirrors: Mapping[str, str]) -> int:
        """Return how many bytes a pull would fetch for an image that is not here; 0 where it is unknown.

        Raises what it is certain to fail with, or EngineUnavailable:
            EngineError
            CredentialsUnavailable
        """
        try:
            return sum(self.layers(image, mirrors).values())
        except EngineUnavailable:
            raise
        except (EngineError, CredentialsUnavailable) as error:
            if is_certain(error):
                raise
            log.info("image not looked into: image=%s code=%s", image, error.code)
        except ManifestUnreadable as error:
            log.info("image not looked into: image=%s error=%s", image, error)
        return 0

    def is_here(self, image: str, mirrors: Mapping[str, str]) -> bool:
        """Whether the engine has it under one of its names; raises EngineError."""
        return any(self.engine.has_image(name) for name in references(image, mirrors))

    def layers(self, image: str, mirrors: Mapping[str, str]) -> Mapping[str, int]:
        """Return what comes down for an image that is not here, by digest of the layer.

        Raises:
            EngineError: among them the registry's refusals, and WrongArchitecture.
            CredentialsUnavailable
            ManifestUnreadable
        """
        machine = self.engine.information().architecture
        host, reference = registry_host(image), references(image, mirrors)[0]
        login = self.credentials.get(host)
        try:
            found = parse(self.registry.manifest(reference, login))
        except RegistryDenied:
            login = self.credentials.get(host, fresh=True)
            found = parse(self.registry.manifest(reference, login))
        if isinstance(found, Index):
            digest = found.variant(machine)
            if digest is None:
                raise _for_another_machine(found.architectures(), machine)
            variant = parse(self.registry.manifest(f"{reference.partition('@')[0]}@{digest}", login))
            if isinstance(variant, Index):
                raise ManifestUnreadable("an index in an index")
            return variant.sizes()
        configuration = parse_configuration(self.registry.blob(reference, found.config.digest, login))
        if not runs_on(configuration.architecture, machine):
            raise _for_another_machine([configuration.architecture], machine)
        return found.sizes()


def is_certain(error: EngineError | CredentialsUnavailable) -> bool:
    """Whether asking again would give the same answer until a person changes something."""
    return error.retry == "never" if isinstance(error, EngineError) else error.code == "access-denied"


def _for_another_machine(architectures: Iterable[str], machine: str) -> WrongArchitecture:
    return WrongArchitecture(f"the image is for {', '.join(architectures)}, this device is {machine}")
