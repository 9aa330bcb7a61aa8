"""Registry manifests: which machines an image is for, and how much comes down. Pure."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
#: What else a machine runs that is not named after it.
_RUNS_TOO = {"amd64": ("386",), "arm64": ("arm",)}


class ManifestUnreadable(ValueError):
    """It is no manifest of a known kind."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Platform(_Part):
    architecture: str
    os: str


class Blob(_Part):
    """Something to fetch by its digest."""

    digest: str
    size: Annotated[int, Field(ge=0)]


class _Variant(Blob):
    platform: _Platform | None = None


class Index(_Part):
    """One image for several kinds of machine."""

    manifests: list[_Variant]

    def variant(self, architecture: str) -> str | None:
        """Return the digest of the manifest for this machine; None: there is none."""
        found = dict(self._on_linux())
        names = (architecture, *_RUNS_TOO.get(architecture, ()))
        return next((found[name] for name in names if name in found), None)

    def architectures(self) -> tuple[str, ...]:
        """Return the machines that it is for."""
        return tuple(dict(self._on_linux()))

    def _on_linux(self) -> Iterator[tuple[str, str]]:
        for each in self.manifests:
            if each.platform is not None and each.platform.os == "linux":
                yield each.platform.architecture, each.digest


class Manifest(_Part):
    """One image for one kind of machine, which its configuration names."""

    config: Blob
    layers: list[Blob]

    def sizes(self) -> Mapping[str, int]:
        """Return the compressed size of each layer, by digest: layers are shared between images."""
        return {layer.digest: layer.size for layer in self.layers}


class Configuration(_Part):
    """The part of an image's configuration that says for which machine it is."""

    architecture: str


def parse(content: bytes) -> Index | Manifest:
    """Return what a manifest says.

    Raises:
        ManifestUnreadable
    """
    try:
        return _ANY.validate_json(content)
    except ValidationError as error:
        raise ManifestUnreadable(f"{error.error_count()} errors") from None


def parse_configuration(content: bytes) -> Configuration:
    """Return what an image's configuration says of its machine.

    Raises:
        ManifestUnreadable
    """
    try:
        return Configuration.model_validate_json(content)
    except ValidationError as error:
        raise ManifestUnreadable(f"{error.error_count()} errors") from None


def runs_on(image: str, machine: str) -> bool:
    """Whether an image for ``image`` runs on ``machine``, both as Docker names architectures."""
    return image == machine or image in _RUNS_TOO.get(machine, ())


_ANY: TypeAdapter[Index | Manifest] = TypeAdapter(Index | Manifest)
