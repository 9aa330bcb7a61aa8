"""Client of the HTTP API, as any operator with a token would use it."""

from collections.abc import Mapping
from typing import Any

import requests


class Api:
    """Calls the API with one caller's token; every answer is ``(status, body)``, errors included."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of this machine's owner has no business on loopback
        if token is not None:
            self._session.headers["authorization"] = f"Bearer {token}"

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Answer ``GET path``."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Mapping[str, object]) -> tuple[int, dict[str, Any]]:
        """Answer ``POST path`` with ``body`` as JSON."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, object] | None) -> tuple[int, dict[str, Any]]:
        answer = self._session.request(method, self._url + path, json=body, timeout=30)
        found = answer.json() if answer.content else {}
        return answer.status_code, found if isinstance(found, dict) else {"body": found}
