"""Manifests as registries give them, and a registry in memory that holds them."""

import hashlib
import json
from typing import Any

from edge.ports.engine import Credentials
from edge.ports.engine_errors import EngineError, ImageNotFound, RegistryDenied

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
REPOSITORY = "000000000000.dkr.ecr.eu-west-1.amazonaws.com/fleetgrass/web"
GOOD, STALE = Credentials("AWS", "good"), Credentials("AWS", "stale")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class MemoryRegistry:
    """A ``Registry`` with the images that were added; ``asked`` are the references, in order."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.error: EngineError | None = None
        self.asked: list[str] = []

    def add(self, architecture: str = "amd64", *layers: int) -> str:
        """Add an image for one kind of machine; return its reference."""
        configuration = json.dumps({"architecture": architecture, "os": "linux"}).encode()
        parts = [{"digest": digest_of(str(size).encode()), "size": size} for size in layers]
        description = {"digest": self._keep(configuration), "size": len(configuration)}
        manifest = {"mediaType": MANIFEST, "config": description, "layers": parts}
        return f"{REPOSITORY}@{self._keep(json.dumps(manifest).encode())}"

    def add_index(self, **references: str) -> str:
        """Add one image for several kinds of machine, and what build tools put beside them."""
        variants: list[dict[str, Any]] = [_variant("unknown", "unknown", "sha256:0")]
        for architecture, reference in references.items():
            variants.append(_variant("linux", architecture, reference.partition("@")[2]))
        return f"{REPOSITORY}@{self._keep(json.dumps({'mediaType': INDEX, 'manifests': variants}).encode())}"

    def manifest(self, reference: str, credentials: Credentials) -> bytes:
        return self._get(reference, reference.partition("@")[2], credentials)

    def blob(self, reference: str, digest: str, credentials: Credentials) -> bytes:
        return self._get(reference, digest, credentials)

    def _get(self, reference: str, digest: str, credentials: Credentials) -> bytes:
        self.asked.append(reference)
        if self.error is not None:
            raise self.error
        if credentials != GOOD:
            raise RegistryDenied("answers 401")
        if digest not in self.content:
            raise ImageNotFound("does not have it")
        return self.content[digest]

    def _keep(self, content: bytes) -> str:
        self.content[digest_of(content)] = content
        return digest_of(content)


def _variant(system: str, architecture: str, digest: str) -> dict[str, Any]:
    return {"digest": digest, "size": 1, "platform": {"os": system, "architecture": architecture}}
