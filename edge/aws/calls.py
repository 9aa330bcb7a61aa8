"""The AWS calls, with the credentials of the token exchange service; the only file with boto3."""

import base64
import os
import re

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError

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

_CONFIG = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 3})
_REGISTRY = re.compile(r"^[0-9]{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?$")
_DENIED = {"AccessDenied", "AccessDeniedException", "403", "UnrecognizedClientException", "ExpiredToken"}
_MISSING = {"NoSuchKey", "NoSuchBucket", "404", "ResourceNotFoundException", "ParameterNotFound"}


def answer(request: Request) -> Answer:
    """Return what was asked for, or why not; never raises for anything that AWS or the network did."""
    try:
        match request:
            case GetDocument():
                return _document(request)
            case GetRegistryLogin():
                return _registry_login(request)
            case GetSecrets():
                return _secrets(request)
    except (NoCredentialsError, CredentialRetrievalError) as error:
        return Failure(code="no-credentials", message=_short(error))
    except ClientError as error:
        return _refusal(error, error.operation_name)
    except BotoCoreError as error:
        return Failure(code="unreachable", message=_short(error))


def _document(request: GetDocument) -> Document | Failure:
    client = boto3.client("s3", region_name=os.environ.get("AWS_REGION"), config=_CONFIG)
    body = client.get_object(Bucket=request.bucket, Key=request.key)["Body"]
    content = body.read(request.max_bytes + 1)
    if len(content) > request.max_bytes:
        return Failure(code="too-large", message=f"larger than {request.max_bytes} bytes")
    return Document(base64=base64.b64encode(content).decode())


def _registry_login(request: GetRegistryLogin) -> RegistryLogin | Failure:
    match = _REGISTRY.match(request.registry)
    if match is None:
        return Failure(code="not-ecr", message=f"not an ECR registry: {request.registry[:100]}")
    client = boto3.client("ecr", region_name=match["region"], config=_CONFIG)
    # One token opens every registry that the role may read, so registryIds (deprecated) is left out.
    found = client.get_authorization_token()["authorizationData"][0]
    username, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
    return RegistryLogin(username=username, password=password, expires_at=found["expiresAt"])


def _secrets(request: GetSecrets) -> SecretValues | Failure:
    values: dict[str, str] = {}
    for source in request.sources:
        try:
            values[source] = base64.b64encode(_secret(source)).decode()
        except ClientError as error:
            return _refusal(error, source)
    return SecretValues(values=values)


def _secret(source: str) -> bytes:
    service, _, name = source.partition(":")
    region = os.environ.get("AWS_REGION")
    if service == "ssm":
        ssm = boto3.client("ssm", region_name=region, config=_CONFIG)
        return str(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]).encode()
    manager = boto3.client("secretsmanager", region_name=region, config=_CONFIG)
    found = manager.get_secret_value(SecretId=name)
    return str(found["SecretString"]).encode() if "SecretString" in found else bytes(found["SecretBinary"])


def _refusal(error: ClientError, what: str) -> Failure:
    code = str(error.response.get("Error", {}).get("Code", ""))
    kind = "access-denied" if code in _DENIED else "missing" if code in _MISSING else "aws-error"
    return Failure(code=kind, message=f"{what}: {code}")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
