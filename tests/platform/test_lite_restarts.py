"""On released Lite each new document restarts the agent: in the middle of anything, and it costs nothing."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import docker
import pytest

from contract.names import COMPONENT
from local.docker.registry_proxy import Behaviour
from local.platform import Platform
from local.process import engine_leftovers
from tests.support.platform.lab import Lab, until
from tests.support.platform.machines import Machine, add_machine

pytestmark = pytest.mark.platform

_GROUP = "line-8"
_SLOW = Behaviour(bytes_per_s=1)
_WINDOW_S = 30.0  # of a new container: long enough for a document to come in the middle


@pytest.fixture(scope="module")
def lite(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A device with released Lite in a group of its own."""
    lab = Lab(platform.aws, tmp_path_factory.mktemp("restarted"), 0)
    machine = add_machine(platform, lab, "lite", name="restarted", group=_GROUP)
    machine.becomes("online", 120)
    yield machine
    platform.registry.behaviour = Behaviour()
    del platform.devices[machine.thing]  # the other tests' devices are all on
    machine.device.remove()
    engine_leftovers.remove(
        platform.docker_host, [machine.thing], "no registry: others have these images too"
    )
    machine.cable.close()


def application(name: str, tag: str, *, window_s: float = 20) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"fleetgrass/hello:{tag}",
        "health_check": {"kind": "image"},
        "healthy_window_s": window_s,
        "stop_grace_s": 1,
    }


def deploy(machine: Machine, *applications: Mapping[str, Any]) -> str:
    """Deploy to the machine's group; return the deployment's id."""
    request = {"target": {"group": _GROUP}, "applications": list(applications)}
    status, body = machine.api("Fleet.Deployer").post("/deployments", request)
    assert status == 201, body
    return str(body["id"])


def succeeds(machine: Machine, deployment: str) -> None:
    def state() -> object:
        return machine.operator.get(f"/deployments/{deployment}")[1]["state"]

    assert until(lambda: state() == "SUCCEEDED", 180), machine.operator.get(f"{machine.path}/why")


def containers(machine: Machine) -> dict[str, tuple[str, str]]:
    """The containers that run, by application: id and start."""
    with closing(docker.DockerClient(base_url=machine.platform.docker_host)) as engine:
        found = engine.api.containers(filters={"label": f"io.fleetgrass.thing={machine.thing}"})
        shown = [engine.api.inspect_container(each["Id"]) for each in found]
    return {
        each["Config"]["Labels"]["io.fleetgrass.application"]: (each["Id"], each["State"]["StartedAt"])
        for each in shown
    }


def restarts(machine: Machine, before: int | None) -> int:
    """Wait until the agent is another process than ``before``; return it."""
    assert until(lambda: machine.agent_pid() not in (None, before), 60)
    pid = machine.agent_pid()
    assert pid is not None
    return pid


def test_a_document_in_the_middle_of_a_pull_or_of_a_replacement_costs_a_restart_and_nothing_else(
    lite: Machine,
) -> None:
    registry = lite.platform.registry
    with lite.overheard() as heard:
        pid = lite.agent_pid()
        succeeds(lite, deploy(lite, application("kept", "v1"), application("swapped", "v1")))
        pids = [restarts(lite, pid)]
        first = containers(lite)
        assert set(first) == {"kept", "swapped"}

        # In the middle of a pull.
        registry.behaviour = _SLOW
        pulled = registry.counts.blobs
        deploy(lite, application("kept", "v1"), application("swapped", "v2"))
        pids.append(restarts(lite, pids[-1]))
        assert until(lambda: registry.counts.blobs > pulled, 60)
        third = deploy(
            lite, application("kept", "v1"), application("swapped", "v2"), application("more", "v1")
        )
        pids.append(restarts(lite, pids[-1]))
        assert containers(lite)["swapped"] == first["swapped"]  # it serves until the other is here
        registry.behaviour = Behaviour()
        succeeds(lite, third)
        now = containers(lite)
        assert now["kept"] == first["kept"]
        assert now["swapped"] != first["swapped"]

        # In the middle of a replacement: the new container runs, and is not proven yet.
        long = application("swapped", "v1", window_s=_WINDOW_S)
        deploy(lite, application("kept", "v1"), application("more", "v1"), long)
        pids.append(restarts(lite, pids[-1]))
        assert until(lambda: containers(lite).get("swapped", now["swapped"]) != now["swapped"], 60)
        begun = containers(lite)["swapped"]
        last = deploy(lite, application("kept", "v1"), long)
        pids.append(restarts(lite, pids[-1]))
        succeeds(lite, last)

        assert containers(lite) == {"kept": first["kept"], "swapped": begun}
        assert until(lambda: len(heard.hellos()) >= len(pids))
        assert len(heard.hellos()) <= len(pids) + 1
    assert lite.logged("greengrass", f"component={COMPONENT} state=BROKEN") == 0
    lite.becomes("online")


def test_the_agent_lives_through_a_token_exchange_that_dies(lite: Machine) -> None:
    """A HARD dependant is stopped with it and stays so, until the next deployment or boot."""
    pid = lite.agent_pid()
    assert pid is not None

    lite.device.power("kill-token-exchange")

    assert until(lambda: lite.logged("greengrass", "token exchange died and is back") == 1)
    command = lite.order("report")
    assert lite.ends(command)["state"] == "SUCCEEDED"
    assert lite.agent_pid() == pid
    assert lite.logged("greengrass", f"component={COMPONENT} state=FINISHED") == 0
