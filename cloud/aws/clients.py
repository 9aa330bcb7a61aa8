"""The boto3 clients, each made at its first use: a cold start pays only for the services it calls.

Endpoints come from the environment (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE>), as boto3 reads it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloud.aws.errors import CloudError, Conflict, NotFound, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

#: An API call has 29 s at the gateway: two tries must fit, with room for the other services' calls.
_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})

_NOT_FOUND = frozenset(
    {
        "ResourceNotFoundException",
        "NotFoundException",
        "NoSuchKey",
        "404",
        "ImageNotFoundException",
        "RepositoryNotFoundException",
    }
)
_CONFLICT = frozenset({"ConditionalCheckFailedException", "ConflictException"})
_UNKNOWN = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "TransactionConflictException",
        "RequestAlreadyInProgressException",
        "InternalServerException",
        "InternalServerError",
        "InternalFailureException",
        "ServiceUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)


@cache
def client(service: str) -> Any:
    """Return the one client of ``service``; the port around it gives it a type."""
    return boto3.client(service, config=_CONFIG)  # type: ignore[call-overload]


@cache
def iot_data() -> Any:
    """Return the IoT data plane's client, at the account's own endpoint.

    Without AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_IOT_DATA_PLANE the endpoint is looked up once:
    boto3's default one presents a certificate of an authority that was retired.
    """
    if "AWS_ENDPOINT_URL" in os.environ or "AWS_ENDPOINT_URL_IOT_DATA_PLANE" in os.environ:
        return client("iot-data")
    with translated():
        host = client("iot").describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    return boto3.client("iot-data", endpoint_url=f"https://{host}", config=_CONFIG)


@cache
def s3_signer() -> Any:
    """Return the S3 client that signs URLs for others, who are not redirected and know no region.

    So the URL names the bucket's own regional host (virtual-hosted style); an endpoint that is given
    (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3) serves all buckets at one host (path style).
    """
    given = "AWS_ENDPOINT_URL" in os.environ or "AWS_ENDPOINT_URL_S3" in os.environ
    style = Config(signature_version="s3v4", s3={"addressing_style": "path" if given else "virtual"})
    return boto3.client("s3", config=_CONFIG.merge(style))


@contextmanager
def translated() -> Iterator[None]:
    """Turn what botocore raises inside into ``cloud.aws.errors``; the original stays as the cause."""
    try:
        yield
    except ClientError as error:
        raise _translate(error) from error
    except BotoCoreError as error:
        raise Unavailable(str(error)) from error


def _translate(error: ClientError) -> CloudError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    kind: Callable[[str], CloudError] = Refused
    if code in _NOT_FOUND:
        kind = NotFound
    elif code == "TransactionCanceledException":
        kind = _cancelled(error.response)
    elif code in _CONFLICT:
        kind = Conflict
    elif code in _UNKNOWN or status >= 500 or status == 429:
        kind = Unavailable
    return kind(f"{error.operation_name}: {code}")


def _cancelled(response: "Mapping[str, Any]") -> Callable[[str], CloudError]:
    reasons = {reason.get("Code") for reason in response.get("CancellationReasons", [])} - {"None", None}
    return Conflict if reasons <= {"ConditionalCheckFailed"} else Unavailable
