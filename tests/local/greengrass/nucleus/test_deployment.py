import json
from collections.abc import Mapping
from typing import Any

import pytest

from cloud.aws.greengrass import Greengrass
from local.greengrass.control_plane import job_document
from local.greengrass.nucleus.components.recipe import Recipe
from local.greengrass.nucleus.deployments.component_store import NotResolved
from local.greengrass.nucleus.deployments.deployment import (
    DocumentRefused,
    Installed,
    Resolution,
    RootsRefused,
    UpdatePolicy,
    read,
    resolve,
)
from local.greengrass.nucleus.dialect import CLASSIC, LITE, LITE_MAIN, Dialect

Requirements = Mapping[str, Mapping[str, str]]


class FakeStore:
    """Knows the newest version of each component only; ``asked`` is what it was asked."""

    def __init__(self, **dependencies: list[str]) -> None:
        self._dependencies = dependencies
        self.asked: list[Requirements] = []

    def resolve(self, requirements: Requirements) -> dict[str, bytes]:
        self.asked.append(requirements)
        unknown = set(requirements) - set(self._dependencies)
        if unknown:
            raise NotResolved(str(unknown))
        return {name: self._recipe(name) for name in requirements}

    def groups(self) -> frozenset[str]:
        return frozenset({"line-3"})

    def fetch(self, recipe: Recipe) -> None:
        pass

    def report(self, status: Mapping[str, Any]) -> None:
        pass

    def _recipe(self, name: str) -> bytes:
        needs = {other: {"VersionRequirement": ">=1.0.0"} for other in self._dependencies[name]}
        return json.dumps(
            {"ComponentName": name, "ComponentVersion": "1.0.0", "ComponentDependencies": needs}
        ).encode()


def a_document(target: str = "thinggroup/line-3", revision: int = 1, **components: str) -> dict[str, Any]:
    return {
        "configurationArn": f"arn:aws:greengrass:eu-west-1:000000000000:configuration:{target}:{revision}",
        "deploymentId": f"{target}-{revision}",
        "creationTimestamp": revision,
        "components": {name: {"version": version} for name, version in components.items()},
    }


def resolved(store: FakeStore, **roots: str) -> Resolution:
    wanted = {name: {"thinggroup/line-3": version} for name, version in roots.items()}
    return resolve(wanted, store, architecture="amd64", dialect=CLASSIC)


def test_the_target_is_the_configuration_without_its_revision() -> None:
    assert read(a_document("thinggroup/line-3")).target == "thinggroup/line-3"
    assert read(a_document("thing/robot-1", 12)).target == "thing/robot-1"


def test_a_merge_may_come_as_a_map_or_as_json_text() -> None:
    for merge in ({"a": 1}, '{"a": 1}'):
        document = a_document(C="1.0.0")
        document["components"]["C"]["configurationUpdate"] = {"merge": merge}
        assert read(document).components["C"].configurationUpdate.merge == {"a": 1}


@pytest.mark.parametrize("broken", [{}, {"configurationArn": 1}, {"components": []}])
def test_a_job_that_is_no_deployment_is_refused_by_name_of_the_field(broken: dict[str, Any]) -> None:
    with pytest.raises(DocumentRefused, match=r"\w+: "):
        read(broken)


def test_a_device_runs_what_all_its_targets_want_and_a_new_revision_replaces_its_own_only() -> None:
    state = Installed()
    state = state.with_deployment(read(a_document("thinggroup/line-3", 1, A="1.0.0", B="1.0.0")))
    state = state.with_deployment(read(a_document("thing/robot-1", 1, A="1.0.0")))
    state = state.with_deployment(read(a_document("thinggroup/line-3", 2, C="2.0.0")))

    assert state.roots() == {"C": {"thinggroup/line-3": "2.0.0"}, "A": {"thing/robot-1": "1.0.0"}}


def test_dependencies_of_dependencies_come_along_and_first() -> None:
    resolution = resolved(FakeStore(app=["lib"], lib=["base"], base=[]), app="1.0.0")

    assert [recipe.name for recipe in resolution.recipes] == ["base", "lib", "app"]


def test_everyone_who_asks_for_a_dependency_has_a_say_in_its_version() -> None:
    store = FakeStore(one=["lib"], two=["lib"], lib=[])
    resolved(store, one="1.0.0", two="1.0.0")

    assert store.asked[-1]["lib"] == {"one": ">=1.0.0", "two": ">=1.0.0"}


def test_a_component_that_nobody_published_fails_the_deployment() -> None:
    with pytest.raises(NotResolved):
        resolved(FakeStore(app=["ghost"]), app="1.0.0")


@pytest.mark.parametrize("lite", [LITE, LITE_MAIN])
@pytest.mark.parametrize("name", ["aws.greengrass.Nucleus", "aws.greengrass.TokenExchangeService"])
def test_lite_fails_a_deployment_that_names_a_component_of_classic(name: str, lite: Dialect) -> None:
    store = FakeStore(**{name: [], "app": [name]})

    with pytest.raises(RootsRefused, match="Failed to do dependency resolution for deployment"):
        resolve({name: {"g": "2.0.0"}}, store, architecture="amd64", dialect=lite)

    resolution = resolve({"app": {"g": "1.0.0"}}, store, architecture="amd64", dialect=lite)
    assert [recipe.name for recipe in resolution.recipes] == ["app"]
    assert all(name not in asked for asked in store.asked)


def test_components_in_a_circle_are_refused() -> None:
    with pytest.raises(DocumentRefused, match="depend on each other"):
        resolved(FakeStore(app=["lib"], lib=["app"]), app="1.0.0")


def test_the_times_that_create_deployment_gives_components_reach_the_core_in_the_job() -> None:
    sent: dict[str, Any] = {}

    class Control:
        def create_deployment(self, **request: Any) -> dict[str, str]:
            sent.update(request)
            return {"deploymentId": "d-1"}

    Greengrass(Control()).create("arn", name="n", components={}, client_token="t")
    record = {
        "id": "d-1",
        "name": "n",
        "created_at": 1.0,
        "components": job_document.components(sent),
        "policies": job_document.policies(sent),
    }
    arn = "arn:aws:greengrass:r:a:configuration:thinggroup/g:1"

    document = read(json.loads(job_document.render(record, arn)))

    assert document.configurationValidationPolicy.timeout == 60
    assert document.componentUpdatePolicy == UpdatePolicy(timeout=60, action="NOTIFY_COMPONENTS")
