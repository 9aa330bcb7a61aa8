"""The published recipe through the stand-in cores' own reading of it, in each dialect."""

import pytest
import yaml

from contract.names import COMPONENT
from edge.packaging import recipe_text
from local.greengrass.control_plane import recipes
from local.greengrass.nucleus.components.recipe import parse
from local.greengrass.nucleus.configuration.interpolation import interpolate
from local.greengrass.nucleus.dialect import DIALECTS, Dialect
from tests.component.test_recipe import RECIPE

TEXT = recipe_text.fill(
    RECIPE.read_text(),
    name=COMPONENT,
    version="1.2.3",
    author="us",
    digests={"amd64": "a" * 64, "arm64": "b" * 64},
)
BOTH = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
MACHINES = pytest.mark.parametrize(
    ("architecture", "artifact"), [("amd64", "agent-amd64"), ("aarch64", "agent-arm64")]
)


@BOTH
@MACHINES
def test_every_variable_of_every_script_is_replaced(
    dialect: Dialect, architecture: str, artifact: str
) -> None:
    slash = "/" if dialect.trailing_slash else ""
    known = {"work:path": f"/gg/work{slash}", "artifacts:path": f"/gg/artifacts{slash}"}

    recipe = parse(TEXT.encode(), architecture=architecture, dialect=dialect)

    for script in (recipe.install, recipe.run):
        assert script is not None
        rendered = interpolate(script.text, known.get, dialect)
        assert rendered.failed_at is None
        assert not set("{}") & set(rendered.text)
        assert f'"/gg/work{slash}"' in rendered.text
    assert recipe.install is not None
    assert f"/gg/artifacts{slash}/{artifact}.zip" in interpolate(recipe.install.text, known.get, dialect).text


@BOTH
def test_no_default_is_lost_between_publishing_and_the_device(dialect: Dialect) -> None:
    """As JSON, which the cloud resolves to, scalars keep their types on Lite too."""
    published = recipes.parse(TEXT.encode())

    recipe = parse(published.to_json(), architecture="amd64", dialect=dialect)

    assert recipe.defaults == yaml.safe_load(TEXT)["ComponentConfiguration"]["DefaultConfiguration"]
    assert recipe.dependencies == {"aws.greengrass.TokenExchangeService": ">=2.0.3 <3.0.0"}
    assert [artifact.unarchive for artifact in recipe.artifacts] == [False]
