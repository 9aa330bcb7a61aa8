"""The token exchange service: temporary credentials of the device's role, on a loopback HTTP endpoint.

On AWS the credentials come from the IoT credential provider for the device's certificate; here from STS
AssumeRole of the same role, so that the same policies decide.

Classic keeps an error for a while and answers it again though its cause may be gone: a refusal for two
minutes, a fault of the provider for one, no connection for five. A provider that accepts and stays silent
gives no answer at all. What Lite does with errors is not known; here it asks each time.

Errors::

    CredentialsUnavailable  the role cannot be assumed now
"""

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger(__name__)

_PATH = "/2016-11-01/credentialprovider/"
_CONNECT_S = 5
_SILENCE_S = 600  # nobody waits that long: a provider that accepts and says nothing gives no answer
_REFRESH_BEFORE = timedelta(minutes=5)  # as the nucleus does, so that nobody gets dying credentials


class CredentialsUnavailable(Exception):
    """The role was not handed out; ``status`` is the provider's HTTP status, None when it gave none."""

    code = "credentials-unavailable"

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True, slots=True)
class Credentials:
    """One session of the token exchange role."""

    access_key: str
    secret_key: str
    session_token: str
    expires_at: datetime


class Role(Protocol):
    """Port to the source of the role's credentials."""

    def assume(self) -> Credentials:
        """Return a new session.

        Raises:
            CredentialsUnavailable
        """


class AssumedRole:
    """The role as STS at ``endpoint_url`` gives it to this process's own identity."""

    def __init__(self, endpoint_url: str, region: str, role_arn: str, thing: str) -> None:
        self._sts = boto3.client(
            "sts",
            endpoint_url=endpoint_url,
            region_name=region,
            config=Config(
                connect_timeout=_CONNECT_S, read_timeout=_SILENCE_S, retries={"total_max_attempts": 1}
            ),
        )
        self._role_arn = role_arn
        self._session_name = "".join(char if char.isalnum() or char in "-_" else "-" for char in thing)[:64]

    def assume(self) -> Credentials:
        """See Role."""
        try:
            given = self._sts.assume_role(RoleArn=self._role_arn, RoleSessionName=self._session_name)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            raise CredentialsUnavailable(str(error), status) from error
        except BotoCoreError as error:
            raise CredentialsUnavailable(str(error)) from error
        session = given["Credentials"]
        return Credentials(
            session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"], session["Expiration"]
        )


class KeptRole:
    """A role whose session is kept until shortly before it ends, and whose errors are kept as well.

    Safe from any thread.
    """

    def __init__(
        self,
        role: Role,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        errors_kept: float = 1,
    ) -> None:
        """``errors_kept``: for which part of the real service's times an error is kept; 0: not at all."""
        self._role = role
        self._now = now
        self._errors_kept = errors_kept
        self._lock = threading.Lock()
        self._kept: Credentials | None = None
        self._error: tuple[CredentialsUnavailable, datetime] | None = None  # and until when

    def assume(self) -> Credentials:
        """See Role."""
        with self._lock:
            if self._error is not None and self._now() < self._error[1]:
                raise self._error[0]
            if self._kept is None or self._kept.expires_at - self._now() < _REFRESH_BEFORE:
                self._kept = self._assume()
            return self._kept

    def _assume(self) -> Credentials:
        self._error = None
        try:
            return self._role.assume()
        except CredentialsUnavailable as error:
            self._error = (error, self._now() + self._errors_kept * _kept_for(error.status))
            raise


def _kept_for(status: int | None) -> timedelta:
    if status is None:
        return timedelta(minutes=5)
    return timedelta(minutes=1 if status >= 500 else 2)


class TokenExchange:
    """The endpoint that ``AWS_CONTAINER_CREDENTIALS_FULL_URI`` names."""

    def __init__(self, role: Role, knows: Callable[[str], bool]) -> None:
        """Hand ``role`` out to whoever brings an authorization token that ``knows`` recognises."""
        self._make: Callable[[], ThreadingHTTPServer] = lambda: _server(role, knows)
        self._server = self._make()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def port(self) -> int:
        """Return where it answers; another one after each start."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """Return what components are given."""
        return f"http://localhost:{self.port}{_PATH}"

    def restart(self) -> None:
        """Die, and answer at another port."""
        fresh = self._make()  # while the old one still has its port
        self.stop()
        self._server = fresh
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _refusal(error: CredentialsUnavailable) -> tuple[int, str]:
    """Return status and words as the real classic's service has them."""
    if error.status is None:
        return 500, "Failed to get connection"
    words = f"TES responded with status code: {error.status}. Caching response. {error}"
    return error.status, words


def _server(role: Role, knows: Callable[[str], bool]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            token = self.headers.get("Authorization")
            if self.path != _PATH:
                self._answer(404, "")
            elif token is None or not knows(token):
                self._answer(403, "")
            else:
                self._hand_out()

        def _hand_out(self) -> None:
            try:
                session = role.assume()
            except CredentialsUnavailable as error:
                log.warning("no credentials: code=%s error=%s", error.code, error)
                self._answer(*_refusal(error))
                return
            body = {
                "AccessKeyId": session.access_key,
                "SecretAccessKey": session.secret_key,
                "Token": session.session_token,
                "Expiration": session.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            self._answer(200, json.dumps(body))

        def _answer(self, status: int, body: str) -> None:
            data = body.encode()
            self.send_response(status)
            if body:
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            with suppress(ConnectionError):  # who asked may have given up waiting
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            log.debug("token exchange: " + format, *args)  # noqa: G003 - the server's own format

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
