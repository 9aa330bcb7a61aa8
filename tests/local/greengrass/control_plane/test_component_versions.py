"""Component versions, as boto3's client makes and reads them."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from contract.names import COMPONENT
from tests.local.greengrass.control_plane.memory_emulator import MemoryEmulator
from tests.local.greengrass.control_plane.requests_as_sdk import ACCOUNT, a_recipe, client_of, component_arn

ARTIFACT = "s3://artifacts/com.example.Web/1.0.0/web.zip"


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_created_version_is_deployable_and_can_be_described(greengrass: Any) -> None:
    created = greengrass.create_component_version(inlineRecipe=a_recipe())

    described = greengrass.describe_component(arn=created["arn"])

    assert created["arn"] == component_arn(version="1.0.0")
    assert described["status"]["componentState"] == "DEPLOYABLE"
    assert described["publisher"] == "us"
    assert described["platforms"][0]["attributes"]["architecture"] == "amd64"


def test_token_exchange_is_a_generic_component(greengrass: Any) -> None:
    """As a plugin the real nucleus could not load it after its first restart, and the agent never started."""
    arn = component_arn("aws.greengrass.TokenExchangeService", "2.0.3").replace(ACCOUNT, "aws")

    recipe = json.loads(greengrass.get_component(arn=arn)["recipe"])

    assert recipe["ComponentType"] == "aws.greengrass.generic"


def test_a_second_creation_of_a_version_is_a_conflict(greengrass: Any) -> None:
    greengrass.create_component_version(inlineRecipe=a_recipe())

    with pytest.raises(ClientError) as refused:
        greengrass.create_component_version(inlineRecipe=a_recipe())

    assert refusal(refused) == ("ConflictException", 409)
    assert refused.value.response["resourceId"] == component_arn(version="1.0.0")  # type: ignore[typeddict-item]


def test_the_same_request_sent_twice_is_answered_twice_and_made_once(greengrass: Any) -> None:
    first = greengrass.create_component_version(inlineRecipe=a_recipe(), clientToken="once")
    again = greengrass.create_component_version(inlineRecipe=a_recipe(), clientToken="once")

    assert again["creationTimestamp"] == first["creationTimestamp"]


def test_an_unknown_component_has_no_versions_and_that_is_no_error(greengrass: Any) -> None:
    assert (
        greengrass.list_component_versions(arn=component_arn("com.example.Ghost"))["componentVersions"] == []
    )


def test_versions_are_listed_newest_first_by_number_not_by_text(greengrass: Any) -> None:
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.1", "1.2.0"):
        greengrass.create_component_version(inlineRecipe=a_recipe(version=version))

    listed = greengrass.list_component_versions(arn=component_arn())["componentVersions"]

    assert [entry["componentVersion"] for entry in listed] == ["1.10.0", "1.10.0-rc.1", "1.9.0", "1.2.0"]


def test_a_long_list_comes_in_pages(greengrass: Any) -> None:
    for minor in range(5):
        greengrass.create_component_version(inlineRecipe=a_recipe(version=f"1.{minor}.0"))

    pages = list(
        greengrass.get_paginator("list_component_versions").paginate(
            arn=component_arn(), PaginationConfig={"PageSize": 2}
        )
    )

    assert [len(page["componentVersions"]) for page in pages] == [2, 2, 1]


def test_keys_of_a_recipe_may_be_in_any_case(greengrass: Any) -> None:
    recipe = json.dumps(
        {
            "recipeformatversion": "2020-01-25",
            "COMPONENTNAME": "com.example.Web",
            "componentVersion": "1.0.0",
            "manifests": [{"platform": {"os": "linux"}, "lifecycle": {"run": {"Script": "true"}}}],
        }
    ).encode()

    created = greengrass.create_component_version(inlineRecipe=recipe)

    shown = json.loads(greengrass.get_component(arn=created["arn"], recipeOutputFormat="JSON")["recipe"])
    assert shown["ComponentName"] == "com.example.Web"
    assert shown["Manifests"][0]["Lifecycle"] == {"run": {"Script": "true"}}


def test_the_recipe_shown_has_the_digest_of_each_artifact(greengrass: Any, emulator: MemoryEmulator) -> None:
    emulator.objects[ARTIFACT] = b"a zip"
    manifest = {"Lifecycle": {}, "Artifacts": [{"Uri": ARTIFACT, "Unarchive": "ZIP"}]}
    created = greengrass.create_component_version(inlineRecipe=a_recipe(Manifests=[manifest]))

    shown = yaml.safe_load(greengrass.get_component(arn=created["arn"], recipeOutputFormat="YAML")["recipe"])

    assert shown["Manifests"][0]["Artifacts"] == [
        {
            "URI": ARTIFACT,
            "Unarchive": "ZIP",
            "Digest": base64.b64encode(hashlib.sha256(b"a zip").digest()).decode(),
            "Algorithm": "SHA-256",
        }
    ]


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (b"\x00", "neither YAML nor JSON"),
        (b"[]", "not a map"),
        (a_recipe(RecipeFormatVersion="2019-01-01"), "RecipeFormatVersion"),
        (a_recipe(ComponentName=None), "ComponentName"),
        (a_recipe(name="aws.greengrass.Mine"), "aws."),
        (a_recipe(version="1.0"), "ComponentVersion"),
        (a_recipe(version="NEXT_PATCH"), "ComponentVersion"),
        (a_recipe(componentname="com.example.Twin"), "twice"),
        (a_recipe(Manifests="all"), "Manifests"),
        (a_recipe(Manifests=[{"Artifacts": [{"Unarchive": "ZIP"}]}]), "URI"),
        (a_recipe(Manifests=[{"Artifacts": [{"URI": ARTIFACT}]}]), f"{ARTIFACT} = "),
        (a_recipe(ComponentDependencies={"x": {"VersionRequirement": "newest"}}), "newest"),
        (a_recipe(ComponentDescription="long" * 4_000), "bytes"),
    ],
)
def test_a_bad_recipe_is_refused_naming_what_is_wrong(greengrass: Any, recipe: bytes, named: str) -> None:
    with pytest.raises(ClientError) as refused:
        greengrass.create_component_version(inlineRecipe=recipe)

    assert refusal(refused) == ("ValidationException", 400)
    assert named in refused.value.response["Error"]["Message"]


def test_components_are_listed_by_owner(greengrass: Any) -> None:
    greengrass.create_component_version(inlineRecipe=a_recipe())
    greengrass.create_component_version(inlineRecipe=a_recipe(version="1.1.0"))

    private = greengrass.list_components()["components"]
    public = greengrass.list_components(scope="PUBLIC")["components"]

    assert [(c["componentName"], c["latestVersion"]["componentVersion"]) for c in private] == [
        ("com.example.Web", "1.1.0")
    ]
    assert {"aws.greengrass.Nucleus", "aws.greengrass.TokenExchangeService"} <= {
        c["componentName"] for c in public
    }


def test_a_version_that_does_not_exist_is_not_found(greengrass: Any) -> None:
    with pytest.raises(ClientError) as refused:
        greengrass.describe_component(arn=component_arn(version="9.9.9"))

    assert refusal(refused) == ("ResourceNotFoundException", 404)


def test_versions_are_there_after_a_restart(serve: Callable[[], str]) -> None:
    client_of(serve()).create_component_version(inlineRecipe=a_recipe())

    listed = client_of(serve()).list_component_versions(arn=component_arn())["componentVersions"]

    assert [entry["componentVersion"] for entry in listed] == ["1.0.0"]


class TestResolving:
    """ResolveComponentCandidates, which core devices call."""

    @staticmethod
    def resolve(greengrass: Any, requirement: str, **candidate: str) -> list[dict[str, Any]]:
        answer = greengrass.resolve_component_candidates(
            platform={
                "attributes": {"os": "linux", "architecture": "amd64", "runtime": "aws_nucleus_classic"}
            },
            componentCandidates=[
                {
                    "componentName": "com.example.Web",
                    "versionRequirements": {"thinggroup/line-3": requirement},
                    **candidate,
                }
            ],
        )
        resolved: list[dict[str, Any]] = answer["resolvedComponentVersions"]
        return resolved

    def test_the_newest_version_that_satisfies_all_requirements_is_chosen(self, greengrass: Any) -> None:
        for version in ("1.0.0", "1.1.0", "2.0.0"):
            greengrass.create_component_version(inlineRecipe=a_recipe(version=version))

        [resolved] = self.resolve(greengrass, ">=1.0.0 <2.0.0")

        assert resolved["componentVersion"] == "1.1.0"
        assert json.loads(resolved["recipe"])["ComponentVersion"] == "1.1.0"

    def test_the_version_a_device_has_is_kept_while_it_satisfies(self, greengrass: Any) -> None:
        for version in ("1.0.0", "1.1.0"):
            greengrass.create_component_version(inlineRecipe=a_recipe(version=version))

        [resolved] = self.resolve(greengrass, "^1.0.0", componentVersion="1.0.0")

        assert resolved["componentVersion"] == "1.0.0"

    def test_no_version_for_the_platform_is_not_found(self, greengrass: Any) -> None:
        manifest = {"Platform": {"os": "linux", "architecture": "aarch64"}, "Lifecycle": {}}
        greengrass.create_component_version(inlineRecipe=a_recipe(Manifests=[manifest]))

        with pytest.raises(ClientError) as refused:
            self.resolve(greengrass, "==1.0.0")

        assert refusal(refused) == ("ResourceNotFoundException", 404)

    def test_aws_owned_components_resolve_without_publishing(self, greengrass: Any) -> None:
        [resolved] = self.resolve(
            greengrass, ">=2.0.3 <3.0.0", componentName="aws.greengrass.TokenExchangeService"
        )

        assert resolved["componentVersion"] == "2.0.3"
        assert ":aws:components:" in resolved["arn"]


def test_our_own_recipe_is_accepted_once_its_artifacts_are_uploaded(
    greengrass: Any, emulator: MemoryEmulator
) -> None:
    text = (Path(__file__).parents[4] / "recipes" / f"{COMPONENT}.yaml").read_text()
    for placeholder, value in (("NAME", COMPONENT), ("VERSION", "0.1.0"), ("AUTHOR", "fleetgrass")):
        text = text.replace(f"{{COMPONENT_{placeholder}}}", value)
    for architecture in ("amd64", "arm64"):
        emulator.objects[f"s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/agent-{architecture}.zip"] = (
            b"zip"
        )

    created = greengrass.create_component_version(inlineRecipe=text.encode())

    assert created["componentName"] == COMPONENT
