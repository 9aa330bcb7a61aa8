"""The accessControl lists: what a device has gathered of them, and that the agent may then do all it must."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from contract import topics
from contract.names import COMPONENT
from edge.packaging.access_lists import MAX_BYTES, SERVICE, bytes_of, faults, id_of
from edge.packaging.recipe_defaults import DefaultsUnreadable, defaults
from local.greengrass.nucleus.components.recipe import parse
from local.greengrass.nucleus.configuration.store import Configuration
from local.greengrass.nucleus.deployments.deployment import read
from local.greengrass.nucleus.deployments.merging import Merging
from local.greengrass.nucleus.dialect import DIALECTS, Dialect
from local.greengrass.nucleus.ipc.access import allows

ROOT = Path(__file__).resolve().parents[2]
NEW = (ROOT / "recipes" / f"{COMPONENT}.yaml").read_text()
OLD = (Path(__file__).parent / "recipes" / f"{COMPONENT}-0.1.0.yaml").read_text()
THING = "robot-1"
EACH = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
PUBLISHED = {
    topics.connection(THING),
    topics.report(THING),
    *(topics.command_result(THING, each) for each in get_args(topics.Command) if each not in ("time", "ack")),
}
HEARD = {topics.command_request(THING, command) for command in get_args(topics.Command)}


def shipped() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "recipes" / "access-control-lists.json").read_text())
    return loaded


def access_control(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)["ComponentConfiguration"]["DefaultConfiguration"][
        "accessControl"
    ]
    return loaded


def deploy(store: Configuration, dialect: Dialect, text: str) -> None:
    """Merge a version's defaults into what the device has, as a deployment of it does."""
    filled = text.replace("{COMPONENT_NAME}", COMPONENT).replace("{COMPONENT_VERSION}", "1.2.3")
    # As JSON, which is what the cloud resolves a recipe to.
    source = json.dumps(yaml.safe_load(filled)).encode()
    recipe = parse(source, architecture="amd64", dialect=dialect)
    document = read(
        {
            "configurationArn": "arn:aws:greengrass:r:a:configuration:thinggroup/g:1",
            "deploymentId": "1",
            "creationTimestamp": 1_000_000,
            "components": {COMPONENT: {"version": "1.2.3"}},
        }
    )
    Merging(store, dialect, lambda _, value: value).deploy(document, [recipe])


def may(store: Configuration, dialect: Dialect, operation: str) -> set[str]:
    """Return which of the topics that the agent needs it may use."""
    lists = store.get(COMPONENT, ["accessControl"])
    return {
        topic
        for topic in (PUBLISHED if operation == "PublishToIoTCore" else HEARD)
        if allows(lists, SERVICE, operation, topic, dialect=dialect, thing=THING)
    }


@EACH
@pytest.mark.parametrize("before", [[], [OLD]], ids=["on-a-new-device", "after-0.1.0"])
def test_the_agent_may_do_all_it_must(dialect: Dialect, before: list[str]) -> None:
    store = Configuration(dialect)
    for text in (*before, NEW):
        deploy(store, dialect, text)

    assert may(store, dialect, "PublishToIoTCore") == PUBLISHED
    assert may(store, dialect, "SubscribeToIoTCore") == HEARD


@EACH
def test_a_list_of_the_version_before_stays_on_the_device(dialect: Dialect) -> None:
    """Why an id is never used for another content: this is what a device makes of it."""
    store = Configuration(dialect)
    deploy(store, dialect, OLD)
    deploy(store, dialect, NEW)

    found = store.get(COMPONENT, ["accessControl", SERVICE])
    assert found == access_control(OLD)[SERVICE] | access_control(NEW)[SERVICE]


@EACH
def test_a_device_that_has_gathered_every_list_may_still_do_all(dialect: Dialect) -> None:
    store = Configuration(dialect)
    store.merge(COMPONENT, ("accessControl",), {SERVICE: shipped()}, at_ms=1)

    assert may(store, dialect, "PublishToIoTCore") == PUBLISHED
    assert may(store, dialect, "SubscribeToIoTCore") == HEARD


def test_all_lists_ever_shipped_fit_into_what_lite_reads() -> None:
    together = {SERVICE: shipped()}

    assert len(json.dumps(together, separators=(",", ":"))) < MAX_BYTES
    assert bytes_of(together) < MAX_BYTES


def test_nothing_is_allowed_beyond_answers_events_reports_and_commands() -> None:
    store = Configuration(DIALECTS["classic"])
    deploy(store, DIALECTS["classic"], NEW)
    lists = store.get(COMPONENT, ["accessControl"])

    for operation, topic in (
        ("PublishToIoTCore", f"cmd/fleetgrass/{THING}/reboot/req"),
        ("PublishToIoTCore", f"dt/fleetgrass/{THING}/report/more"),
        ("SubscribeToIoTCore", f"cmd/fleetgrass/{THING}/reboot/res"),
        ("SubscribeToIoTCore", "cmd/fleetgrass/#"),
        ("SubscribeToIoTCore", f"$aws/things/{THING}/jobs/notify"),
    ):
        assert not allows(lists, SERVICE, operation, topic, dialect=DIALECTS["classic"], thing=THING)


def test_the_lists_that_0_1_0_shipped_are_on_file_as_they_were() -> None:
    for name, content in access_control(OLD)[SERVICE].items():
        assert shipped()[name] == content


def test_our_recipe_has_no_fault() -> None:
    assert faults(access_control(NEW), shipped(), COMPONENT) == []


def test_no_list_needs_the_nucleus_to_fill_in_a_name() -> None:
    for content in access_control(NEW)[SERVICE].values():
        assert not set("{}") & set("".join(content["resources"]))


@pytest.mark.parametrize("name", [*access_control(OLD)[SERVICE], *access_control(NEW)[SERVICE]])
def test_a_list_that_was_shipped_and_is_altered_is_a_fault(name: str) -> None:
    altered = shipped()
    altered[name]["resources"].append("dt/fleetgrass/+/more")

    assert any(
        name in fault and "altered" in fault for fault in faults(access_control(NEW), altered, COMPONENT)
    )


@pytest.mark.parametrize("name", [*access_control(OLD)[SERVICE], *access_control(NEW)[SERVICE]])
def test_a_list_that_is_taken_off_the_file_is_a_fault(name: str) -> None:
    fewer = {key: content for key, content in shipped().items() if key != name}

    assert any(name in fault for fault in faults(access_control(NEW), fewer, COMPONENT))


def test_a_list_under_an_id_of_another_content_is_a_fault() -> None:
    lists = access_control(NEW)[SERVICE]
    changed = {name: content | {"resources": ["#"]} for name, content in lists.items()}

    found = faults({SERVICE: changed}, shipped(), COMPONENT)

    for content in changed.values():
        assert any(id_of(COMPONENT, content) in fault for fault in found)


def test_more_than_a_device_can_read_is_a_fault() -> None:
    content = {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["x" * MAX_BYTES]}

    found = faults(access_control(NEW), shipped() | {id_of(COMPONENT, content): content}, COMPONENT)

    assert any("4,096" in fault for fault in found)


@pytest.mark.parametrize("text", [NEW, OLD])
def test_the_builds_reading_of_the_defaults_is_yamls(text: str) -> None:
    assert defaults(text) == yaml.safe_load(text)["ComponentConfiguration"]["DefaultConfiguration"]


@pytest.mark.parametrize(
    "line", ["    heartbeat_s: 1:30", "    heartbeat_s:", "    heartbeat_s: {a: 1}", "    heartbeat_s: plain"]
)
def test_a_default_that_is_not_json_is_refused_and_named(line: str) -> None:
    with pytest.raises(DefaultsUnreadable, match=r"heartbeat_s|plain|1:30|a: 1"):
        defaults(NEW.replace("    heartbeat_s: 60", line))
