"""``GET /health``: whether the gateway and a function answer. Asks nothing and tells nothing else."""

from cloud.gateway import Response
from cloud.public import public_handler


def health() -> Response:
    """Answer 200 with ``{"status": "ok"}``."""
    return Response(200, {"status": "ok"})


handler = public_handler(health, route="GET /health")
