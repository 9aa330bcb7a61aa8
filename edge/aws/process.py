"""The agent's side of the AWS process: start it, ask once, read the answer within a bounded time."""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence

from pydantic import ValidationError

from contract.defaults import DESIRED_DOCUMENT_MAX_BYTES
from contract.documents import parse_document_uri
from edge.aws.messages import (
    ANSWER,
    Document,
    Failure,
    GetDocument,
    GetRegistryLogin,
    GetSecrets,
    RegistryLogin,
    Request,
    SecretValues,
)
from edge.aws.token_exchange import VARIABLE
from edge.ports.coded_error import CodedError

ANSWER_S = 60.0  # above what credentials and the calls' own timeouts add up to in all but the worst case
_CHILD = (sys.executable, "-m", "edge.aws")


class AwsUnavailable(CodedError):
    """AWS did not give it. ``code``: no-credentials, access-denied, missing, too-large, unreachable, …"""


class AwsProcess:
    """Asks AWS through a child process per question; callable from any thread."""

    def __init__(
        self,
        command: Sequence[str] = _CHILD,
        *,
        answer_s: float = ANSWER_S,
        token_exchange: Callable[[], str | None] = lambda: None,
    ) -> None:
        """``token_exchange`` says at each question where it answers now; None: as our environment has it."""
        self._command = tuple(command)
        self._answer_s = answer_s
        self._token_exchange = token_exchange

    def document(self, uri: str) -> bytes:
        """Return the desired document at an ``s3://`` URI; its hash is for the caller to check.

        Raises:
            AwsUnavailable: it cannot be had now.
            ValueError: not the URI of a desired document.
        """
        bucket, key, _ = parse_document_uri(uri)
        found = self._ask(GetDocument(bucket=bucket, key=key, max_bytes=DESIRED_DOCUMENT_MAX_BYTES))
        if not isinstance(found, Document):
            raise AwsUnavailable("bad-answer", "not a document")
        try:
            return base64.b64decode(found.base64, validate=True)
        except ValueError:
            raise AwsUnavailable("bad-answer", "not base64") from None

    def registry_login(self, registry: str) -> RegistryLogin:
        """Return a new login for an ECR registry.

        Raises:
            AwsUnavailable: it cannot be had now.
        """
        found = self._ask(GetRegistryLogin(registry=registry))
        if not isinstance(found, RegistryLogin):
            raise AwsUnavailable("bad-answer", "not a login")
        return found

    def secrets(self, sources: Collection[str]) -> Mapping[str, bytes]:
        """Return the value of every source.

        Raises:
            AwsUnavailable: one of them cannot be had now; the text names it.
        """
        found = self._ask(GetSecrets(sources=sorted(sources)))
        if not isinstance(found, SecretValues) or found.values.keys() != set(sources):
            raise AwsUnavailable("bad-answer", "not the secrets")
        try:
            return {source: base64.b64decode(text, validate=True) for source, text in found.values.items()}
        except ValueError:
            raise AwsUnavailable("bad-answer", "not base64") from None

    def _ask(self, request: Request) -> Document | RegistryLogin | SecretValues:
        address = self._token_exchange()
        try:
            child = subprocess.run(
                self._command,
                input=request.model_dump_json().encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a traceback could hold a secret
                timeout=self._answer_s,
                check=False,
                env=None if address is None else os.environ | {VARIABLE: address},
            )
        except subprocess.TimeoutExpired:
            raise AwsUnavailable("timeout", f"no answer within {self._answer_s:g} s") from None
        except OSError as error:
            raise AwsUnavailable("no-process", error.strerror or "cannot start the AWS process") from error
        try:
            found = ANSWER.validate_json(child.stdout)
        except ValidationError:
            # Without the cause: a validation error shows its input, and the input may hold a token.
            raise AwsUnavailable("bad-answer", f"the AWS process ended with {child.returncode}") from None
        if isinstance(found, Failure):
            raise AwsUnavailable(found.code, found.message)
        return found
