"""The demo on the local platform: every line of its story is checked before it is printed.

Uses what an operator has (the API, a browser) and, to see that nothing else was touched, the engine.
"""

import hashlib
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import Any

import docker
import requests

from local.demo.api_client import Api
from local.demo.narration import Story, Untrue
from local.greengrass.devices import Device
from local.platform import Platform

GROUP = "line-3"
ROBOTS = ("robot-1", "robot-2")
PORT = 8080
FOREIGN = "fleetgrass-demo-somebody-elses"
_DEPLOY_S, _COMMAND_S = 60.0, 60.0
_OUT_OF_REACH_S = 600  # or until it is connected again


def tell(platform: Platform, story: Story) -> None:
    """Run the whole story on a running platform whose devices are ``ROBOTS``.

    Raises:
        Untrue: a claim does not hold.
    """
    reader = Api(platform.api_url, platform.token("Fleet.Reader"))
    deployer = Api(platform.api_url, platform.token("Fleet.Deployer"))
    devices = {robot: platform.devices[robot] for robot in ROBOTS}

    story.chapter("Tokens: who may do what")
    _tokens(Api(platform.api_url, None), reader, story)

    story.chapter(f"{len(ROBOTS)} devices in group {GROUP} come online")
    for robot in ROBOTS:
        _in_state(story, reader, robot, "online", within_s=_DEPLOY_S)  # its agent is being installed

    story.chapter("Deploy version 1")
    first = _deploy(story, deployer, "v1")
    _succeeds(story, reader, first)
    _serve(story, reader, devices, "v1")
    with _Foreign(platform, story) as foreign:
        story.chapter("Deploy version 2")
        _succeeds(story, reader, _deploy(story, deployer, "v2"))
        _serve(story, reader, devices, "v2")

        story.chapter("Deploy a version that never becomes healthy")
        _rolls_back(story, reader, _deploy(story, deployer, "failing"))
        _serve(story, reader, devices, "v2")

        story.chapter(f"Reboot {ROBOTS[0]}, and prove it")
        _reboot(platform, story, deployer, reader, devices[ROBOTS[0]])
        _serve(story, reader, devices, "v2")

        story.chapter(f"Reboot {ROBOTS[1]}, which is out of reach")
        _reboot_when_back(story, deployer, reader, devices[ROBOTS[1]])

        story.chapter(f"What {ROBOTS[1]} says, from afar")
        _logs(story, deployer, devices[ROBOTS[1]])

        story.chapter("What is not ours")
        foreign.untouched()


def _tokens(anonymous: Api, reader: Api, story: Story) -> None:
    status, _ = anonymous.get("/devices")
    story.claim("without a token the API answers 401", status == 401, f"it answered {status}")
    status, body = reader.post(f"/devices/{ROBOTS[0]}/reboot", {"reason": "curiosity"})
    story.claim("a reader may not reboot: 403", status == 403, f"it answered {status} {body}")
    status, body = reader.get("/devices")
    story.claim("a reader may list devices: 200", status == 200, f"it answered {status} {body}")


def _in_state(story: Story, reader: Api, robot: str, state: str, *, within_s: float = 30) -> None:
    def look() -> tuple[bool | None, str]:
        _, body = reader.get(f"/devices/{robot}")
        instead = f"it is {body.get('state', body)} ({body.get('reason')})"
        return (True, "") if body.get("state") == state else (None, instead)

    story.eventually(f"{robot} is {state}", look, within_s=within_s, why=_asked(reader, robot))


def _deploy(story: Story, deployer: Api, tag: str) -> str:
    health = {"kind": "http", "port": PORT, "path": "/health", "interval_s": 0.5, "timeout_s": 1}
    application = {
        "name": "hello",
        "image": f"fleetgrass/hello:{tag}",
        "ports": [{"container_port": PORT, "host_port": PORT}],
        "health_check": health,
        "healthy_window_s": 5,
        "stop_grace_s": 2,
    }
    status, body = deployer.post("/deployments", {"target": {"group": GROUP}, "applications": [application]})
    story.claim(
        f"POST /deployments hello:{tag} is accepted as revision {body.get('revision')}",
        status == 201,
        f"the API answered {status} {body}",
    )
    image = body["applications"][0]["image"]
    story.note(f"{body['id']}: tag {tag} is {image.partition('@')[2][:19]}… for every device")
    return str(body["id"])


def _outcomes(reader: Api, deployment: str) -> tuple[str, dict[str, dict[str, Any]]]:
    status, body = reader.get(f"/deployments/{deployment}")
    if status != 200:
        raise Untrue(f"GET /deployments/{deployment} answered {status} {body}")
    return body["state"], {outcome["device"]: outcome for outcome in body["devices"]}


def _asked(reader: Api, *robots: str) -> Callable[[], list[str]]:
    """Return how to ask why each of these devices is not as it should be: a line for each."""

    def ask() -> list[str]:
        lines = []
        for robot in robots:
            status, body = reader.get(f"/devices/{robot}/why")
            told = (body.get("application"), body.get("code"), body.get("message"))
            said = ": ".join(str(word) for word in told if word is not None)
            lines.append(f"{robot}: {said}" if status == 200 else f"{robot}: why answered {status} {body}")
        return lines

    return ask


def _succeeds(story: Story, reader: Api, deployment: str, *, within_s: float = _DEPLOY_S) -> None:
    def look() -> tuple[bool | None, str]:
        state, devices = _outcomes(reader, deployment)
        instead = ", ".join(f"{name} {devices[name]['state']}" for name in sorted(devices))
        return (True if state == "SUCCEEDED" else None), f"{state} {instead}"

    story.eventually(
        "every device reports that it runs",
        look,
        within_s=within_s,
        containers=True,
        why=_asked(reader, *ROBOTS),
    )


def _rolls_back(story: Story, reader: Api, deployment: str) -> None:
    def look() -> tuple[dict[str, dict[str, Any]] | None, str]:
        state, devices = _outcomes(reader, deployment)
        back = all(devices.get(robot, {}).get("state") == "ROLLED_BACK" for robot in ROBOTS)
        return (devices if back else None), f"{state} { {n: o['state'] for n, o in devices.items()} }"

    outcomes = story.eventually(
        "both devices report ROLLED_BACK",
        look,
        within_s=_DEPLOY_S,
        containers=True,
        why=_asked(reader, *ROBOTS),
    )
    story.note(f"the reason given: {outcomes[ROBOTS[0]].get('message')}")


def _serve(story: Story, reader: Api, devices: dict[str, Device], version: str) -> None:
    for robot, device in devices.items():
        url = f"http://{device.publish_address}:{PORT}/"

        def look(url: str = url) -> tuple[bool | None, str]:
            try:
                page = requests.get(url, timeout=5).text
            except requests.RequestException as error:
                return None, f"{url} does not answer ({type(error).__name__})"
            return (True if f"fleetgrass {version}" in page else None), f"{url} says {page.strip()[:60]!r}"

        story.eventually(
            f"{robot} serves the page of {version} at {url}",
            look,
            within_s=15,
            containers=True,
            why=_asked(reader, robot),
        )


def _reboot(platform: Platform, story: Story, operator: Api, reader: Api, device: Device) -> None:
    robot, boot_id = device.thing, device.boot_id()
    status, body = operator.post(f"/devices/{robot}/reboot", {"reason": "demo"})
    story.claim(
        f"reboot accepted: {body.get('id')} is {body.get('state')}", status == 202, f"{status} {body}"
    )
    with _Watch(Api(platform.api_url, platform.token("Fleet.Reader")), robot) as watch:
        result = _succeeded(story, reader, body)
        _in_state(story, reader, robot, "online")
    transitions = [step["state"] for step in result["transitions"]]
    story.claim(
        f"the ledger: {' → '.join(transitions)}",
        transitions == ["PENDING", "IN_PROGRESS", "SUCCEEDED"],
        "PENDING, IN_PROGRESS, SUCCEEDED was expected",
    )
    story.claim(
        f"the device meanwhile: {' → '.join(watch.states)}",
        watch.states[0] == "online" and "offline" in watch.states and watch.states[-1] == "online",
        "online, offline, online was expected",
    )
    _proof(story, result, boot_id, device)


def _reboot_when_back(story: Story, operator: Api, reader: Api, device: Device) -> None:
    robot, boot_id = device.thing, device.boot_id()
    device.power(f"disconnect {_OUT_OF_REACH_S}")
    _in_state(story, reader, robot, "offline")
    status, body = operator.post(f"/devices/{robot}/reboot", {"reason": "demo"})
    story.claim(
        f"a reboot is refused: {status} {body.get('code')}",
        (status, body.get("code")) == (409, "device-offline"),
        f"{body}",
    )
    request = {"reason": "demo", "when_online": True}
    status, body = operator.post(f"/devices/{robot}/reboot", request)
    story.claim(
        f"one that may wait is accepted: {body.get('id')} is {body.get('state')}",
        status == 202,
        f"{status} {body}",
    )
    device.power("connect")
    _proof(story, _succeeded(story, reader, body), boot_id, device)
    _in_state(story, reader, robot, "online")


def _logs(story: Story, operator: Api, device: Device) -> None:
    request = {"reason": "demo"}
    status, body = operator.post(f"/devices/{device.thing}/applications/hello/logs", request)
    story.claim("its logs are asked for as a bundle", status == 202, f"{status} {body}")
    bundle = _succeeded(story, operator, body)["bundle"]
    packed = requests.get(bundle["url"], timeout=10).content
    story.claim(
        f"the bundle: {len(packed)} bytes, as the device said {bundle['sha256'][:8]}…",
        hashlib.sha256(packed).hexdigest() == bundle["sha256"],
        "what was downloaded is something else",
    )


def _succeeded(story: Story, reader: Api, command: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ledger's entry of a command once it succeeded."""
    path = f"/devices/{command['device']}/commands/{command['id']}"

    def look() -> tuple[dict[str, Any] | None, str]:
        _, now = reader.get(path)
        if now.get("state") in ("FAILED", "REJECTED", "EXPIRED", "SUPERSEDED"):
            raise Untrue(f"the {command['kind']} ended as {now}")
        return (now if now.get("state") == "SUCCEEDED" else None), str(now.get("state"))

    return story.eventually(
        "SUCCEEDED, says the device",
        look,
        within_s=_COMMAND_S,
        why=_asked(reader, str(command["device"])),
    )


def _proof(story: Story, result: Mapping[str, Any], boot_id: str, device: Device) -> None:
    story.claim(
        f"the proof: boot id {boot_id[:8]}… became {device.boot_id()[:8]}…, down {result['down_s']:.1f} s",
        (result["boot_id_before"], result["boot_id"]) == (boot_id, device.boot_id())
        and boot_id != device.boot_id(),
        f"the command says {result['boot_id_before']} → {result['boot_id']}",
    )


class _Watch:
    """The states of a device in the order in which the API showed them, repeats left out."""

    def __init__(self, reader: Api, device: str) -> None:
        self.states: list[str] = []
        self._end = Event()
        self._thread = Thread(target=self._look, args=(reader, f"/devices/{device}"), daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self, reader: Api, path: str) -> None:
        while not self._end.wait(0.1):
            status, body = reader.get(path)
            state = str(body.get("state", status))
            if self.states[-1:] != [state]:
                self.states.append(state)


class _Foreign:
    """A container on the same engine that is none of ours, and its state before."""

    def __init__(self, platform: Platform, story: Story) -> None:
        self._engine = docker.DockerClient(base_url=platform.docker_host)
        self._story = story
        image = self._engine.api.containers(filters={"label": "io.fleetgrass.thing"})[0]["ImageID"]
        self._container = self._engine.containers.create(image, name=FOREIGN, init=True)

    def __enter__(self) -> "_Foreign":
        self._container.start()
        self._before = self._look()
        self._story.note(f"{FOREIGN} runs beside them: somebody else's container")
        return self

    def __exit__(self, *_: object) -> None:
        self._container.remove(force=True)
        self._engine.close()

    def untouched(self) -> None:
        """Claim that it still runs as it was started."""
        self._story.claim(
            "somebody else's container on the same engine was not touched",
            self._look() == self._before,
            f"it was {self._before} and is {self._look()}",
            containers=True,
        )

    def _look(self) -> tuple[str, str, str, bool]:
        it = self._engine.api.inspect_container(FOREIGN)
        return it["Id"], it["Name"], it["State"]["StartedAt"], it["State"]["Running"]
