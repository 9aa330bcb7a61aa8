"""An issuer's key set (RFC 7517): asked for within two seconds in all, and the keys in it that we use.

Imports neither boto3 nor pydantic, because the authorizer's cold start pays for it.
"""

import json
import queue
import socket
import threading
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

import jwt

FETCH_TIMEOUT_S = 2.0
JWKS_MAX_BYTES = 256 * 1024
_MIN_KEY_BITS = 2048


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had now; nothing is known of its tokens."""

    code = "keys-unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"keys-unavailable: {reason}")
        self.reason = reason


def fetch(uri: str, *, timeout_s: float = FETCH_TIMEOUT_S) -> bytes:
    """Return the bytes at ``uri``, asked for once and within ``timeout_s``; a redirect is a refusal.

    The bound is on everything together. Neither the look-up of the name nor an issuer that sends byte
    by byte knows a socket's timeout, so the asking is a thread's, which is left behind in time.

    Raises:
        KeysUnavailable: anything but 200 with a bounded body.
    """
    asking = _Asking(uri, timeout_s)
    threading.Thread(target=asking.run, name="jwks", daemon=True).start()
    try:
        answer = asking.answers.get(timeout=timeout_s)
    except queue.Empty:
        asking.hang_up()
        raise KeysUnavailable("too slow") from None
    if isinstance(answer, KeysUnavailable):
        raise answer
    return answer


class _Asking:
    """One GET in a thread of its own; ``answers`` gets its outcome, and nothing foreign is raised."""

    def __init__(self, uri: str, timeout_s: float) -> None:
        self.answers: queue.SimpleQueue[bytes | KeysUnavailable] = queue.SimpleQueue()
        self._parts = urlsplit(uri)
        self._timeout_s = timeout_s
        self._given_up = threading.Event()
        self._socket: socket.socket | None = None

    def run(self) -> None:
        try:
            self.answers.put(self._body())
        except KeysUnavailable as unavailable:
            self.answers.put(unavailable)
        except TimeoutError:
            self.answers.put(KeysUnavailable("too slow"))
        except (HTTPException, OSError, ValueError) as error:
            self.answers.put(KeysUnavailable(type(error).__name__))

    def hang_up(self) -> None:
        """Have the thread end soon: what it waits for from now on, it does not get."""
        self._given_up.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _body(self) -> bytes:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        with closing(kind(self._parts.netloc, timeout=self._timeout_s)) as connection:
            connection.connect()
            self._socket = connection.sock
            if self._given_up.is_set():
                raise KeysUnavailable("too slow")
            query = f"?{self._parts.query}" if self._parts.query else ""
            connection.request("GET", f"{self._parts.path or '/'}{query}")
            with connection.getresponse() as answer:
                if answer.status != 200:
                    raise KeysUnavailable(f"status {answer.status}")
                body = answer.read(JWKS_MAX_BYTES + 1)
        if len(body) > JWKS_MAX_BYTES:
            raise KeysUnavailable("too large")
        return body


def parse_keys(document: bytes) -> dict[str, jwt.PyJWK]:
    """Return the RSA signing keys of a JWKS by their ids; what is anything else is passed over.

    Raises:
        KeysUnavailable: it is no JWKS.
    """
    try:
        listed = json.loads(document)["keys"]
        entries = [entry for entry in listed if isinstance(entry, dict)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeysUnavailable("not a key set") from None
    keys: dict[str, jwt.PyJWK] = {}
    for entry in entries:
        kid = entry.get("kid")
        usable = entry.get("kty") == "RSA" and entry.get("use", "sig") == "sig"
        if not isinstance(kid, str) or not usable or entry.get("alg", "RS256") != "RS256":
            continue
        public = {name: entry.get(name) for name in ("kty", "n", "e")}
        try:
            key = jwt.PyJWK(public, algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if key.key.key_size >= _MIN_KEY_BITS:
            keys[kid] = key
    return keys
