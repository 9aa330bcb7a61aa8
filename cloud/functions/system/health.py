"""``GET /health``: whether the gateway and a function answer. Calls nothing and says nothing else."""

from collections.abc import Mapping

from cloud.http.gateway_events import Response
from cloud.http.public import public_handler


def health(_headers: Mapping[str, str]) -> Response:
    """Answer 200 with ``{"status": "ok"}``."""
    return Response(200, {"status": "ok"})


handler = public_handler(health, route="GET /health")
