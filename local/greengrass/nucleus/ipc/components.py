"""IPC clients: components, the tokens that identify their connections, and their permissions."""

import base64
import secrets
import threading
from collections.abc import Callable, Iterable
from typing import Any

from local.greengrass.nucleus.ipc.consultation import Consultation

_TOKEN_BYTES = 12  # sixteen base64 characters, as the recorded nucleus gives them


class Components:
    """The components that IPC knows; safe from any thread."""

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        restart: Callable[[str], None] = lambda _name: None,
        set_state: Callable[[str, str], None] = lambda _name, _state: None,
        deploy: Callable[[str, dict[str, Any]], None] = lambda _id, _document: None,
    ) -> None:
        """Know ``names``; the calls serve RestartComponent, UpdateState and CreateLocalDeployment."""
        self._lock = threading.Lock()
        self._names = set(names)
        self._tokens: dict[str, str] = {}
        self.restart = restart
        self.set_state = set_state
        self.deploy = deploy
        self.consultation = Consultation()

    def add(self, name: str) -> None:
        """Know one more component."""
        with self._lock:
            self._names.add(name)

    def remove(self, name: str) -> None:
        """Forget a component and its tokens."""
        with self._lock:
            self._names.discard(name)
            self._tokens = {token: owner for token, owner in self._tokens.items() if owner != name}

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return name in self._names

    def issue_token(self, name: str) -> str:
        """Return a new token for a start of ``name``; it replaces the one of the start before."""
        token = base64.b64encode(secrets.token_bytes(_TOKEN_BYTES)).decode()
        with self._lock:
            self._names.add(name)
            self._tokens = {old: owner for old, owner in self._tokens.items() if owner != name}
            self._tokens[token] = name
        return token

    def token_of(self, name: str) -> str:
        """Return the token that ``name`` has now, a new one when it has none."""
        with self._lock:
            for token, owner in self._tokens.items():
                if owner == name:
                    return token
        return self.issue_token(name)

    def owner(self, token: str) -> str | None:
        """Return whose token this is; None when nobody's."""
        with self._lock:
            return self._tokens.get(token)

    def void_tokens(self) -> None:
        """Forget every token, as a nucleus does that starts again."""
        with self._lock:
            self._tokens.clear()
