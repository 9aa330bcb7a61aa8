"""The published recipe through the stand-in cores' own reading of it, in either dialect."""

import pytest
import yaml

from contract.names import COMPONENT
from edge.packaging import recipe_text
from local.core.dialect import CLASSIC, LITE, Dialect
from local.core.interpolation import interpolate
from local.core.recipe import parse
from local.greengrass_cloud import recipes
from tests.component.test_recipe import RECIPE

TEXT = recipe_text.fill(RECIPE.read_text(), name=COMPONENT, version="1.2.3", author="us")
BOTH = pytest.mark.parametrize("dialect", [CLASSIC, LITE], ids=lambda dialect: dialect.name)
MACHINES = pytest.mark.parametrize(
    ("architecture", "artifact"), [("amd64", "agent-amd64"), ("aarch64", "agent-arm64")]
)


@BOTH
@MACHINES
def test_every_variable_of_every_script_is_replaced(
    dialect: Dialect, architecture: str, artifact: str
) -> None:
    slash = "/" if dialect.trailing_slash else ""
    known = {"work:path": f"/gg/work{slash}", "artifacts:decompressedPath": f"/gg/unarchived{slash}"}

    recipe = parse(TEXT.encode(), architecture=architecture, dialect=dialect)

    for script in (recipe.install, recipe.run):
        assert script is not None
        rendered = interpolate(script.text, known.get, dialect)
        assert rendered.failed_at is None
        assert f"/gg/unarchived{slash}/{artifact}" in rendered.text
        assert not set("{}") & set(rendered.text)


@BOTH
def test_no_default_is_lost_between_publishing_and_the_device(dialect: Dialect) -> None:
    """As JSON, which the cloud resolves to, scalars keep their types on Lite too."""
    published = recipes.parse(TEXT.encode())

    recipe = parse(published.to_json(), architecture="amd64", dialect=dialect)

    assert recipe.defaults == yaml.safe_load(TEXT)["ComponentConfiguration"]["DefaultConfiguration"]
    assert recipe.dependencies == {"aws.greengrass.TokenExchangeService": ">=2.0.3 <3.0.0"}
    assert [artifact.unarchive for artifact in recipe.artifacts] == [True]
