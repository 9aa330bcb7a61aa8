"""``GET /health``: whether the gateway and a function answer. Asks nothing and tells nothing else."""

from collections.abc import Mapping

from cloud.gateway import Response
from cloud.public import public_handler


def health(_headers: Mapping[str, str]) -> Response:
    """Answer 200 with ``{"status": "ok"}``."""
    return Response(200, {"status": "ok"})


handler = public_handler(health, route="GET /health")
