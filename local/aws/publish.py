"""A boto3 twin of ``gdk component publish`` 1.6.2: the same calls in the same order, from the same folder.

PublishError
├── NotBuilt           not-built            the folder is not what a component build leaves
├── BucketElsewhere    bucket-elsewhere     the bucket is in another region
├── BucketUnreadable   bucket-unreadable    it is not the stack's bucket, and devices read no other
├── VersionExists      version-exists       this version is published already
└── PublishRefused     publish-refused      AWS refused a call; the message names it

The calls: STS GetCallerIdentity; Greengrass ListComponentVersions, once to see that the region has it and
once more when the version is NEXT_PATCH; S3 GetBucketLocation, an upload per artifact (PutObject, in parts
over 8 MiB); Greengrass CreateComponentVersion with the artifacts' URIs filled into the recipe. Where there
is no such bucket gdk makes one (CreateBucket), which devices could not read; this refuses.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import boto3
import yaml
from botocore.exceptions import BotoCoreError, ClientError

NEXT_PATCH = "NEXT_PATCH"
_FIRST_VERSION = "1.0.0"  # what gdk calls the first when it may choose


class PublishError(Exception):
    """The component was not published."""

    code: ClassVar[str] = "publish-failed"


class NotBuilt(PublishError):
    """The folder is not what a component build leaves."""

    code = "not-built"


class BucketElsewhere(PublishError):
    """The bucket exists in another region, where Greengrass would not read it."""

    code = "bucket-elsewhere"


class BucketUnreadable(PublishError):
    """The bucket is not the stack's, whose role lets devices read no other."""

    code = "bucket-unreadable"


class VersionExists(PublishError):
    """This version is published already; a version is never replaced."""

    code = "version-exists"


class PublishRefused(PublishError):
    """AWS refused a call."""

    code = "publish-refused"


@dataclass(frozen=True, slots=True)
class Published:
    """The component version that Greengrass now has."""

    name: str
    version: str
    arn: str


def publish(
    build_folder: Path,
    recipe: str,
    *,
    session: boto3.Session,
    endpoint_url: str | None,
    bucket: str,
    stack_bucket: str,
    region: str,
) -> Published:
    """Publish what a component build left in ``build_folder`` into ``bucket``, which is to be the stack's.

    ``recipe`` is the name of the file that the checkout's recipe.yaml is, or is a link to: gdk looks for that
    name in the build. ``endpoint_url`` None means AWS, or what AWS_ENDPOINT_URL and its kind say.

    Raises:
        PublishError: nothing was published (artifacts may have been uploaded).
    """
    name, built_version, artifacts = _built(build_folder, recipe)
    if bucket != stack_bucket:
        raise BucketUnreadable(f"devices cannot read {bucket}: publish into the stack's own, {stack_bucket}")

    def client(service: str) -> Any:
        return session.client(service, region_name=region, endpoint_url=endpoint_url)  # type: ignore[call-overload]

    with _refusals():
        account = client("sts").get_caller_identity()["Account"]
        greengrass = client("greengrassv2")
        arn = f"arn:aws:greengrass:{region}:{account}:components:{name}"
        greengrass.list_component_versions(arn=arn)
        version = _next_patch(greengrass, arn) if built_version == NEXT_PATCH else built_version
        s3 = client("s3")
        _check_bucket(s3, bucket, region)
        for artifact in artifacts:
            s3.upload_file(str(artifact), bucket, f"{name}/{version}/{artifact.name}")
        uploaded = {artifact.name for artifact in artifacts}
        filled = _recipe(build_folder / "recipes" / recipe, name, version, bucket, uploaded)
        (build_folder / "recipes" / f"{name}-{version}.yaml").write_text(filled)
        created = greengrass.create_component_version(inlineRecipe=filled)
    return Published(created["componentName"], created["componentVersion"], created["arn"])


def _built(build_folder: Path, recipe: str) -> tuple[str, str, list[Path]]:
    folders = [folder for folder in build_folder.glob("artifacts/*/*") if folder.is_dir()]
    if len(folders) != 1 or not (build_folder / "recipes" / recipe).exists():
        raise NotBuilt(f"{build_folder} holds no built component with {recipe}; run `make component` first")
    [folder] = folders
    return folder.parent.name, folder.name, sorted(folder.iterdir())


def _next_patch(greengrass: Any, arn: str) -> str:
    versions = greengrass.list_component_versions(arn=arn)["componentVersions"]
    if not versions:
        return _FIRST_VERSION
    major, minor, patch = versions[0]["componentVersion"].partition("-")[0].split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def _check_bucket(s3: Any, bucket: str, region: str) -> None:
    try:
        location = s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1"
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
        raise BucketUnreadable(f"there is no bucket {bucket}: the stack's output Bucket names it") from error
    if location != region:
        raise BucketElsewhere(f"the bucket {bucket} is in {location}; the component is for {region}")


def _recipe(source: Path, name: str, version: str, bucket: str, uploaded: set[str]) -> str:
    recipe = yaml.safe_load(source.read_text())
    if recipe.get("ComponentName") != name:
        raise NotBuilt(f"the recipe is of {recipe.get('ComponentName')}, the artifacts are of {name}")
    recipe["ComponentVersion"] = version
    for manifest in recipe.get("Manifests", []):
        for artifact in manifest.get("Artifacts", []):
            file = artifact["URI"].rpartition("/")[2]
            if artifact["URI"].startswith("s3://") and file in uploaded:
                artifact["URI"] = f"s3://{bucket}/{name}/{version}/{file}"
    return yaml.safe_dump(recipe, sort_keys=False)


@contextmanager
def _refusals() -> Iterator[None]:
    """Let no botocore error through."""
    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if error.operation_name == "CreateComponentVersion" and code == "ConflictException":
            raise VersionExists(message) from error
        raise PublishRefused(f"{error.operation_name}: {code}: {message}") from error
    except (BotoCoreError, boto3.exceptions.Boto3Error) as error:
        raise PublishRefused(str(error)) from error
