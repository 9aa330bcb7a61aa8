"""``GET /openapi.json``: the API's description, as it is committed."""

import hashlib
from collections.abc import Mapping
from functools import cache

from cloud.http.gateway_events import Response
from cloud.http.openapi_document import DOCUMENT
from cloud.http.preconditions import Preconditions, preconditions
from cloud.http.public import public_handler

_MAX_AGE_S = 300  # a deployment's new document is seen this much later at most


@cache
def _document() -> tuple[str, str]:
    """Return the document's text and its entity tag."""
    content = DOCUMENT.read_bytes()
    return content.decode(), f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def get_openapi(headers: Mapping[str, str]) -> Response:
    """Answer 200 with the document, or 304 to a caller that has it already (RFC 9110, If-None-Match).

    Raises:
        Problem: 400 ``invalid-precondition``.
    """
    text, tag = _document()
    # One copy in a cache serves every origin, and only the console's is answered with CORS headers.
    caching = {"etag": tag, "cache-control": f"public, max-age={_MAX_AGE_S}", "vary": "origin"}
    known = preconditions(headers).none_match
    if not Preconditions(match=None, none_match=known).hold(tag):
        return Response(304, headers=caching)
    return Response(200, headers=caching, text=("application/json", text))


handler = public_handler(get_openapi, route="GET /openapi.json")
