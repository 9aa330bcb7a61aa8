"""The adapters against moto, and against recorded answers where moto has none (Greengrass v2)."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import ANY, Stubber
from moto import mock_aws

from cloud.aws import clients
from cloud.aws.account import Account
from cloud.aws.attributes import from_item, to_item, to_value
from cloud.aws.clients import translated
from cloud.aws.ecr import Images
from cloud.aws.errors import CloudError, Conflict, NotFound, Refused, Unavailable
from cloud.aws.greengrass import Greengrass
from cloud.aws.iot_data import Publisher
from cloud.aws.iot_registry import Registry
from cloud.aws.s3 import Documents
from cloud.tooling.template import modules
from contract.names import Nucleus
from tests.support.cloud.api import ACCOUNT, REGION

ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/line-3"


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        for name, value in keys.items():
            environment.setenv(name, value)
        yield


def a_client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)  # type: ignore[call-overload]


def manifest(layer: str) -> str:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "x", "size": 1, "digest": f"sha256:{'a' * 64}"},
            "layers": [{"mediaType": "y", "size": 2, "digest": layer}],
        }
    )


def test_a_tag_is_resolved_to_the_digest_it_has_now(aws: None) -> None:
    ecr = a_client("ecr")
    ecr.create_repository(repositoryName="fleetgrass/hello")
    for layer in ("1", "2"):
        pushed = ecr.put_image(
            repositoryName="fleetgrass/hello",
            imageManifest=manifest(f"sha256:{layer * 64}"),
            imageTag="v1",
        )
    digest = pushed["image"]["imageId"]["imageDigest"]
    images = Images(ecr, ACCOUNT)

    assert images.resolve("fleetgrass/hello", tag="v1").digest == digest
    assert images.resolve("fleetgrass/hello", tag="other", digest=digest).digest == digest
    assert images.resolve("fleetgrass/hello", tag="v1").architectures == frozenset()
    for wrong in ({"tag": "v9"}, {"digest": "sha256:" + "9" * 64}):
        with pytest.raises(NotFound):
            images.resolve("fleetgrass/hello", **wrong)
    with pytest.raises(NotFound):
        images.resolve("fleetgrass/ghost", tag="v1")


def test_an_emulators_empty_list_is_an_image_that_is_not_there() -> None:
    ecr = a_stubbed("ecr")
    with Stubber(ecr) as stub:
        stub.add_response("describe_images", {"imageDetails": []})
        with pytest.raises(NotFound):
            Images(ecr, ACCOUNT).resolve("fleetgrass/hello", tag="v9")


def test_an_index_says_for_which_architectures_it_was_built() -> None:
    index = {
        "manifests": [
            {"platform": {"architecture": "amd64"}},
            {"platform": {"architecture": "arm64"}},
            {"platform": {"architecture": "unknown"}},
        ]
    }
    kind = "application/vnd.oci.image.index.v1+json"
    details = {"imageDigest": "sha256:" + "1" * 64, "imageManifestMediaType": kind}
    ecr = a_stubbed("ecr")
    with Stubber(ecr) as stub:
        stub.add_response("describe_images", {"imageDetails": [details]})
        stub.add_response("batch_get_image", {"images": [{"imageManifest": json.dumps(index)}]})
        image = Images(ecr, ACCOUNT).resolve("fleetgrass/hello", tag="v1")
        stub.add_response("describe_images", {"imageDetails": [details]})
        stub.add_response("batch_get_image", {"images": []})
        unread = Images(ecr, ACCOUNT).resolve("fleetgrass/hello", tag="v1")
    assert image.architectures == {"amd64", "arm64"}
    assert unread.architectures == frozenset()


def test_a_document_is_stored_under_its_hash_and_again_without_a_change(aws: None) -> None:
    s3 = a_client("s3")
    s3.create_bucket(Bucket="bucket-1", CreateBucketConfiguration={"LocationConstraint": REGION})
    documents = Documents(s3, "bucket-1")
    key = f"desired/{hashlib.sha256(b'{}').hexdigest()}.json"
    assert documents.put(b"{}") == documents.put(b"{}") == f"s3://bucket-1/{key}"
    assert s3.get_object(Bucket="bucket-1", Key=key)["Body"].read() == b"{}"
    with pytest.raises(Refused):
        Documents(s3, "bucket-2").put(b"{}")


def test_a_group_is_there_or_not_and_has_members_or_not(aws: None) -> None:
    iot = a_client("iot")
    for group in ("line-3", "empty"):
        iot.create_thing_group(thingGroupName=group)
    iot.create_thing(thingName="robot-7")
    iot.add_thing_to_thing_group(thingGroupName="line-3", thingName="robot-7")
    registry = Registry(iot)
    assert registry.group("line-3").has_members
    assert not registry.group("empty").has_members
    with pytest.raises(NotFound):
        registry.group("line-9")


def test_a_message_goes_out_at_least_once_and_is_never_retained(aws: None) -> None:
    iot_data = a_client("iot-data")
    with Stubber(iot_data) as stub:
        sent = {"topic": "cmd/x", "qos": 1, "retain": False, "payload": b"{}"}
        stub.add_response("publish", {}, sent)
        Publisher(lambda: iot_data).publish("cmd/x", b"{}")
        stub.add_client_error("publish", "ThrottlingException", http_status_code=429)
        with pytest.raises(Unavailable):
            Publisher(lambda: iot_data).publish("cmd/x", b"{}")


def a_stubbed(service: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )


def test_the_latest_deployment_of_a_target_comes_with_its_components() -> None:
    greengrass = a_stubbed("greengrassv2")
    components = {"a": {"componentVersion": "1.0.0", "configurationUpdate": {"merge": "{}", "reset": ["/x"]}}}
    with Stubber(greengrass) as stub:
        asked = {"targetArn": ARN, "historyFilter": "LATEST_ONLY", "maxResults": 1}
        stub.add_response("list_deployments", {"deployments": [{"deploymentId": "gg-1"}]}, asked)
        stub.add_response(
            "get_deployment",
            {"deploymentId": "gg-1", "iotJobId": "job-1", "components": components},
            {"deploymentId": "gg-1"},
        )
        stub.add_response("list_deployments", {"deployments": []}, asked)
        found = Greengrass(greengrass).latest(ARN)
        nothing = Greengrass(greengrass).latest(ARN)
    assert found is not None
    assert (found.greengrass_id, found.job_id, found.components) == ("gg-1", "job-1", components)
    assert nothing is None


def test_the_components_of_a_deployment_are_those_it_was_made_with_and_of_none_nothing() -> None:
    greengrass = a_stubbed("greengrassv2")
    with Stubber(greengrass) as stub:
        components = {"a": {"componentVersion": "1.0.0"}}
        stub.add_response("get_deployment", {"components": components}, {"deploymentId": "gg-1"})
        stub.add_client_error("get_deployment", "ResourceNotFoundException", http_status_code=404)
        assert Greengrass(greengrass).components("gg-1") == components
        assert Greengrass(greengrass).components("gg-2") is None


def test_the_newest_version_of_a_component_is_one_short_question() -> None:
    greengrass, arn = a_stubbed("greengrassv2"), Account("aws", REGION, ACCOUNT).component_arn("a")
    with Stubber(greengrass) as stub:
        for versions in (["1.10.0"], []):
            listed = {"componentVersions": [{"componentVersion": version} for version in versions]}
            stub.add_response("list_component_versions", listed, {"arn": arn, "maxResults": 1})
        stub.add_client_error("list_component_versions", "ResourceNotFoundException", http_status_code=404)

        assert [Greengrass(greengrass).newest(arn) for _ in range(3)] == ["1.10.0", None, None]


def test_a_new_deployment_carries_our_token_a_timeout_and_time_to_validate() -> None:
    greengrass = a_stubbed("greengrassv2")
    with Stubber(greengrass) as stub:
        stub.add_response(
            "create_deployment",
            {"deploymentId": "gg-2", "iotJobId": "job-2"},
            {
                "targetArn": ARN,
                "deploymentName": "n",
                "components": {"a": {"componentVersion": "1.0.0"}},
                "clientToken": "dep-1",
                "iotJobConfiguration": {"timeoutConfig": {"inProgressTimeoutInMinutes": 30}},
                "deploymentPolicies": {
                    "failureHandlingPolicy": "ROLLBACK",
                    "componentUpdatePolicy": ANY,
                    "configurationValidationPolicy": {"timeoutInSeconds": 60},
                },
            },
        )
        made = Greengrass(greengrass).create(
            ARN, name="n", components={"a": {"componentVersion": "1.0.0"}}, client_token="dep-1"
        )
    assert (made.greengrass_id, made.job_id) == ("gg-2", "job-2")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ValidationException", 400, Refused),
        ("AccessDeniedException", 403, Refused),
        ("ConflictException", 409, Conflict),
        ("RequestAlreadyInProgressException", 400, Unavailable),
        ("ThrottlingException", 400, Unavailable),
        ("InternalServerException", 500, Unavailable),
        ("Anything", 503, Unavailable),
        ("Anything", 418, Refused),
        ("ResourceNotFoundException", 404, NotFound),
        ("ConditionalCheckFailedException", 400, Conflict),
    ],
)
def test_what_aws_answers_is_one_of_ours(code: str, status: int, kind: type[CloudError]) -> None:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(CloudError) as raised, translated():
        raise ClientError(response, "Operation")
    assert type(raised.value) is kind
    assert str(raised.value) == f"Operation: {code}"


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        (["None", "ConditionalCheckFailed"], Conflict),
        (["TransactionConflict", "None"], Unavailable),
        (["ThrottlingError"], Unavailable),
    ],
)
def test_a_cancelled_transaction_is_a_conflict_only_when_a_condition_failed(
    reasons: list[str], kind: type[CloudError]
) -> None:
    response: Any = {
        "Error": {"Code": "TransactionCanceledException"},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }
    with pytest.raises(kind), translated():
        raise ClientError(response, "TransactWriteItems")


def test_a_service_that_cannot_be_reached_is_unavailable() -> None:
    with pytest.raises(Unavailable), translated():
        raise EndpointConnectionError(endpoint_url="https://x")


def test_what_is_stored_comes_back_as_it_was() -> None:
    row = {
        "a": 1,
        "b": 1.5,
        "c": -3,
        "d": "x",
        "e": True,
        "f": None,
        "g": [1, {"h": []}],
        "i": 10**15,
        "j": 1e22,
    }
    assert from_item(to_item(row)) == row
    with pytest.raises(TypeError):
        to_value({1, 2})
    with pytest.raises(TypeError):
        from_item({"x": {"SS": ["a"]}})


def test_an_account_is_read_off_a_functions_arn() -> None:
    account = Account.of_function("arn:aws-cn:lambda:cn-north-1:123456789012:function:f")
    assert account.registry == "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"
    assert account.iot_arn("thinggroup/g") == "arn:aws-cn:iot:cn-north-1:123456789012:thinggroup/g"
    with pytest.raises(ValueError, match="invoked_function_arn"):
        Account.of_function("")


def test_the_data_plane_is_asked_at_the_accounts_own_endpoint(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients.client.cache_clear()
    clients.iot_data.cache_clear()
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_IOT_DATA_PLANE"):
        monkeypatch.delenv(name, raising=False)
    assert clients.iot_data().meta.endpoint_url.endswith(f"-ats.iot.{REGION}.amazonaws.com")
    clients.iot_data.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL_IOT_DATA_PLANE", "http://127.0.0.1:9")
    assert clients.iot_data().meta.endpoint_url == "http://127.0.0.1:9"
    clients.client.cache_clear()
    clients.iot_data.cache_clear()


#: Each handler in a process of its own; they share the imports that take longest.
IMPORT_EACH = """
import importlib, os, sys
for name in sys.argv[1:]:
    if name != "authorize":
        import boto3, contract.commands, contract.desired, contract.events, contract.reports
    if os.fork() == 0:
        module = importlib.import_module(name)
        from cloud.aws import clients
        assert clients.client.cache_info().currsize == 0, name
        assert callable(module.handler), name
        assert ("cryptography" in sys.modules) == (name.endswith(".authorize")), name
        os._exit(0)
    assert os.wait()[1] == 0, name
"""


def test_a_handler_is_imported_without_a_client_an_environment_or_another_functions_libraries() -> None:
    authorizer = modules()["authorize"]  # first, before the others' imports are shared
    handlers = [authorizer, *sorted(set(modules().values()) - {authorizer})]
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_EACH, *handlers],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_groups_nucleus_is_fixed_once_and_nothing_else_of_the_group_changes(aws: None) -> None:
    iot = a_client("iot")
    registry = Registry(iot)
    registry.create_group("kind-0", "the third line", made_by="ada")

    assert registry.nucleus_of("kind-0") is None
    assert registry.fix_nucleus("kind-0", Nucleus.LITE) is Nucleus.LITE
    assert registry.fix_nucleus("kind-0", Nucleus.CLASSIC) is Nucleus.LITE
    assert registry.nucleus_of("kind-0") is registry.group("kind-0").nucleus is Nucleus.LITE
    about = iot.describe_thing_group(thingGroupName="kind-0")["thingGroupProperties"]
    assert about["thingGroupDescription"] == "the third line"
    assert about["attributePayload"]["attributes"] == {"made_by": "ada", "nucleus": "lite"}


def test_of_two_who_fix_a_groups_nucleus_at_once_the_first_one_counts(aws: None) -> None:
    iot = a_client("iot")
    Registry(iot).create_group("kind-1", None, made_by="ada")

    class Meets:
        """Somebody else fixes it between this one's look and its write."""

        met = False

        def __getattr__(self, name: str) -> Any:
            return getattr(iot, name)

        def update_thing_group(self, **request: Any) -> Any:
            if not self.met:
                self.met = True
                assert Registry(iot).fix_nucleus("kind-1", Nucleus.CLASSIC) is Nucleus.CLASSIC
            return iot.update_thing_group(**request)

    assert Registry(Meets()).fix_nucleus("kind-1", Nucleus.LITE) is Nucleus.CLASSIC
    assert Registry(iot).nucleus_of("kind-1") is Nucleus.CLASSIC


def test_a_word_for_a_nucleus_that_is_not_ours_is_neither_known_nor_overwritten(aws: None) -> None:
    iot = a_client("iot")
    about = {"attributePayload": {"attributes": {"nucleus": "next"}}}
    iot.create_thing_group(thingGroupName="kind-2", thingGroupProperties=about)

    assert Registry(iot).nucleus_of("kind-2") is None
    assert Registry(iot).fix_nucleus("kind-2", Nucleus.LITE) is None
    assert iot.describe_thing_group(thingGroupName="kind-2")["thingGroupProperties"] == about


def test_a_group_is_made_once_by_whoever_made_it_whatever_became_known_of_it_since(aws: None) -> None:
    registry = Registry(a_client("iot"))
    registry.create_group("kind-3", None, made_by="ada")
    registry.fix_nucleus("kind-3", Nucleus.LITE)

    registry.create_group("kind-3", None, made_by="ada")

    with pytest.raises(Conflict):
        registry.create_group("kind-3", None, made_by="bob")
    registry.create_group("other-3", None, made_by="ada", nucleus=Nucleus.CLASSIC)
    assert (registry.nucleus_of("kind-3"), registry.nucleus_of("other-3")) == (Nucleus.LITE, Nucleus.CLASSIC)
