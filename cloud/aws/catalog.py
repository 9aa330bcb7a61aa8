"""The image catalog: ECR repositories below the stack's prefix, their images, tags, sizes and scans."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from cloud.aws.clients import translated
from cloud.ports.catalog import Repository, StoredImage

#: Calls of one answer: a registry holds at most 100,000 repositories, a page of ECR's at most 1,000.
_PAGES_MAX = 4
_PAGE = 1_000


class Catalog:
    """The repositories below ``prefix`` of one registry."""

    def __init__(self, ecr: Any, registry_id: str, prefix: str) -> None:
        self._ecr = ecr
        self._registry_id = registry_id
        self._prefix = f"{prefix}/"

    def repositories(self) -> tuple[list[Repository], bool]:
        """Return the repositories in order of name, and whether ECR holds more than were looked at."""
        found: list[Repository] = []
        following: dict[str, str] = {}
        for _ in range(_PAGES_MAX):
            with translated():
                page = self._ecr.describe_repositories(
                    registryId=self._registry_id, maxResults=_PAGE, **following
                )
            found += [
                Repository(
                    one["repositoryName"].removeprefix(self._prefix),
                    one["repositoryUri"],
                    one["createdAt"].astimezone(UTC),
                )
                for one in page["repositories"]
                if one["repositoryName"].startswith(self._prefix)
            ]
            if not page.get("nextToken"):
                return sorted(found, key=lambda one: one.name), False
            following = {"nextToken": page["nextToken"]}
        return sorted(found, key=lambda one: one.name), True

    def images(self, repository: str) -> tuple[list[StoredImage], bool]:
        """Return a repository's images, the newest push first, and whether there are more than that.

        Raises:
            NotFound: there is no such repository below the prefix.
        """
        found: list[StoredImage] = []
        following: dict[str, str] = {}
        for _ in range(_PAGES_MAX):
            with translated():
                page = self._ecr.describe_images(
                    registryId=self._registry_id,
                    repositoryName=self._prefix + repository,
                    maxResults=_PAGE,
                    **following,
                )
            found += [_image(detail) for detail in page["imageDetails"]]
            if not page.get("nextToken"):
                return _newest_first(found), False
            following = {"nextToken": page["nextToken"]}
        return _newest_first(found), True


def _newest_first(images: list[StoredImage]) -> list[StoredImage]:
    return sorted(images, key=lambda image: (-image.pushed_at.timestamp(), image.digest))


def _image(detail: Mapping[str, Any]) -> StoredImage:
    scan = detail.get("imageScanFindingsSummary") or {}
    scanned_at = scan.get("imageScanCompletedAt")
    return StoredImage(
        digest=detail["imageDigest"],
        tags=tuple(sorted(detail.get("imageTags") or ())),
        size_bytes=detail.get("imageSizeInBytes"),
        pushed_at=detail["imagePushedAt"].astimezone(UTC),
        media_type=detail.get("imageManifestMediaType"),
        scan_status=(detail.get("imageScanStatus") or {}).get("status"),
        scanned_at=scanned_at and scanned_at.astimezone(UTC),
        findings=dict(scan.get("findingSeverityCounts") or {}),
    )
