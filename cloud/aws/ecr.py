"""Images in ECR: a tag's digest, and the architectures where they are cheap to know. Pulls nothing."""

import json
from typing import Any

from cloud.aws.clients import translated
from cloud.aws.errors import NotFound
from cloud.ports.images import Image

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class Images:
    """The images of one registry."""

    def __init__(self, ecr: Any, registry_id: str) -> None:
        self._ecr = ecr
        self._registry_id = registry_id

    def resolve(self, repository: str, *, tag: str | None = None, digest: str | None = None) -> Image:
        """Return the image that ``tag``, or else ``digest``, names.

        Raises:
            NotFound: there is no such repository, tag or digest.
            Refused, Unavailable: ECR did not say.
        """
        wanted = {"imageTag": tag} if digest is None else {"imageDigest": digest}
        with translated():
            answer = self._ecr.describe_images(
                registryId=self._registry_id, repositoryName=repository, imageIds=[wanted]
            )
        if not answer["imageDetails"]:  # some emulators answer so instead of ImageNotFoundException
            raise NotFound(f"DescribeImages: {repository}")
        found = answer["imageDetails"][0]
        architectures: frozenset[str] = frozenset()
        if found.get("imageManifestMediaType") in _INDEXES:
            architectures = self._architectures(repository, found["imageDigest"])
        return Image(found["imageDigest"], architectures)

    def _architectures(self, repository: str, digest: str) -> frozenset[str]:
        with translated():
            answer = self._ecr.batch_get_image(
                registryId=self._registry_id,
                repositoryName=repository,
                imageIds=[{"imageDigest": digest}],
                acceptedMediaTypes=list(_INDEXES),
            )
        try:
            manifests = json.loads(answer["images"][0]["imageManifest"])["manifests"]
            named = {manifest["platform"]["architecture"] for manifest in manifests if "platform" in manifest}
        except (IndexError, KeyError, TypeError, ValueError):
            return frozenset()
        return frozenset(named - {"unknown"})  # attestations are listed as unknown/unknown
