"""The two AWS calls, with the credentials of the token exchange service; the only file with boto3."""

import base64
import os
import re

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError

from edge.aws.messages import Document, Failure, GetDocument, GetRegistryLogin, RegistryLogin

_CONFIG = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 3})
_REGISTRY = re.compile(r"^[0-9]{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?$")
_DENIED = {"AccessDenied", "AccessDeniedException", "403", "UnrecognizedClientException", "ExpiredToken"}
_MISSING = {"NoSuchKey", "NoSuchBucket", "404"}


def answer(request: GetDocument | GetRegistryLogin) -> Document | RegistryLogin | Failure:
    """Return what was asked for, or why not; never raises for anything that AWS or the network did."""
    try:
        match request:
            case GetDocument():
                return _document(request)
            case GetRegistryLogin():
                return _registry_login(request)
    except (NoCredentialsError, CredentialRetrievalError) as error:
        return Failure(code="no-credentials", message=_short(error))
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        kind = "access-denied" if code in _DENIED else "missing" if code in _MISSING else "aws-error"
        return Failure(code=kind, message=f"{error.operation_name}: {code}")
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


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
