"""What the device refuses, whoever asks."""

from pathlib import Path
from typing import Any

import pytest

from contract.applications import Application
from contract.reports import ApplicationState
from edge.configuration.settings import parse_settings
from edge.containers.model.policy import DEFAULT, Policy
from edge.containers.plan.status import POLICY_REFUSED
from tests.support.edge.containers import Device, an_application, an_engine, current

RO = {"source": "/etc/plant/line", "path": "/plant", "read_only": True}
RW = {"source": "/etc/plant/line", "path": "/plant"}


def refusal(application: Application, policy: Policy = DEFAULT, **links: str) -> str | None:
    return policy.refusal(application, lambda path: links.get(path.strip("/"), path))


def test_an_application_that_stays_in_its_container_is_never_refused() -> None:
    inside = an_application(
        env={"A": "1"},
        ports=[{"container_port": 80, "host_port": 80}],
        volumes=[{"name": "data", "path": "/data"}],
        cap_add=["NET_RAW"],  # every container has it anyway
        cap_drop=["ALL"],
        user="root",
        update_lock=True,
    )

    assert refusal(inside) is None


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"privileged": True}, "policy.privileged does not allow privileged"),
        ({"network_mode": "host"}, "policy.host_network does not allow network_mode host"),
        ({"cap_add": ["SYS_ADMIN"]}, "policy.capabilities does not allow cap_add SYS_ADMIN"),
        ({"cap_add": ["ALL"]}, "policy.capabilities does not allow cap_add ALL"),
        ({"devices": [{"source": "/dev/sda"}]}, "policy.devices does not allow devices[0]: /dev/sda"),
        ({"binds": [RO]}, "policy.binds does not allow binds[0]: /etc/plant/line"),
    ],
)
def test_what_reaches_out_of_the_container_is_refused_by_its_rule_unless_allowed(
    fields: dict[str, Any], rule: str
) -> None:
    everything = Policy(
        binds=["/"], devices=["/dev/*"], capabilities=["ALL"], privileged=True, host_network=True
    )

    assert refusal(an_application(**fields)) == rule
    assert refusal(an_application(**fields), everything) is None


@pytest.mark.parametrize(
    ("rules", "bind", "allowed"),
    [
        (["/etc/plant"], RW, True),
        (["/etc/plant/"], RW, True),
        (["/etc/plant/line"], RW, True),
        (["/etc/plan"], RW, False),  # a folder, not a beginning of a name
        (["/etc/plant/line/deeper"], RW, False),
        (["/etc/plant:ro"], RO, True),
        (["/etc/plant:ro"], RW, False),
        (["/var", "/etc/plant:ro", "/etc/plant/line"], RW, True),
        (["/:ro"], RO, True),
    ],
)
def test_a_rule_for_binds_allows_its_folder_and_all_below_it(
    rules: list[str], bind: dict[str, Any], allowed: bool
) -> None:
    assert (refusal(an_application(binds=[bind]), Policy(binds=rules)) is None) is allowed


def test_a_link_is_judged_by_where_it_leads() -> None:
    application = an_application(binds=[{"source": "/data/link", "path": "/x"}])

    assert refusal(application, Policy(binds=["/data"]), **{"data/link": "/etc"}) == (
        "policy.binds does not allow binds[0]: /data/link (leads to /etc) to be written"
    )


def test_an_image_from_a_registry_that_is_not_allowed_is_refused() -> None:
    policy = Policy(registries=["123456789012.dkr.ecr.*.amazonaws.com"])

    assert refusal(an_application(), policy) == (
        "policy.registries does not allow 000000000000.dkr.ecr.eu-west-1.amazonaws.com"
    )
    assert refusal(an_application(), Policy(registries=["*.eu-west-1.amazonaws.com"])) is None


def test_a_policy_reads_the_same_from_both_nuclei() -> None:
    typed = {"binds": ["/etc/plant:ro"], "privileged": True, "devices": []}
    lite = {"binds": '["/etc/plant:ro"]', "privileged": "true", "devices": "[]"}

    assert parse_settings({"policy": typed}).settings == parse_settings({"policy": lite}).settings
    assert parse_settings({}).settings.policy == DEFAULT


@pytest.mark.parametrize(
    ("policy", "key"),
    [
        ({"priviledged": "true"}, "policy.priviledged"),
        ({"privileged": "sometimes"}, "policy.privileged"),
        ({"binds": "/etc"}, "policy.binds"),
        ({"binds": ["etc"]}, "policy.binds.0"),
        ("none", "policy"),
    ],
)
def test_a_policy_that_means_nothing_is_refused_by_its_key_and_allows_nothing(
    policy: object, key: str
) -> None:
    found = parse_settings({"policy": policy})

    assert (found.complaint or "").startswith(f"{key}: ")
    assert found.settings.policy == DEFAULT


def test_a_refused_application_fails_alone_and_leaves_what_runs(tmp_path: Path) -> None:
    engine = an_engine()
    device = Device(engine, tmp_path)
    device.deploy(an_application(), an_application("api"))
    before = engine.named(current()).id

    result = device.deploy(
        an_application(image_name="hello:v2", privileged=True),
        an_application("api", image_name="hello:v2"),
        revision=2,
    )

    web, api = result.statuses
    assert (web.state, web.code) == (ApplicationState.FAILED, POLICY_REFUSED)
    assert web.message == "policy.privileged does not allow privileged"
    assert (engine.named(current()).id, engine.named(current()).state) == (before, "running")
    assert (api.state, engine.named(current("api")).spec.image) == (
        ApplicationState.RUNNING,
        an_application(image_name="hello:v2").image,
    )


def test_what_the_device_refuses_is_never_pulled_nor_created(tmp_path: Path) -> None:
    engine = an_engine()

    result = Device(engine, tmp_path).deploy(an_application(network_mode="host"))

    assert result.statuses[0].state == ApplicationState.FAILED
    assert set(engine.calls) == {"list"}


def test_a_device_that_allows_it_runs_it(tmp_path: Path) -> None:
    device = Device(an_engine(), tmp_path, policy=Policy(host_network=True))

    result = device.deploy(an_application(network_mode="host"))

    assert result.statuses[0].state == ApplicationState.RUNNING


def test_a_policy_that_changes_counts_at_once_and_ends_nothing_that_runs(tmp_path: Path) -> None:
    engine = an_engine()
    device = Device(engine, tmp_path)
    device.deploy(an_application(network_mode="host"))

    device.reconciler.permit(Policy(host_network=True))
    allowed = device.settle()
    before = engine.named(current()).id
    device.reconciler.permit(DEFAULT)
    forbidden = device.settle()

    assert allowed.statuses[0].state == ApplicationState.RUNNING
    assert forbidden.statuses[0].code == POLICY_REFUSED
    assert (engine.named(current()).id, engine.named(current()).state) == (before, "running")


def test_a_refused_update_does_not_keep_a_dead_container_down(tmp_path: Path) -> None:
    engine = an_engine()
    device = Device(engine, tmp_path)
    device.deploy(an_application())
    device.deploy(an_application(privileged=True), revision=2)

    engine.stop(engine.named(current()).id, 1)
    device.settle()

    assert engine.named(current()).state == "running"
