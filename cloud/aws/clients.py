"""The boto3 clients, each made at its first use: a cold start pays only for the services it calls.

Endpoints come from the environment (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE>), as boto3 reads it.
"""

import os
import random
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

_MEETINGS = 5  # of two transactions, until it is given up: half a second at most

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
_CONFLICT = frozenset(
    {
        "ConditionalCheckFailedException",
        "ConflictException",
        "ResourceAlreadyExistsException",
        "VersionConflictException",
    }
)
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
    made = boto3.client(service, config=_CONFIG)  # type: ignore[call-overload]
    if service == "dynamodb":
        made.meta.events.register("needs-retry.dynamodb", _when_transactions_met)
    return made


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
    return Conflict if _reasons(response) <= {"ConditionalCheckFailed"} else Unavailable


def _reasons(response: "Mapping[str, Any]") -> set[str]:
    return {reason.get("Code") for reason in response.get("CancellationReasons", [])} - {"None", None}


def _when_transactions_met(
    response: "tuple[object, Mapping[str, Any]] | None", attempts: int, **_: object
) -> float | None:
    """Return the seconds after which to try again what met a transaction on the same item; else None.

    DynamoDB refuses it before it judges its conditions, and no SDK tries that again (developer guide,
    "Transaction conflict handling"): the loser of a race would get 503 instead of the conflict.
    """
    if response is None or attempts > _MEETINGS:
        return None
    met = response[1].get("Error", {}).get("Code") == "TransactionConflictException"
    if met or "TransactionConflict" in _reasons(response[1]):
        return random.uniform(0, 0.01 * 2**attempts)  # noqa: S311 - no secret
    return None
