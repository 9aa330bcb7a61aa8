"""The AWS-owned components that exist without publishing: the nuclei and the token exchange service."""

from local.greengrass.control_plane.recipes import FORMAT, Recipe

_LINUX = [{"Name": "linux", "Platform": {"os": "linux"}, "Lifecycle": {}}]


def _recipe(name: str, version: str, kind: str, **more: object) -> Recipe:
    return Recipe(
        name,
        version,
        {
            "RecipeFormatVersion": FORMAT,
            "ComponentName": name,
            "ComponentVersion": version,
            "ComponentType": kind,
            "ComponentPublisher": "AWS",
            **more,
            "Manifests": _LINUX,
        },
    )


_NUCLEUS_DEFAULTS = {
    "DefaultConfiguration": {
        "componentStoreMaxSizeBytes": "10000000000",
        "deploymentPollingFrequencySeconds": "15",
        "interpolateComponentConfiguration": "false",
        "logging": {},
        "mqtt": {},
        "runWithDefault": {},
        "telemetry": {},
    }
}

RECIPES = (
    _recipe(
        "aws.greengrass.Nucleus", "2.18.0", "aws.greengrass.nucleus", ComponentConfiguration=_NUCLEUS_DEFAULTS
    ),
    _recipe("aws.greengrass.NucleusLite", "2.6.0", "aws.greengrass.nucleus"),
    _recipe(
        "aws.greengrass.TokenExchangeService",
        "2.0.3",
        "aws.greengrass.generic",  # as a plugin the real nucleus could not load it after its first restart
        ComponentConfiguration={"DefaultConfiguration": {"port": 0}},
    ),
)
