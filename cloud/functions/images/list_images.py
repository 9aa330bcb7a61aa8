"""``GET /images``: the repositories that devices may pull from, in order of name."""

from cloud.aws.account import Account
from cloud.domain.deployments.image_references import RepositoryName
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import After, Limited, following
from cloud.ports.catalog import Catalog
from cloud.wiring.catalog import catalog


class RepositoriesQuery(Limited):
    """Query of the list of repositories."""

    cursor: After[RepositoryName] = None


def list_images(request: Request, *, catalog: Catalog) -> Response:
    """Answer with ``{repositories, cursor, truncated}``; the last says that ECR holds more than we look at.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong.
    """
    query = request.query(RepositoriesQuery)
    found, truncated = catalog.repositories()
    rest = [one for one in found if query.cursor is None or one.name > query.cursor]
    shown = [{"name": one.name, "uri": one.uri, "created_at": one.created_at} for one in rest[: query.limit]]
    cursor = following(rest[query.limit - 1].name) if len(rest) > query.limit else None
    return Response(200, {"repositories": shown, "cursor": cursor, "truncated": truncated})


def _operation(request: Request) -> Response:
    return list_images(request, catalog=catalog(Account.of_function(request.function_arn)))


handler = lambda_handler(_operation, route="GET /images")
