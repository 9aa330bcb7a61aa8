"""GET /images and GET /images/{repository}, over ECR in memory."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cloud.aws.catalog import Catalog
from cloud.functions.images.get_image import get_image
from cloud.functions.images.list_images import list_images
from cloud.ports.catalog import StoredImage
from tests.support.cloud.answers import served
from tests.support.cloud.api import ACCOUNT, NOW, REGION, an_event, body_of

LIST, GET = "GET /images", "GET /images/{repository}"


def a_manifest(layer: str) -> str:
    layers = [{"mediaType": "y", "size": 2, "digest": f"sha256:{layer * 64}"}]
    config = {"mediaType": "x", "size": 1, "digest": f"sha256:{'a' * 64}"}
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers})


@pytest.fixture(scope="module")
def ecr() -> Iterator[Any]:
    with mock_aws(), pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        client = boto3.client("ecr", region_name=REGION)
        for name in ("fleetgrass/web", "fleetgrass/db", "fleetgrass/line/plc", "payroll/secret"):
            client.create_repository(repositoryName=name)
        for tag, layer in (("v1", "1"), ("v2", "2"), ("latest", "2")):
            client.put_image(repositoryName="fleetgrass/web", imageManifest=a_manifest(layer), imageTag=tag)
        yield client


def ask(catalog: Any, route: str, repository: str = "", **query: str) -> dict[str, Any]:
    operation = list_images if route == LIST else get_image
    entry = served(lambda r: operation(r, catalog=catalog), route=route)
    path = {"repository": repository} if repository else {}
    return entry(an_event(route, path=path) | {"queryStringParameters": query or None}, None)


def test_repositories_below_the_prefix_are_listed_and_no_others(ecr: Any) -> None:
    body = body_of(ask(Catalog(ecr, ACCOUNT, "fleetgrass"), LIST))

    assert [one["name"] for one in body["repositories"]] == ["db", "line/plc", "web"]
    assert body["repositories"][2]["uri"] == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/fleetgrass/web"
    assert (body["cursor"], body["truncated"]) == (None, False)


def test_pages_of_repositories_follow_each_other(ecr: Any) -> None:
    catalog = Catalog(ecr, ACCOUNT, "fleetgrass")
    first = body_of(ask(catalog, LIST, limit="2"))
    second = body_of(ask(catalog, LIST, limit="2", cursor=first["cursor"]))

    assert [one["name"] for page in (first, second) for one in page["repositories"]] == [
        "db",
        "line/plc",
        "web",
    ]
    assert second["cursor"] is None


def test_an_image_is_told_with_all_its_tags(ecr: Any) -> None:
    catalog = Catalog(ecr, ACCOUNT, "fleetgrass")
    body = body_of(ask(catalog, GET, "web"))

    assert sorted(tuple(image["tags"]) for image in body["images"]) == [("latest", "v2"), ("v1",)]
    assert all(image["digest"].startswith("sha256:") and image["pushed_at"] for image in body["images"])
    tagged = body_of(ask(catalog, GET, "web", tag="latest"))["images"]
    assert [image["tags"] for image in tagged] == [["latest", "v2"]]


@pytest.mark.parametrize(
    ("repository", "query", "status", "code"),
    [
        ("ghost", {}, 404, "repository-not-found"),
        ("web", {"tag": "v9"}, 404, "tag-not-found"),
        ("web", {"tag": "a b"}, 400, "invalid-parameter"),
        ("web", {"cursor": "eA=="}, 400, "invalid-parameter"),
        ("../payroll/secret", {}, 400, "invalid-parameter"),
    ],
)
def test_what_is_not_there_or_wrong_is_said(
    ecr: Any, repository: str, query: dict[str, str], status: int, code: str
) -> None:
    answer = ask(Catalog(ecr, ACCOUNT, "fleetgrass"), GET, repository, **query)

    assert (answer["statusCode"], body_of(answer)["code"]) == (status, code)


class Pages:
    """ECR that answers page by page, without end."""

    def __init__(self) -> None:
        self.calls = 0

    def describe_images(self, **_request: Any) -> dict[str, Any]:
        self.calls += 1
        detail = {
            "imageDigest": f"sha256:{self.calls:064d}",
            "imagePushedAt": datetime(2026, 11, self.calls, tzinfo=UTC),
            "imageSizeInBytes": 7,
            "imageScanStatus": {"status": "COMPLETE"},
            "imageScanFindingsSummary": {
                "imageScanCompletedAt": NOW, "findingSeverityCounts": {"HIGH": 2},
            },
        }  # fmt: skip
        return {"imageDetails": [detail], "nextToken": "more"}


def test_the_newest_push_is_first_with_its_scan_and_an_endless_registry_is_cut_off() -> None:
    pages = Pages()
    body = body_of(ask(Catalog(pages, ACCOUNT, "fleetgrass"), GET, "web", limit="2"))

    assert pages.calls == 4
    assert body["truncated"]
    assert [image["pushed_at"][:10] for image in body["images"]] == ["2026-11-04", "2026-11-03"]
    assert body["images"][0]["scan"] == {
        "status": "COMPLETE", "completed_at": "2026-11-22T12:00:00Z", "findings": {"HIGH": 2},
    }  # fmt: skip


def test_a_page_goes_on_after_the_image_that_ended_the_one_before() -> None:
    class Three:
        def images(self, repository: str) -> tuple[list[StoredImage], bool]:
            assert repository == "web"
            return [
                StoredImage(f"sha256:{n:064d}", (), None, NOW - timedelta(days=n)) for n in range(3)
            ], False

    first = body_of(ask(Three(), GET, "web", limit="2"))
    second = body_of(ask(Three(), GET, "web", limit="2", cursor=first["cursor"]))

    assert [int(image["digest"][-1]) for page in (first, second) for image in page["images"]] == [0, 1, 2]
    assert second["cursor"] is None
    assert second["images"][0]["scan"] is None
