"""Docker Engine through the docker SDK's low-level client; the only file that imports the SDK.

Low-level, because ``containers.list()`` of the high-level client makes one more request per container.
Raises errors of the port only: the SDK passes ``requests`` and ``urllib3`` errors on as they are, and
its ``APIError`` is itself a ``RequestException``, so it is caught first.
"""

import contextlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, cast

import requests
import urllib3
from docker import APIClient
from docker import errors as sdk
from docker.auth import encode_header
from docker.utils import kwargs_from_env, version_lt

from contract.defaults import APPLICATIONS_MAX
from contract.names import docker_architecture
from edge.engine.docker_api import answers, creation, meaning
from edge.engine.docker_api.output import lines
from edge.engine.docker_api.progress import PullProgress
from edge.engine.redaction import redact, redacted
from edge.ports.engine import (
    CHANGES,
    LABEL_THING,
    OUTPUT_LINE_LENGTH,
    Container,
    ContainerRun,
    ContainerSpec,
    Credentials,
    EngineInformation,
    OnProgress,
    Usage,
    Volume,
    ignore_progress,
)
from edge.ports.engine_errors import (
    ContainerGone,
    EngineError,
    EngineUnavailable,
    ImageInUse,
    ImageMissing,
    NameTaken,
    PullStalled,
)

DEFAULT_HOST = "unix:///var/run/docker.sock"  # the SDK's own default
ANSWER_TIMEOUT_S = 60  # an engine that says nothing for this long is taken for dead
#: A pull without a sign of life for this long has stalled. The engine itself would wait for ever on a
#: registry whose line went dead; the longest honest silence is the unpacking of a small file's last block.
SILENCE_S = 120.0

# What docker-init and shells exit with when the command itself could not be run.
_COULD_NOT_RUN = (126, 127, 255)

_BROKEN_CONNECTION = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


class DockerEngine:
    """The engine that ``environment`` (DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH) points to.

    Connects when first asked, and again after a failure: an engine that is down now, or comes back
    as another version, is met as it is.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, *, silence_s: float = SILENCE_S) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._connected: APIClient | None = None
        self._information: EngineInformation | None = None

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            client, self._connected, self._information = self._connected, None, None
        if client is not None:
            client.close()

    def information(self) -> EngineInformation:
        with self._lock:
            known = self._information
        if known is None:
            with self._talking() as client:
                raw = client.info()
            known = EngineInformation(
                version=str(raw["ServerVersion"]),
                architecture=docker_architecture(str(raw["Architecture"])),
                data_root=str(raw["DockerRootDir"]),
                storage_driver=str(raw.get("Driver", "")),
            )
            with self._lock:
                self._information = known
        return known

    def containers(self, thing: str) -> list[Container]:
        with self._talking() as client:
            listed = client.containers(all=True, filters={"label": f"{LABEL_THING}={thing}"})
        return [answers.container(raw) for raw in listed]

    @contextlib.contextmanager
    def listen(self, thing: str) -> Iterator[Iterator[str]]:
        filters = {"type": ["container"], "label": [f"{LABEL_THING}={thing}"], "event": list(CHANGES)}
        with (
            self._talking(),
            self._stream("GET", "/events", {"filters": json.dumps(filters)}) as events,
        ):
            yield self._changes(events)

    def labels_of(self, name: str) -> Mapping[str, str] | None:
        try:
            with self._talking() as client:
                raw = client.inspect_container(name)
        except ContainerGone:
            return None
        return raw["Config"]["Labels"] or {}

    def container_run(self, container_id: str) -> ContainerRun:
        with self._talking() as client:
            raw = client.inspect_container(container_id)
        state = raw["State"]
        ended = state["Status"] not in ("created", "running", "paused")
        exit_code = int(state["ExitCode"]) if ended else None
        return ContainerRun(
            started_at=state["StartedAt"],
            restarts=int(raw.get("RestartCount", 0)),
            exit_code=exit_code,
            out_of_memory=bool(state["OOMKilled"]),
            wrong_architecture=exit_code in _COULD_NOT_RUN and self._is_for_another_machine(raw["Image"]),
            error=state.get("Error") or "",
        )

    def last_lines(self, container_id: str, count: int, secrets: Collection[str] = ()) -> tuple[str, ...]:
        with self._talking() as client:
            environment = client.inspect_container(container_id)["Config"]["Env"] or []
            said = client.logs(container_id, tail=count)
        end = said.decode("utf-8", "replace").splitlines()[-count:]
        return redacted(end, [*(each.partition("=")[2] for each in environment), *secrets])

    @contextlib.contextmanager
    def output(self, container_id: str, secrets: Collection[str]) -> Iterator[Iterator[str]]:
        asked = {"stdout": "1", "stderr": "1", "timestamps": "1"}
        with self._talking() as client:
            environment = client.inspect_container(container_id)["Config"]["Env"] or []
            with self._response("GET", f"/containers/{container_id}/logs", asked) as response:
                hidden = [*(each.partition("=")[2] for each in environment), *secrets]
                yield redact(lines(response.iter_content(1 << 16)), hidden, OUTPUT_LINE_LENGTH)

    def usage(self, container_id: str) -> Usage | None:
        with self._talking() as client:
            if version_lt(client.api_version, "1.41"):  # before it, one answer took the engine two seconds
                return None
            return answers.usage(client.stats(container_id, stream=False, one_shot=True))

    def has_image(self, reference: str) -> bool:
        return self.image_id(reference) is not None

    def image_id(self, reference: str) -> str | None:
        try:
            with self._talking() as client:
                return str(client.inspect_image(reference)["Id"])
        except ImageMissing:
            return None

    def images_in_use(self) -> frozenset[str]:
        with self._talking() as client:
            return frozenset(str(raw["ImageID"]) for raw in client.containers(all=True))

    def remove_image(self, reference: str) -> bool:
        try:
            with self._talking() as client:
                client.remove_image(reference)
        except ImageInUse:
            return False
        except ImageMissing:
            pass
        return True

    def pull(
        self, reference: str, credentials: Credentials | None, on_progress: OnProgress = ignore_progress
    ) -> None:
        login = (
            {}
            if credentials is None
            else {"username": credentials.username, "password": credentials.password}
        )
        repository, digest_or_tag = answers.split_reference(reference)
        progress = PullProgress()
        with (
            self._talking(pulling=True),
            self._stream(
                "POST",
                "/images/create",
                {"fromImage": repository, "tag": digest_or_tag},
                {"X-Registry-Auth": encode_header(login).decode()},
            ) as events,
        ):
            for event in events:
                if "error" in event:
                    raise meaning.of_pull(str(event["error"]))
                on_progress(progress.hear(event))

    def create(self, spec: ContainerSpec) -> str:
        with self._talking() as client:
            created = client.create_container_from_config(creation.body(spec), spec.name)
        return str(created["Id"])

    def start(self, container_id: str) -> None:
        with self._talking() as client:
            client.start(container_id)

    def stop(self, container_id: str, grace_s: int) -> None:
        with self._talking() as client:
            client.stop(container_id, timeout=grace_s)

    def rename(self, container_id: str, name: str) -> None:
        with self._talking() as client:
            client.rename(container_id, name)

    def remove(self, container_id: str) -> None:
        with contextlib.suppress(ContainerGone), self._talking() as client:
            client.remove_container(container_id, v=True, force=True)

    def volumes(self, thing: str) -> list[Volume]:
        with self._talking() as client:
            listed = client.volumes(filters={"label": f"{LABEL_THING}={thing}"})["Volumes"]
        return [answers.volume(raw) for raw in listed or []]

    def remove_volume(self, name: str) -> None:
        # 404 is a success; the meaning of one is "gone", whatever it was.
        with contextlib.suppress(ContainerGone), self._talking() as client:
            client.remove_volume(name)

    def _changes(self, events: Iterator[dict[str, Any]]) -> Iterator[str]:
        """Return what happened, without its details (``health_status: healthy``), until a long silence.

        The engine sends ``die`` before it cleans up (moby, daemon/monitor.go), and lists the container as
        running until it has. Meanwhile it holds the container's lock, so an inspect returns right after that.
        """
        try:
            for event in events:
                action = str(event["Action"]).partition(":")[0]
                if action == "die":
                    with contextlib.suppress(EngineError), self._talking() as client:
                        client.inspect_container(event["Actor"]["ID"])
                yield action
        except requests.exceptions.RequestException as error:
            if not _timed_out(error):
                raise

    def _is_for_another_machine(self, image_id: str) -> bool:
        here = self.information().architecture
        try:
            with self._talking() as client:
                return bool(client.inspect_image(image_id)["Architecture"] != here)
        except ImageMissing:
            return False

    @contextlib.contextmanager
    def _stream(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Iterator[dict[str, Any]]]:
        """Yield what the engine says, line by line, and hang up at the end."""
        with self._response(method, path, params, headers) as response:
            yield (json.loads(line) for line in response.iter_lines() if line)

    @contextlib.contextmanager
    def _response(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[requests.Response]:
        """Yield an answer that is still coming, and hang up at the end.

        Not by the SDK's own calls: they wait for ever on a stream that has gone silent, and leave its
        connection open where the caller breaks off.
        """
        client = self._client()
        with client.request(
            method,
            f"{client.base_url}/v{client.api_version}{path}",
            params=dict(params),
            headers=dict(headers),
            stream=True,
            timeout=(ANSWER_TIMEOUT_S, self._silence_s),
        ) as response:
            try:
                response.raise_for_status()
            except requests.HTTPError as error:
                sdk.create_api_error_from_http_exception(error)
            yield response

    @contextlib.contextmanager
    def _talking(self, *, pulling: bool = False) -> Iterator[Any]:
        """Yield the client (its stubs are half untyped), and turn whatever it raises into an EngineError."""
        try:
            yield self._client()
        except sdk.APIError as error:
            text = str(error.explanation or error)
            raise meaning.of_pull(text) if pulling else _of_answer(error, text) from error
        except sdk.DockerException as error:
            self.close()
            raise EngineUnavailable(str(error)) from error
        except _BROKEN_CONNECTION as error:
            if pulling and _timed_out(error):
                raise PullStalled(f"nothing came for {self._silence_s:g} s") from error
            self.close()
            raise EngineUnavailable(str(error)) from error

    def _client(self) -> APIClient:
        with self._lock:
            if self._connected is None:
                self._ping()
                self._connected = APIClient(
                    version="auto",
                    timeout=ANSWER_TIMEOUT_S,
                    max_pool_size=APPLICATIONS_MAX,
                    **cast("dict[str, Any]", kwargs_from_env(environment=self._environment)),
                )
            return self._connected

    def _ping(self) -> None:
        """Fail as the SDK would where nobody listens, without the socket that it then forgets to close."""
        where = self._environment.get("DOCKER_HOST") or DEFAULT_HOST
        if where.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as knocking:
                knocking.settimeout(ANSWER_TIMEOUT_S)
                knocking.connect(where.removeprefix("unix://"))


def _timed_out(error: BaseException) -> bool:
    """Whether a read took too long; inside of a stream, requests passes that on as a ConnectionError."""
    return isinstance(error, requests.exceptions.ReadTimeout) or any(
        isinstance(each, urllib3.exceptions.ReadTimeoutError) for each in error.args
    )


def _of_answer(error: sdk.APIError, text: str) -> Exception:
    # A conflict on a name has had several wordings; the status with "name" in it has been stable.
    if error.status_code == 409 and "container name" in text.lower():
        return NameTaken(text)
    return meaning.of_container_call(error.status_code, text)
