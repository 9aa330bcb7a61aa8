"""An issuer's key set (RFC 7517): fetched within two seconds in all, its usable keys cached.

Imports neither boto3 nor pydantic, because the authorizer's cold start pays for it.
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

import jwt

from cloud.telemetry.logs import log_event
from cloud.telemetry.metrics import Metric, count

log = logging.getLogger(__name__)

FETCH_TIMEOUT_S = 1.5  # whoever waits for a decision waits less than two seconds
REFRESH_AT_MOST_EVERY_S = 60.0  # an unknown kid must not become a way to flood the issuer
KEYS_FRESH_S = 600.0  # older ones are asked for again, and used while the issuer does not answer
KEYS_KEPT_S = 3600.0  # a key that the issuer withdrew is believed no longer than this
JWKS_MAX_BYTES = 256 * 1024
_MIN_KEY_BITS = 2048

PublicNumbers = tuple[object, object]  # n and e as the issuer wrote them


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
    if not asking.ended.wait(timeout_s):
        asking.hang_up()
        raise KeysUnavailable("too slow")
    if isinstance(asking.answer, KeysUnavailable):
        raise asking.answer
    return asking.answer


class _Asking:
    """One GET in a thread of its own; ``answer`` is its outcome once it ``ended``, and nothing foreign."""

    def __init__(self, uri: str, timeout_s: float) -> None:
        self.ended = threading.Event()
        self.answer: bytes | KeysUnavailable = b""
        self._parts = urlsplit(uri)
        self._timeout_s = timeout_s
        self._given_up = threading.Event()
        self._socket: socket.socket | None = None

    def run(self) -> None:
        try:
            self.answer = self._body()
        except KeysUnavailable as unavailable:
            self.answer = unavailable
        except TimeoutError:
            self.answer = KeysUnavailable("too slow")
        except (HTTPException, OSError, ValueError) as error:
            self.answer = KeysUnavailable(type(error).__name__)
        self.ended.set()

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


class KeySet:
    """An issuer's keys as they are kept here. ``key`` asks the issuer at most once a minute."""

    def __init__(self, uri: str, *, fetch: Callable[[str], bytes], monotonic: Callable[[], float]) -> None:
        self._uri = uri
        self._fetch = fetch
        self._monotonic = monotonic
        self._entries: Mapping[str, PublicNumbers] = {}
        self._keys: dict[str, jwt.PyJWK | None] = {}  # those that were asked for; None for no key of ours
        self._tried_at = self._fetched_at = float("-inf")
        self._failure: KeysUnavailable | None = None  # of the last try

    def key(self, kid: str) -> jwt.PyJWK | None:
        """Return the key that the issuer calls ``kid``; None where it has none that we use.

        Raises:
            KeysUnavailable: it may have one; it did not say.
        """
        now = self._monotonic()
        wanted = kid not in self._entries or now - self._fetched_at >= KEYS_FRESH_S
        if wanted and now - self._tried_at >= REFRESH_AT_MOST_EVERY_S:
            self._refresh(now)
        if now - self._fetched_at >= KEYS_KEPT_S:
            self._entries, self._keys = {}, {}
        if kid in self._entries:
            if kid not in self._keys:
                self._keys[kid] = _signing_key(self._entries[kid])
            return self._keys[kid]
        if self._failure is not None:
            raise KeysUnavailable(self._failure.reason)
        return None

    def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            self._entries, self._keys = parse_keys(self._fetch(self._uri)), {}
        except KeysUnavailable as failure:
            log_event(
                log, "keys unavailable", level=logging.WARNING, jwks_uri=self._uri, reason=failure.reason
            )
            count(Metric.KEY_SETS_UNAVAILABLE, jwks_uri=self._uri)
            self._failure = failure
        else:
            self._fetched_at, self._failure = now, None


def parse_keys(document: bytes) -> dict[str, PublicNumbers]:
    """Return the RSA signing keys of a JWKS by their ids, unread: a key costs when it is asked for.

    What is anything else is passed over, and so is an id that stands for two keys.

    Raises:
        KeysUnavailable: it is no JWKS.
    """
    try:
        listed = json.loads(document)["keys"]
        entries = [entry for entry in listed if isinstance(entry, dict)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeysUnavailable("not a key set") from None
    keys: dict[str, PublicNumbers] = {}
    ambiguous = set()
    for entry in entries:
        kid, numbers = entry.get("kid"), (entry.get("n"), entry.get("e"))
        usable = entry.get("kty") == "RSA" and entry.get("use", "sig") == "sig"
        if not isinstance(kid, str) or not usable or entry.get("alg", "RS256") != "RS256":
            continue
        if keys.setdefault(kid, numbers) != numbers:
            ambiguous.add(kid)
    return {kid: numbers for kid, numbers in keys.items() if kid not in ambiguous}


def _signing_key(numbers: PublicNumbers) -> jwt.PyJWK | None:
    n, e = numbers
    try:
        key = jwt.PyJWK({"kty": "RSA", "n": n, "e": e}, algorithm="RS256")
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return key if key.key.key_size >= _MIN_KEY_BITS else None
