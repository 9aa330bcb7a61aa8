"""The name of a desired document: the SHA-256 of its bytes.

The component's configuration carries only ``desired: {document_uri: "s3://BUCKET/desired/{sha256}.json"}``.
"""

import hashlib
import re

_URI = re.compile(
    r"^s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>desired/(?P<sha256>[0-9a-f]{64})\.json)$"
)


def document_key(document: bytes) -> str:
    """Return the object key of a document: ``desired/{sha256}.json``."""
    return f"desired/{hashlib.sha256(document).hexdigest()}.json"


def parse_document_uri(uri: str) -> tuple[str, str, str]:
    """Return ``(bucket, key, sha256)`` of a document URI.

    Raises:
        ValueError: not an ``s3://BUCKET/desired/{sha256}.json``.
    """
    match = _URI.match(uri)
    if match is None:
        raise ValueError("document_uri must be s3://BUCKET/desired/{sha256}.json")
    return match["bucket"], match["key"], match["sha256"]
