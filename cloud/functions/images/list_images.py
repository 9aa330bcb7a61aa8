"""``GET /images``: the repositories that devices may pull from, in order of name."""

from pydantic import TypeAdapter

from cloud.aws.account import Account
from cloud.domain.deployments.image_references import RepositoryName
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from cloud.http.paging import after, following, limit
from cloud.ports.catalog import Catalog
from cloud.wiring.catalog import catalog

_REPOSITORY = TypeAdapter(RepositoryName)


def list_images(request: Request, *, catalog: Catalog) -> Response:
    """Answer with ``{repositories, cursor, truncated}``; the last says that ECR holds more than we look at.

    Raises:
        Problem: 400 for a parameter that is unknown or wrong.
    """
    previous, room = after(request, _REPOSITORY), limit(request)
    found, truncated = catalog.repositories()
    rest = [one for one in found if previous is None or one.name > previous]
    shown = [{"name": one.name, "uri": one.uri, "created_at": one.created_at} for one in rest[:room]]
    cursor = following(rest[room - 1].name) if len(rest) > room else None
    return Response(200, {"repositories": shown, "cursor": cursor, "truncated": truncated})


def _operation(request: Request) -> Response:
    return list_images(request, catalog=catalog(Account.of_function(request.function_arn)))


handler = lambda_handler(_operation, route="GET /images")
