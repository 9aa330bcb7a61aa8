"""The ports to the stack's bucket."""

from datetime import timedelta
from typing import Protocol

BUNDLES_KEPT = timedelta(days=7)  # the bucket's lifecycle says the same


class Documents(Protocol):
    """Desired documents, written once and never changed."""

    def put(self, document: bytes) -> str: ...


class Bundles(Protocol):
    """Bundles of logs, put and fetched by presigned URLs, which are secrets while they last."""

    def put_url(self, device: str, command: str, *, expires_in_s: float) -> str: ...
    def get_url(self, device: str, command: str, *, expires_in_s: float) -> str: ...
