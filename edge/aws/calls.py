"""AWS calls with the credentials of the token exchange service; the only file with boto3."""

import base64
import contextlib
import os
import re
import signal
from collections.abc import Iterator

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from contract.reports import NO_CREDENTIALS
from edge.aws.messages import (
    Answer,
    Document,
    Failure,
    GetDocument,
    GetRegistryLogin,
    GetSecrets,
    RegistryLogin,
    Request,
    SecretValues,
)
from edge.text import clip

CREDENTIALS_S = 15.0
_BEFORE_ITS_WORDS = "Error retrieving metadata: "  # botocore's, before what token exchange said
MESSAGE_BYTES = 350  # of a report's 400, which has a word or two before it
_CONFIG = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 3})
_REGISTRY = re.compile(r"^[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$")
_DENIED = {"AccessDenied", "AccessDeniedException", "403"}
#: AWS does not take what token exchange gave: it gives others soon, or a person sets the clock.
_NO_LONGER_GOOD = {
    "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken",
    "RequestExpired", "RequestTimeTooSkewed", "UnrecognizedClientException",
}  # fmt: skip
_MISSING = {"NoSuchKey", "NoSuchBucket", "404", "ResourceNotFoundException", "ParameterNotFound"}


def answer(request: Request, credentials_s: float = CREDENTIALS_S) -> Answer:
    """Return what was asked for, or why not; never raises for anything that AWS or the network did.

    The main thread must ask: ``credentials_s`` is kept by a signal.
    """
    if isinstance(request, GetRegistryLogin) and _REGISTRY.match(request.registry) is None:
        return Failure(code="not-ecr", message=f"not an ECR registry: {request.registry[:100]}")
    try:
        session = _session(credentials_s)
        match request:
            case GetDocument():
                return _document(session, request)
            case GetRegistryLogin():
                return _registry_login(session, request)
            case GetSecrets():
                return _secrets(session, request)
    except _NoCredentials as error:
        return Failure(code=NO_CREDENTIALS, message=str(error))
    except ClientError as error:
        return _refusal(error, error.operation_name)
    except BotoCoreError as error:
        return Failure(code="unreachable", message=_short(error))


class _NoCredentials(Exception):
    pass


class _TimeIsUp(BaseException):
    """No ``except Exception`` of a library is to take it."""


def _session(credentials_s: float) -> boto3.Session:
    """Return a session that has credentials, before anything is asked with them.

    The provider of botocore (1.44, ContainerMetadataFetcher) asks three times, each with 2 s for every
    read: an endpoint that is silent costs 9 s, one that trickles has no end of its own.
    """
    session = boto3.Session()
    try:
        with _deadline(credentials_s):
            found = session.get_credentials()
            if found is None:
                raise NoCredentialsError
            found.get_frozen_credentials()  # which renews what has expired
    except _TimeIsUp:
        raise _NoCredentials(f"no answer from token exchange within {credentials_s:g} s") from None
    except Exception as error:  # what it makes of a strange answer: KeyError, TypeError, RuntimeError, …
        said = str(error).partition(_BEFORE_ITS_WORDS)[2]
        raise _NoCredentials(clip(said, MESSAGE_BYTES) if said else _short(error)) from error
    return session


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def over(*_: object) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _document(session: boto3.Session, request: GetDocument) -> Document | Failure:
    client = session.client("s3", region_name=os.environ.get("AWS_REGION"), config=_CONFIG)
    body = client.get_object(Bucket=request.bucket, Key=request.key)["Body"]
    content = body.read(request.max_bytes + 1)
    if len(content) > request.max_bytes:
        return Failure(code="too-large", message=f"larger than {request.max_bytes} bytes")
    return Document(base64=base64.b64encode(content).decode())


def _registry_login(session: boto3.Session, request: GetRegistryLogin) -> RegistryLogin | Failure:
    region = request.registry.split(".")[3]
    client = session.client("ecr", region_name=region, config=_CONFIG)
    # One token opens every registry that the role may read, so registryIds (deprecated) is left out.
    found = client.get_authorization_token()["authorizationData"][0]
    username, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    return RegistryLogin(username=username, password=password, expires_at=found["expiresAt"])


def _secrets(session: boto3.Session, request: GetSecrets) -> SecretValues | Failure:
    values: dict[str, str] = {}
    for source in request.sources:
        try:
            values[source] = base64.b64encode(_secret(session, source)).decode()
        except ClientError as error:
            return _refusal(error, source)
    return SecretValues(values=values)


def _secret(session: boto3.Session, source: str) -> bytes:
    service, _, name = source.partition(":")
    region = os.environ.get("AWS_REGION")
    if service == "ssm":
        ssm = session.client("ssm", region_name=region, config=_CONFIG)
        return str(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]).encode()
    manager = session.client("secretsmanager", region_name=region, config=_CONFIG)
    found = manager.get_secret_value(SecretId=name)
    return str(found["SecretString"]).encode() if "SecretString" in found else bytes(found["SecretBinary"])


def _refusal(error: ClientError, what: str) -> Failure:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _NO_LONGER_GOOD:
        return Failure(code=NO_CREDENTIALS, message=f"{what}: {code}")
    kind = "access-denied" if code in _DENIED else "missing" if code in _MISSING else "aws-error"
    return Failure(code=kind, message=f"{what}: {code}")


def _short(error: Exception) -> str:
    return clip(f"{type(error).__name__}: {error}", MESSAGE_BYTES)
