"""What bundles of logs need of S3 in the emulator: URLs that carry the right of whoever signed them."""

from collections.abc import Callable, Iterator

import boto3
import pytest
import requests

from cloud.aws import clients
from cloud.aws.s3 import Bundles
from local.aws.account import REGION
from tests.support.platform.lab import Lab, allow

pytestmark = pytest.mark.platform
SignedBy = Callable[[str, str], Bundles]
COMMAND = "cmd-00000000000000000000000001"


@pytest.fixture
def bucket(lab: Lab) -> str:
    name = lab.name()
    lab.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


@pytest.fixture
def signed_by(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[SignedBy]:
    def bundles(bucket: str, action: str) -> Bundles:
        """Bundles in the hands of a function that may do ``action`` with them and nothing else."""
        role = lab.role(allow(action, f"arn:aws:s3:::{bucket}/bundles/*"))
        session = lab.client("sts").assume_role(RoleArn=role, RoleSessionName="function")["Credentials"]
        for name, value in (
            ("AWS_ENDPOINT_URL", lab.aws.endpoint_url),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", session["AccessKeyId"]),
            ("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"]),
            ("AWS_SESSION_TOKEN", session["SessionToken"]),
        ):
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        clients.s3_signer.cache_clear()
        return Bundles(clients.s3_signer(), bucket)

    yield bundles
    clients.s3_signer.cache_clear()


def test_a_url_lets_its_bearer_do_what_its_signer_may_with_that_one_object(
    bucket: str, signed_by: SignedBy
) -> None:
    writer = signed_by(bucket, "s3:PutObject")
    put = writer.put_url("robot:7", COMMAND, expires_in_s=60)
    forbidden = writer.get_url("robot:7", COMMAND, expires_in_s=60)
    got = signed_by(bucket, "s3:GetObject").get_url("robot:7", COMMAND, expires_in_s=60)

    assert requests.put(put, data=b"logs", timeout=5).status_code == 200
    assert requests.get(got, timeout=5).content == b"logs"
    assert requests.get(forbidden, timeout=5).status_code == 403
    assert requests.put(put.replace("robot%3A7", "robot%3A8"), data=b"x", timeout=5).status_code == 403
