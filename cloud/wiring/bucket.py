"""The stack's bucket."""

from cloud.aws import s3
from cloud.aws.clients import client, s3_signer
from cloud.environment import ENVIRONMENT
from cloud.ports.bucket import Bundles, Documents


def documents() -> Documents:
    return s3.Documents(client("s3"), ENVIRONMENT.bucket)


def bundles() -> Bundles:
    return s3.Bundles(s3_signer(), ENVIRONMENT.bucket)
