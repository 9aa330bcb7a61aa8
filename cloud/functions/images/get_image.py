"""``GET /images/{repository}``: a repository's images, the newest push first, and the one a tag names."""

from typing import Annotated

from pydantic import Field

from cloud.aws.account import Account
from cloud.aws.errors import NotFound
from cloud.domain.deployments.image_references import Digest, Tag
from cloud.http.gateway_events import Problem, Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import After, Limited, following
from cloud.ports.catalog import Catalog, StoredImage
from cloud.wiring.catalog import catalog


class ImagesQuery(Limited):
    """Query of a repository's images."""

    cursor: After[Digest] = None
    tag: Annotated[Tag | None, Field(description="Only the image of this tag")] = None


def get_image(request: Request, *, catalog: Catalog) -> Response:
    """Answer with ``{repository, images, cursor, truncated}``; ``?tag=`` leaves the one image of that tag.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong, 404 ``repository-not-found``,
            ``tag-not-found``.
    """
    query = request.query(ImagesQuery)
    repository = request.path["repository"]
    try:
        found, truncated = catalog.images(repository)
    except NotFound:
        raise Problem(404, "repository-not-found", f"there is no repository {repository}") from None
    if query.tag is not None:
        found = [image for image in found if query.tag in image.tags]
        if not found:
            raise Problem(404, "tag-not-found", f"{repository} has no image tagged {query.tag}")
    rest = found[_position(found, query.cursor) :]
    cursor = following(rest[query.limit - 1].digest) if len(rest) > query.limit else None
    return Response(
        200,
        {
            "repository": repository,
            "images": [_shown(image) for image in rest[: query.limit]],
            "cursor": cursor,
            "truncated": truncated,
        },
    )


def _position(images: list[StoredImage], previous: str | None) -> int:
    """Return where the page begins: after the image that the page before ended with, if it is still there."""
    if previous is None:
        return 0
    return next((i + 1 for i, image in enumerate(images) if image.digest == previous), len(images))


def _shown(image: StoredImage) -> dict[str, object]:
    scan: dict[str, object] | None = None
    if image.scan_status is not None or image.scanned_at is not None:
        scan = {
            "status": image.scan_status or "COMPLETE",
            "completed_at": image.scanned_at,
            "findings": dict(image.findings),
        }
    return {
        "digest": image.digest,
        "tags": list(image.tags),
        "size_bytes": image.size_bytes,
        "pushed_at": image.pushed_at,
        "media_type": image.media_type,
        "scan": scan,
    }


def _operation(request: Request) -> Response:
    return get_image(request, catalog=catalog(Account.of_function(request.function_arn)))


handler = lambda_handler(_operation, route="GET /images/{repository}")
