"""Publishing: the calls of `gdk component publish`, against moto's S3 and STS and our control plane."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from local.aws.publish import (
    BucketElsewhere,
    BucketUnreadable,
    NotBuilt,
    Published,
    PublishRefused,
    VersionExists,
    publish,
)
from local.greengrass.control_plane.api import Api
from local.greengrass.control_plane.emulator import AwsEmulator
from local.greengrass.control_plane.names import Place
from local.greengrass.control_plane.server import Server

pytestmark = pytest.mark.slow

NAME = "com.example.Web"
REGION = "eu-west-1"
BUCKET = "components"  # the stack's
ACCOUNT = "123456789012"  # moto's
ARN = f"arn:aws:greengrass:{REGION}:{ACCOUNT}:components:{NAME}:versions:"


@pytest.fixture
def calls() -> list[str]:
    """What the session under test asked for, in order, as service.Operation."""
    return []


@pytest.fixture
def session(calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    with mock_aws():
        api = Api(tmp_path / "greengrass", AwsEmulator(None, REGION), Place(REGION, ACCOUNT), lambda: 1.0)
        server = Server(0, api)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_GREENGRASSV2", f"http://127.0.0.1:{server.server_port}")
        recorded = boto3.Session(region_name=REGION)

        def record(model: Any, **_: object) -> None:
            calls.append(f"{model.service_model.service_name}.{model.name}")

        recorded.events.register("before-call", record)
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield recorded
        server.shutdown()
        server.server_close()


def a_build(folder: Path, *, version: str = "1.2.3", artifact: bytes = b"small") -> Path:
    """Leave in ``folder`` what a component build leaves."""
    artifacts = folder / "artifacts" / NAME / version
    artifacts.mkdir(parents=True)
    (artifacts / "web.zip").write_bytes(artifact)
    manifest = {
        "Platform": {"os": "linux", "runtime": "*"},
        "Lifecycle": {"run": {"Script": "true"}},
        "Artifacts": [
            {"URI": "s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/web.zip", "Unarchive": "ZIP"},
        ],
    }
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": NAME,
        "ComponentVersion": version,
        "Manifests": [manifest],
    }
    (folder / "recipes").mkdir()
    (folder / "recipes" / f"{NAME}.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def publish_to(
    session: boto3.Session, build: Path, bucket: str = BUCKET, stack_bucket: str | None = None
) -> Published:
    return publish(
        build,
        f"{NAME}.yaml",
        session=session,
        endpoint_url=None,
        bucket=bucket,
        stack_bucket=stack_bucket or bucket,
        region=REGION,
    )


def test_publishing_makes_exactly_the_calls_of_gdk(
    session: boto3.Session, calls: list[str], tmp_path: Path
) -> None:
    published = publish_to(session, a_build(tmp_path / "build", version="NEXT_PATCH"))

    assert published == Published(NAME, "1.0.0", f"{ARN}1.0.0")
    assert calls == [
        "sts.GetCallerIdentity",
        "greengrassv2.ListComponentVersions",
        "greengrassv2.ListComponentVersions",
        "s3.GetBucketLocation",
        "s3.PutObject",
        "greengrassv2.CreateComponentVersion",
    ]


def test_for_a_fixed_version_nothing_but_the_region_is_looked_up(
    session: boto3.Session, calls: list[str], tmp_path: Path
) -> None:
    publish_to(session, a_build(tmp_path / "first", version="1.2.3"))
    calls.clear()

    publish_to(session, a_build(tmp_path / "second", version="1.2.4"))

    assert calls == [
        "sts.GetCallerIdentity",
        "greengrassv2.ListComponentVersions",
        "s3.GetBucketLocation",
        "s3.PutObject",
        "greengrassv2.CreateComponentVersion",
    ]


def test_an_artifact_over_8_mib_goes_in_parts(
    session: boto3.Session, calls: list[str], tmp_path: Path
) -> None:
    publish_to(session, a_build(tmp_path / "build", artifact=bytes(9 << 20)))

    assert [call for call in calls if call.startswith("s3.")] == [
        "s3.GetBucketLocation",
        "s3.CreateMultipartUpload",
        "s3.UploadPart",
        "s3.UploadPart",
        "s3.CompleteMultipartUpload",
    ]


def test_the_published_recipe_names_the_uploaded_artifact(session: boto3.Session, tmp_path: Path) -> None:
    published = publish_to(session, a_build(tmp_path / "build"))

    greengrass = session.client("greengrassv2")
    shown = greengrass.get_component(arn=published.arn, recipeOutputFormat="YAML")["recipe"]
    [artifact] = yaml.safe_load(shown)["Manifests"][0]["Artifacts"]
    assert artifact["URI"] == f"s3://components/{NAME}/1.2.3/web.zip"
    assert (
        session.client("s3").get_object(Bucket="components", Key=f"{NAME}/1.2.3/web.zip")["Body"].read()
        == b"small"
    )


def test_next_patch_counts_on_from_the_newest_version(session: boto3.Session, tmp_path: Path) -> None:
    publish_to(session, a_build(tmp_path / "first", version="1.9.0"))
    publish_to(session, a_build(tmp_path / "second", version="1.10.4"))

    assert publish_to(session, a_build(tmp_path / "third", version="NEXT_PATCH")).version == "1.10.5"


def test_a_version_that_is_there_already_is_said_to_be(session: boto3.Session, tmp_path: Path) -> None:
    build = a_build(tmp_path / "build")
    publish_to(session, build)

    with pytest.raises(VersionExists, match=r"com\.example\.Web : 1\.2\.3"):
        publish_to(session, build)


def test_a_bucket_in_another_region_is_refused(session: boto3.Session, tmp_path: Path) -> None:
    s3 = session.client("s3", region_name="eu-central-1")
    s3.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})

    with pytest.raises(BucketElsewhere, match="eu-central-1"):
        publish_to(session, a_build(tmp_path / "build"), "elsewhere")


@pytest.mark.parametrize("bucket", ["mine", "not-made-yet"])
def test_any_bucket_but_the_stacks_is_refused_before_anything_is_uploaded(
    session: boto3.Session, calls: list[str], tmp_path: Path, bucket: str
) -> None:
    session.client("s3").create_bucket(
        Bucket="mine", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    calls.clear()

    with pytest.raises(BucketUnreadable, match=f"{bucket}: publish into the stack's own, {BUCKET}"):
        publish_to(session, a_build(tmp_path / "build"), bucket, BUCKET)
    assert calls == []


def test_a_stack_whose_bucket_is_not_there_gets_none_made(
    session: boto3.Session, calls: list[str], tmp_path: Path
) -> None:
    with pytest.raises(BucketUnreadable, match="no bucket nowhere"):
        publish_to(session, a_build(tmp_path / "build"), "nowhere")
    assert not {"s3.CreateBucket", "s3.PutObject"} & set(calls)


def test_a_build_without_the_recipe_under_the_name_that_gdk_looks_for_is_not_published(
    session: boto3.Session, calls: list[str], tmp_path: Path
) -> None:
    """gdk 1.6.2 finds out once everything is uploaded."""
    build = a_build(tmp_path / "build")
    (build / "recipes" / f"{NAME}.yaml").rename(build / "recipes" / "recipe.yaml")

    with pytest.raises(NotBuilt, match=rf"{NAME}\.yaml"):
        publish_to(session, build)
    assert calls == []


def test_what_greengrass_refuses_is_named_by_its_call(session: boto3.Session, tmp_path: Path) -> None:
    build = a_build(tmp_path / "build", version="first")

    with pytest.raises(PublishRefused, match="CreateComponentVersion: ValidationException"):
        publish_to(session, build)


def test_a_folder_that_was_not_built_is_refused_before_any_call(
    session: boto3.Session, calls: list[str], tmp_path: Path
) -> None:
    with pytest.raises(NotBuilt):
        publish_to(session, tmp_path)

    assert calls == []
