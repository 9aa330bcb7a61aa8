"""What a deployment does to the components of a device: real processes, no network."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.greengrass.nucleus.components.launch import Surroundings
from local.greengrass.nucleus.components.process import kill_leftovers
from local.greengrass.nucleus.components.recipe import Recipe
from local.greengrass.nucleus.configuration.store import Configuration
from local.greengrass.nucleus.deployments.component_store import (
    CloudUnreachable,
    GroupsForbidden,
    NotResolved,
)
from local.greengrass.nucleus.deployments.deployment import (
    DeploymentFailed,
    DeploymentRejected,
    PowerLost,
    read,
)
from local.greengrass.nucleus.deployments.installation import Installation
from local.greengrass.nucleus.device import Device, Folder
from local.greengrass.nucleus.dialect import DIALECTS
from local.greengrass.nucleus.ipc import Components
from local.greengrass.nucleus.ipc.consultation import Answer, Asked

pytestmark = pytest.mark.slow

APP = "com.example.App"
NUCLEUS = "aws.greengrass.Nucleus"
TOKEN_EXCHANGE = "aws.greengrass.TokenExchangeService"
SAY = 'echo "$$ {configuration:/word}" >> "{work:path}/said"; exec sleep 60'


class Store:
    """Published components, by name and version; ``online`` is whether anybody answers."""

    def __init__(self) -> None:
        self.published: dict[tuple[str, str], dict[str, Any]] = {}
        self.online = True
        self.memberships: set[str] | None = {"g"}  # None: the device may not ask
        self.publish(NUCLEUS, "2.18.0")
        self.publish(TOKEN_EXCHANGE, ">=2.0.0")

    def publish(self, name: str, version: str, defaults: object = None, **lifecycle: object) -> None:
        self.published[name, version] = {
            "ComponentName": name,
            "ComponentVersion": version,
            "ComponentConfiguration": {"DefaultConfiguration": defaults or {}},
            "Manifests": [{"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": lifecycle}],
        }

    def resolve(self, requirements: Mapping[str, Mapping[str, str]]) -> dict[str, bytes]:
        if not self.online:
            raise CloudUnreachable("nobody answers")
        found = {}
        for name, wanted in requirements.items():
            recipe = self.published.get((name, next(iter(wanted.values()))))
            if recipe is None:
                raise NotResolved(f"{name} {dict(wanted)}")
            found[name] = json.dumps(recipe).encode()
        return found

    def groups(self) -> frozenset[str]:
        if not self.online:
            raise CloudUnreachable("nobody answers")
        if self.memberships is None:
            raise GroupsForbidden("User is not authorized")
        return frozenset(self.memberships)

    def fetch(self, recipe: Recipe) -> None:
        pass

    def report(self, status: Mapping[str, Any]) -> None:
        pass


class Machine:
    """One device whose cloud is the store."""

    def __init__(self, root: Path, dialect: str, component_user: str | None = None) -> None:
        self.folder = Folder(root)
        self.store = Store()
        self.dialect = dialect
        self.device = Device(
            thing="robot-1",
            region="eu-west-1",
            account="000000000000",
            endpoint_url="http://127.0.0.1:1",
            mqtt_host="127.0.0.1",
            mqtt_port=1,
            ca_path=root / "ca",
            cert_path=root / "cert",
            key_path=root / "key",
            role_arn="arn:aws:iam::000000000000:role/r",
            dialect=dialect,
            component_user=component_user,
        )
        self._revision = 0
        self.clock_ms = 5_000_000
        self.power_on()

    def power_on(self) -> None:
        self.configuration = Configuration(DIALECTS[self.device.dialect], self.folder.configuration)
        self.components = Components()
        surroundings = Surroundings(
            self.device,
            self.folder,
            self.configuration,
            self.components,
            self.folder.socket,
            lambda: "http://localhost:1/",
        )
        self.installation = Installation(surroundings, self.store, lambda: None, now_ms=lambda: self.clock_ms)
        self.installation.boot()

    def deploy(
        self,
        version: str | None,
        *,
        nucleus: Mapping[str, object] | None = None,
        created_at_ms: int | None = None,
        posix_user: str | None = None,
        target: str = "thinggroup/g",
        **merge: object,
    ) -> None:
        """Deploy the app (None: it is not named any more); ``nucleus`` is a merge of the core's own."""
        self._revision += 1
        components: dict[str, Any] = {NUCLEUS: {"version": "2.18.0"}} if self.dialect == "classic" else {}
        if nucleus is not None:
            components[NUCLEUS]["configurationUpdate"] = {"merge": nucleus}
        if version is not None:
            components[APP] = {"version": version}
        if version is not None and merge:
            components[APP]["configurationUpdate"] = {"merge": merge}
        if posix_user is not None:
            components[APP]["runWith"] = {"posixUser": posix_user}
        document = {
            "configurationArn": f"arn:aws:greengrass:r:a:configuration:{target}:{self._revision}",
            "deploymentId": str(self._revision),
            "creationTimestamp": created_at_ms or 1_000_000 + self._revision,
            "components": components,
            "configurationValidationPolicy": {"timeout": 1},
        }
        self.installation.apply(read(document), f"job-{self._revision}")

    def state(self) -> str:
        """Where the app stands, as the core tells the cloud."""
        components = self.installation.status()["components"]
        return str(next(each["lifecycleState"] for each in components if each["componentName"] == APP))

    def answering(self, refusal: str | None) -> list[Asked]:
        """Have the app answer what it is asked; return where the questions go."""
        asked: list[Asked] = []
        consultation = self.components.consultation

        def validity(question: Asked) -> None:
            asked.append(question)
            consultation.answer("validity", APP, question.deployment_id, Answer(refusal=refusal))

        def update(question: Asked) -> None:
            asked.append(question)
            if not question.done:
                consultation.answer("update", APP, question.deployment_id, Answer())

        consultation.listen("validity", APP, validity)
        consultation.listen("update", APP, update)
        return asked

    def said(self, count: int) -> list[tuple[int, str]]:
        """Wait for that many starts of the app; return process id and word of each."""
        path = self.folder.work(APP) / "said"

        def lines() -> list[str]:
            return path.read_text().splitlines() if path.exists() else []

        assert until(lambda: len(lines()) >= count), f"{len(lines())} starts"
        return [(int(line.split()[0]), line.partition(" ")[2]) for line in lines()]


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists() and bool(Path(f"/proc/{pid}/cmdline").read_bytes())


@pytest.fixture(params=["classic", "lite", "lite-main"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, request.param)
    made.store.publish(APP, "1.0.0", {"word": "first"}, run=SAY)
    yield made
    made.installation.cut()


classic = pytest.mark.parametrize("machine", ["classic"], indirect=True)
lite = pytest.mark.parametrize("machine", ["lite", "lite-main"], indirect=True)


def test_what_was_deployed_starts_again_at_power_on_without_any_cloud(machine: Machine) -> None:
    machine.deploy("1.0.0", word="merged")
    (first,) = machine.said(1)
    machine.installation.cut()
    assert not alive(first[0])

    machine.store.online = False
    machine.power_on()

    assert [word for _, word in machine.said(2)] == ["merged", "merged"]


def test_without_the_cloud_a_deployment_fails_and_everything_stays(machine: Machine) -> None:
    machine.deploy("1.0.0")
    (first,) = machine.said(1)
    machine.store.online = False

    with pytest.raises(DeploymentFailed) as failed:
        machine.deploy("1.0.0", word="second")

    assert (failed.value.state, failed.value.code) == ("FAILED_NO_STATE_CHANGE", "CLOUD_API_ERROR")
    assert machine.configuration.get(APP, ["word"]) == "first"
    assert alive(first[0])


@classic
def test_an_install_that_fails_is_rolled_back_to_the_old_version_which_was_stopped_for_it(
    machine: Machine,
) -> None:
    machine.deploy("1.0.0")
    (first,) = machine.said(1)
    machine.store.publish(APP, "2.0.0", {"word": "second"}, install="exit 7", run=SAY)

    with pytest.raises(DeploymentFailed, match=f"Service {APP} in broken state") as failed:
        machine.deploy("2.0.0", extra=1)

    assert (failed.value.state, failed.value.code) == ("FAILED_ROLLBACK_COMPLETE", "COMPONENT_BROKEN")
    assert machine.configuration.get(APP) == {"word": "first"}
    assert [word for _, word in machine.said(2)] == ["first", "first"]
    assert not alive(first[0])


CHECK_OLD = (
    'kill -0 $(cut -d" " -f1 "{work:path}/said" | tail -1) 2>/dev/null && touch "{work:path}/beside"; true'
)


def test_an_update_stops_the_old_version_first_in_classic_and_installs_beside_it_in_lite(
    machine: Machine,
) -> None:
    machine.deploy("1.0.0")
    (first,) = machine.said(1)
    machine.store.publish(APP, "2.0.0", {}, install=CHECK_OLD, run=SAY)

    machine.deploy("2.0.0")

    second = machine.said(2)[1]
    assert alive(second[0])
    assert not alive(first[0])
    assert (machine.folder.work(APP) / "beside").exists() is (machine.dialect != "classic")


@classic
def test_a_version_that_runs_at_the_look_a_second_after_its_start_is_a_success_and_broken_soon(
    machine: Machine,
) -> None:
    machine.store.publish(APP, "2.0.0", {}, run="sleep 1.5; exit 1")

    machine.deploy("2.0.0")

    assert until(lambda: machine.state() == "BROKEN")


@classic
def test_a_version_that_is_broken_at_the_first_look_fails_the_deployment(machine: Machine) -> None:
    machine.store.publish(APP, "2.0.0", {}, run="exit 1")

    with pytest.raises(DeploymentFailed) as failed:
        machine.deploy("2.0.0")

    assert failed.value.code == "COMPONENT_BROKEN"


@lite
def test_a_version_that_ends_at_once_is_a_success_in_lite(machine: Machine) -> None:
    machine.store.publish(APP, "2.0.0", {}, run="exit 1")

    machine.deploy("2.0.0")

    assert until(lambda: machine.state() != "RUNNING")


def test_what_is_broken_comes_back_by_a_deployment_and_by_a_nucleus_start(machine: Machine) -> None:
    machine.store.publish(
        APP, "2.0.0", {}, run='test -e "{work:path}/good" || { sleep 1.5; exit 1; }; ' + SAY
    )
    if machine.dialect != "classic":
        machine.store.publish(APP, "2.0.0", {}, run='test -e "{work:path}good" || exit 1; ' + SAY)
    machine.deploy("2.0.0")
    assert until(lambda: machine.state() == "BROKEN")

    machine.installation.cut()
    machine.power_on()
    assert until(lambda: machine.state() == "BROKEN")
    (machine.folder.work(APP) / "good").touch()
    machine.deploy("2.0.0")

    assert until(lambda: machine.state() == "RUNNING")


@classic
def test_a_text_that_a_script_takes_from_the_configuration_restarts_it_in_classic(machine: Machine) -> None:
    machine.deploy("1.0.0")
    machine.said(1)

    machine.deploy("1.0.0", word="second")

    assert [word for _, word in machine.said(2)] == ["first", "second"]


COUNT = 'echo x >> "{work:path}/installs"'


@classic
def test_the_first_deployment_after_a_nucleus_start_installs_again_once_where_a_number_is_in_the_recipe(
    machine: Machine,
) -> None:
    step = {"Script": COUNT, "Timeout": 600}
    machine.store.publish(APP, "2.0.0", {"other": 0}, install=step, run="exec sleep 60")
    machine.deploy("2.0.0")
    machine.deploy("2.0.0", other=1)
    installs = machine.folder.work(APP) / "installs"
    assert installs.read_text() == "x\n"

    machine.installation.cut()
    machine.power_on()
    assert until(lambda: installs.read_text() == "x\n" * 2)
    machine.deploy("2.0.0", other=2)
    machine.deploy("2.0.0", other=3)

    assert installs.read_text() == "x\n" * 3


@lite
def test_an_entry_with_an_update_restarts_its_component_in_lite_changed_or_not_and_one_without_does_not(
    machine: Machine,
) -> None:
    machine.store.publish(APP, "2.0.0", {"word": "first"}, install=CHECK_OLD, run=SAY)
    machine.deploy("2.0.0")
    (first,) = machine.said(1)

    machine.deploy("2.0.0")
    assert alive(first[0])

    machine.deploy("2.0.0", word="first")
    assert len(machine.said(2)) == 2
    assert not alive(first[0])
    assert (machine.folder.work(APP) / "beside").exists()


@lite
@pytest.mark.parametrize("kind", ["HARD", "SOFT"])
def test_when_lites_token_exchange_dies_what_needs_it_hard_is_stopped_until_the_next_deployment(
    machine: Machine, kind: str
) -> None:
    machine.store.publish(APP, "2.0.0", {"word": "first"}, run=SAY)
    needs = {"VersionRequirement": ">=2.0.0", "DependencyType": kind}
    machine.store.published[APP, "2.0.0"]["ComponentDependencies"] = {TOKEN_EXCHANGE: needs}
    machine.deploy("2.0.0")
    (first,) = machine.said(1)

    machine.installation.kill_token_exchange()

    assert alive(first[0]) is (kind == "SOFT")
    assert machine.state() == ("RUNNING" if kind == "SOFT" else "FINISHED")
    assert machine.installation.status()["status"] == "HEALTHY"
    machine.deploy("2.0.0")
    assert until(lambda: machine.state() == "RUNNING")


@classic
def test_a_configuration_that_its_component_refuses_fails_the_deployment_and_changes_nothing(
    machine: Machine,
) -> None:
    machine.deploy("1.0.0")
    (first,) = machine.said(1)
    machine.answering("that is no word")
    watched: list[object] = []
    machine.configuration.watch(APP, (), lambda *change: watched.append(change))

    with pytest.raises(DeploymentFailed, match="that is no word") as failed:
        machine.deploy("1.0.0", word="second", more={"a": 1})

    assert failed.value.state == "FAILED_NO_STATE_CHANGE"
    assert failed.value.code == "COMPONENT_CONFIGURATION_NOT_VALID"
    assert machine.configuration.get(APP) == {"word": "first"}
    assert (watched, alive(first[0])) == ([], True)


@classic
def test_a_component_is_asked_before_and_told_after_and_sees_all_it_would_get(machine: Machine) -> None:
    machine.deploy("1.0.0", place={"line": "a"})
    asked = machine.answering(None)

    machine.deploy("1.0.0", place={"hall": 2})

    assert asked == [
        Asked("2"),
        Asked("job-2", configuration={"word": "first", "place": {"line": "a", "hall": 2}}),
        Asked("2", done=True),
    ]
    assert machine.configuration.get(APP, ["place"]) == {"line": "a", "hall": 2}


@classic
def test_no_component_judges_what_does_not_change_or_comes_with_its_new_version(machine: Machine) -> None:
    machine.deploy("1.0.0")
    machine.store.publish(APP, "2.0.0", {"word": "second"}, run=SAY)
    asked = machine.answering("never")

    machine.deploy("1.0.0")
    machine.deploy("2.0.0", word="other")

    assert [question.configuration for question in asked if question.configuration is not None] == []


@classic
def test_a_change_of_the_nucleus_own_configuration_beside_ours_fails_though_we_accepted(
    machine: Machine,
) -> None:
    machine.deploy("1.0.0", nucleus={"logging": {"level": "INFO"}})
    machine.answering(None)

    with pytest.raises(DeploymentFailed) as failed:
        machine.deploy("1.0.0", nucleus={"logging": {"level": "DEBUG"}}, word="second")

    assert failed.value.state == "FAILED_NO_STATE_CHANGE"
    assert str(failed.value) == ("Error while waiting for validation report for one or more components:null")
    assert machine.configuration.get(APP) == {"word": "first"}


@classic
def test_with_a_new_version_of_ours_the_nucleus_own_configuration_may_change_too(machine: Machine) -> None:
    machine.deploy("1.0.0", nucleus={"logging": {"level": "INFO"}})
    machine.store.publish(APP, "2.0.0", {"word": "second"}, run=SAY)
    machine.answering("never")

    machine.deploy("2.0.0", nucleus={"logging": {"level": "DEBUG"}}, word="second")

    assert machine.configuration.get(NUCLEUS, ["logging", "level"]) == "DEBUG"


def test_values_of_another_targets_deployment_that_was_made_earlier_lose_in_classic_and_it_succeeds(
    machine: Machine,
) -> None:
    machine.store.memberships = {"g", "h"}
    machine.deploy("1.0.0", created_at_ms=2_000_000, word="of the newer")

    machine.deploy("1.0.0", created_at_ms=1_500_000, target="thinggroup/h", word="of the older", other=1)

    kept = "of the newer" if machine.dialect == "classic" else "of the older"
    assert machine.configuration.get(APP) == {"word": kept, "other": 1}


PROCESSING_TIME = {"deploymentConfigurationTimeSource": "deploymentProcessingTime"}


@classic
def test_a_deployment_that_asks_for_it_is_merged_by_the_time_of_its_processing_at_once(
    machine: Machine,
) -> None:
    machine.store.memberships = {"g", "h", "i"}
    machine.deploy("1.0.0", created_at_ms=2_000_000, word="of the newer")

    older, oldest = "thinggroup/h", "thinggroup/i"
    machine.deploy(
        "1.0.0", created_at_ms=1_500_000, target=older, nucleus=PROCESSING_TIME, word="of the older"
    )
    assert machine.configuration.get(APP, ["word"]) == "of the older"

    machine.deploy("1.0.0", created_at_ms=1_400_000, target=oldest, word="of the oldest")
    assert machine.configuration.get(APP, ["word"]) == "of the oldest"


def test_an_older_deployment_of_the_same_group_is_rejected_by_classic_and_carried_out_by_lite(
    machine: Machine,
) -> None:
    machine.deploy("1.0.0", created_at_ms=2_000_000, word="newer")

    if machine.dialect == "classic":
        with pytest.raises(DeploymentRejected, match="Nucleus has a newer deployment for 'thinggroup/g'"):
            machine.deploy("1.0.0", created_at_ms=1_500_000, word="older")
    else:
        machine.deploy("1.0.0", created_at_ms=1_500_000, word="older")

    assert machine.configuration.get(APP, ["word"]) == ("newer" if machine.dialect == "classic" else "older")


def test_a_thing_deployment_is_never_stale(machine: Machine) -> None:
    machine.deploy("1.0.0", target="thing/robot-1", created_at_ms=2_000_000, word="newer")
    machine.deploy("1.0.0", target="thing/robot-1", created_at_ms=1_500_000, other=1)

    assert machine.configuration.get(APP, ["other"]) == 1


def test_what_a_group_brought_that_the_device_has_left_goes_with_the_next_deployment_of_any_target(
    machine: Machine,
) -> None:
    machine.deploy("1.0.0")
    machine.store.memberships = {"h"}
    machine.said(1)

    machine.deploy(None, target="thinggroup/h")

    left = [each["componentName"] for each in machine.installation.status()["components"]]
    assert left == ([NUCLEUS] if machine.dialect == "classic" else [])


def test_a_device_that_may_not_ask_for_its_groups_goes_on_in_classic_and_fails_in_lite(
    machine: Machine,
) -> None:
    machine.deploy("1.0.0")
    (first,) = machine.said(1)
    machine.store.memberships = None

    if machine.dialect == "classic":
        machine.deploy("1.0.0", target="thinggroup/h", other="second")
        assert machine.configuration.get(APP, ["other"]) == "second"
        machine.deploy(None, target="thinggroup/h")  # the stored membership keeps what the other group wants
    else:
        with pytest.raises(DeploymentFailed) as failed:
            machine.deploy("1.0.0", word="second")
        assert failed.value.state == "FAILED_NO_STATE_CHANGE"
        assert machine.configuration.get(APP, ["word"]) == "first"
    assert alive(first[0])


@classic
def test_by_a_clock_that_is_behind_a_value_is_lost_silently(machine: Machine) -> None:
    machine.deploy("1.0.0", nucleus=PROCESSING_TIME, word="first")
    machine.clock_ms -= 3_600_000

    machine.deploy("1.0.0", word="second")

    assert machine.configuration.get(APP, ["word"]) == "first"


def test_a_new_versions_policies_replace_none_that_is_there_in_classic_and_no_id_ever_goes(
    machine: Machine,
) -> None:
    def policies(**resources: str) -> dict[str, Any]:
        mqtt = {name: {"operations": ["*"], "resources": [granted]} for name, granted in resources.items()}
        return {"word": "first", "accessControl": {"aws.greengrass.ipc.mqttproxy": mqtt}}

    machine.store.publish(APP, "2.0.0", policies(first="a/old", second="b"), run=SAY)
    machine.store.publish(APP, "3.0.0", policies(first="a/new", third="c"), run=SAY)
    machine.deploy("2.0.0")

    machine.deploy("3.0.0")

    first = "a/old" if machine.dialect == "classic" else "a/new"
    kept = machine.configuration.get(APP, ["accessControl"])
    assert kept == policies(first=first, second="b", third="c")["accessControl"]


@lite
def test_lite_asks_nobody(machine: Machine) -> None:
    machine.deploy("1.0.0")
    asked = machine.answering("never")

    machine.deploy("1.0.0", word="second")

    assert asked == []


@classic
@pytest.mark.parametrize(
    ("interpolates", "resource"), [(True, "cmd/robot-1/#"), (False, "cmd/{iot:thingName}/#")]
)
def test_the_things_name_stands_in_the_configuration_only_when_the_nucleus_is_told_to(
    machine: Machine, interpolates: bool, resource: str
) -> None:
    machine.store.publish(APP, "2.0.0", {"word": "x", "resource": "cmd/{iot:thingName}/#"}, run=SAY)

    machine.deploy("2.0.0", nucleus={"interpolateComponentConfiguration": interpolates})

    assert machine.configuration.get(APP, ["resource"]) == resource


@lite
def test_lite_runs_a_script_only_up_to_a_brace_that_is_no_variable(machine: Machine) -> None:
    run = 'echo "$$ before" >> "{work:path}said"; echo "$$ ${HOME}" >> "{work:path}said"'
    machine.store.publish(APP, "2.0.0", {}, run=run)

    machine.deploy("2.0.0")

    # What is left ends inside a quote, so not even what stands before it runs.
    assert not (machine.folder.work(APP) / "said").exists()
    assert until(lambda: "quot" in machine.folder.log(APP).read_text().lower())


def test_a_new_versions_defaults_come_in_below_what_was_deployed(machine: Machine) -> None:
    machine.deploy("1.0.0", word="merged")
    machine.store.publish(APP, "2.0.0", {"word": "new default", "more": 1}, run=SAY)

    machine.deploy("2.0.0")

    assert machine.configuration.get(APP) == {"word": "merged", "more": 1}


def test_a_component_nobody_names_is_stopped_and_forgotten(machine: Machine) -> None:
    machine.deploy("1.0.0")
    (first,) = machine.said(1)

    machine.deploy(None)

    assert not alive(first[0])
    assert APP not in machine.configuration.components()
    assert not machine.folder.work(APP).exists()


@classic
def test_a_killed_nucleus_leaves_its_components_running_and_the_next_one_starts_them_a_second_time(
    machine: Machine,
) -> None:
    machine.deploy("1.0.0")
    (first,) = machine.said(1)

    machine.installation.leave()
    machine.power_on()

    second = machine.said(2)[1]
    assert alive(first[0])
    assert alive(second[0])
    machine.installation.cut()
    kill_leftovers(machine.folder.processes)  # what a power cut does besides
    assert until(lambda: not alive(first[0]) and not alive(second[0]))


SLOW_TO_STOP = """
trap "touch stopping; sleep 1; exit 0" TERM
echo "$$ {configuration:/word}" >> "{work:path}/said"; while :; do sleep 0.05; done
"""


@classic
def test_a_nucleus_that_is_killed_while_it_replaces_a_component_starts_nothing_any_more(
    machine: Machine,
) -> None:
    """Else a dead nucleus would go on supervising an agent of its own beside the next one's."""
    machine.store.publish(APP, "2.0.0", {"word": "second"}, run=SLOW_TO_STOP)
    machine.store.publish(APP, "3.0.0", {"word": "third"}, run=SAY)
    machine.deploy("2.0.0")
    machine.said(1)
    ended: list[BaseException] = []

    def deploy() -> None:
        try:
            machine.deploy("3.0.0")
        except PowerLost as error:
            ended.append(error)

    deploying = threading.Thread(target=deploy)
    deploying.start()
    assert until(lambda: (machine.folder.work(APP) / "stopping").exists())
    machine.installation.leave()
    deploying.join(timeout=20)

    assert not deploying.is_alive()
    assert len(ended) == 1
    time.sleep(0.5)
    assert [word for _, word in machine.said(1)] == ["second"]


SESSIONS = """
setsid sh -c 'trap "touch stopped-child; exit 0" TERM; touch child; while :; do sleep 0.05; done' &
trap "touch stopped; exit 0" TERM; while :; do sleep 0.05; done
"""


def test_sigterm_reaches_the_whole_tree_of_a_component_in_other_sessions_too(machine: Machine) -> None:
    machine.store.publish(APP, "2.0.0", {}, run=SESSIONS)
    machine.deploy("2.0.0")
    work = machine.folder.work(APP)
    assert until(lambda: (work / "child").exists())

    machine.installation.stop()

    assert (work / "stopped").exists()
    assert (work / "stopped-child").exists()


def test_children_outlive_a_main_process_that_ends_by_itself_in_classic_until_the_power_goes(
    machine: Machine,
) -> None:
    child = "touch child; echo $$ >> children; exec sleep 60"
    run = f"sh -c '{child}' & setsid sh -c '{child}' & while [ $(wc -l < children) -lt 2 ]; do :; done"
    machine.store.publish(APP, "2.0.0", {}, run=f": > children; {run}; sleep 0.2")
    machine.deploy("2.0.0")
    assert until(lambda: machine.state() == "FINISHED")
    children = [int(line) for line in (machine.folder.work(APP) / "children").read_text().split()]

    if machine.dialect == "classic":
        assert all(alive(pid) for pid in children)
    machine.installation.cut()
    kill_leftovers(machine.folder.processes)  # what a power cut does besides

    assert until(lambda: not any(alive(pid) for pid in children))


def environment_of(machine: Machine, **dependencies: object) -> dict[str, str]:
    """What the app finds in its environment, and its current folder as ``cwd``."""
    run = 'env > "{work:path}/new"; echo "cwd=$(pwd -P)" >> "{work:path}/new"; mv "{work:path}/new" '
    machine.store.publish(APP, "2.0.0", {}, run=run + '"{work:path}/env"; exec sleep 60')
    machine.store.published[APP, "2.0.0"]["ComponentDependencies"] = dependencies
    machine.deploy("2.0.0")
    path = machine.folder.work(APP) / "env"
    assert until(path.exists)
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def test_classic_hands_its_own_environment_on_and_lite_does_not_and_neither_the_stand_ins_keys(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "the stand-in's own")
    monkeypatch.setitem(os.environ, "SITE", "hall-2")
    machine.power_on()

    environment = environment_of(machine)

    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert environment.get("SITE") == ("hall-2" if machine.dialect == "classic" else None)


def test_a_component_is_told_its_nucleus_its_token_its_folders_and_its_home(machine: Machine) -> None:
    needs = {"VersionRequirement": ">=2.0.0", "DependencyType": "SOFT"}
    environment = environment_of(machine, **{TOKEN_EXCHANGE: needs})

    work = str(machine.folder.work(APP))
    assert environment["SVCUID"] == environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    assert (environment["PWD"], environment["cwd"]) == (work, work)
    expected = {
        "AWS_IOT_THING_NAME": "robot-1",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "GG_ROOT_CA_PATH": str(machine.folder.root / "ca"),
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(machine.folder.socket),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost:1/",
        "FLEETGRASS_HOME": str(machine.folder.home),
        "GGC_VERSION": machine.device.nucleus.version,
    }
    if machine.dialect == "classic":
        expected |= {
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH": str(machine.folder.socket),
            "AWS_GG_FIPS_MODE": "false",
            "AWS_USE_FIPS_ENDPOINT": "false",
        }
    assert {name: environment.get(name) for name in expected} == expected
    assert not machine.folder.home.is_relative_to(machine.folder.nucleus)


def test_without_a_dependency_on_token_exchange_there_is_no_address_of_it(machine: Machine) -> None:
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in environment_of(machine)
