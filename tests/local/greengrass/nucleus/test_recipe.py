import json
from typing import Any

import pytest
import yaml

from local.greengrass.nucleus.components.recipe import Recipe, RecipeRefused, parse
from local.greengrass.nucleus.dialect import CLASSIC, LITE, Dialect


def a_recipe(**manifest: Any) -> dict[str, Any]:
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "com.example.C",
        "ComponentVersion": "1.0.0",
        "ComponentConfiguration": {"DefaultConfiguration": {"n": 5, "ratio": 0.5, "on": True, "l": [1]}},
        "Manifests": [
            {"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": {"run": "run it"}, **manifest}
        ],
    }


def read(recipe: dict[str, Any], dialect: Dialect = CLASSIC, architecture: str = "amd64") -> Recipe:
    return parse(json.dumps(recipe).encode(), architecture=architecture, dialect=dialect)


def test_the_first_manifest_for_the_architecture_is_taken() -> None:
    recipe = a_recipe()
    recipe["Manifests"] = [
        {"Platform": {"os": "linux", "architecture": name, "runtime": "*"}, "Lifecycle": {"run": name}}
        for name in ("amd64", "aarch64")
    ]

    run = read(recipe, architecture="aarch64").run

    assert run is not None
    assert run.text == "aarch64"


def test_a_recipe_for_another_platform_is_refused() -> None:
    with pytest.raises(RecipeRefused, match="no manifest for linux/arm"):
        read(a_recipe(Platform={"os": "linux", "architecture": "/amd64|aarch64/"}), architecture="arm")


def test_lite_takes_no_manifest_that_does_not_name_a_runtime() -> None:
    recipe = a_recipe(Platform={"os": "linux"})

    assert read(recipe, CLASSIC).run
    with pytest.raises(RecipeRefused):
        read(recipe, LITE)


def test_classic_reads_lifecycle_keys_in_any_case_and_lite_only_as_documented() -> None:
    recipe = a_recipe(Lifecycle={"Install": {"script": "install it", "timeout": 5}, "RUN": "run it"})

    classic, lite = read(recipe, CLASSIC), read(recipe, LITE)

    assert classic.install is not None
    assert (classic.install.text, classic.install.timeout_s) == ("install it", 5)
    assert classic.run is not None
    assert (lite.install, lite.run) == (None, None)


def test_scalars_of_a_yaml_recipe_are_text_to_lite_and_typed_to_classic() -> None:
    source = yaml.safe_dump(a_recipe()).encode()

    classic = parse(source, architecture="amd64", dialect=CLASSIC).defaults
    lite = parse(source, architecture="amd64", dialect=LITE).defaults

    assert classic == {"n": 5, "ratio": 0.5, "on": True, "l": [1]}
    assert lite == {"n": "5", "ratio": "0.5", "on": "true", "l": ["1"]}


def test_a_steps_own_setenv_wins_over_the_lifecycles() -> None:
    lifecycle = {"Setenv": {"A": "1", "B": 2}, "run": {"Script": "x", "Setenv": {"A": "own"}}}

    run = read(a_recipe(Lifecycle=lifecycle)).run

    assert run is not None
    assert run.environment == {"A": "own", "B": "2"}


def test_what_the_nucleus_brings_itself_needs_no_manifest_for_this_device() -> None:
    recipe = a_recipe(Platform={"os": "windows"})
    recipe["ComponentName"] = "aws.greengrass.TokenExchangeService"

    assert read(recipe, LITE).run is None
