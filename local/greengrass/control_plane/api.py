"""The Greengrass v2 REST API: which path and method is which operation. No socket here."""

import base64
import binascii
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from local.greengrass.control_plane.components import Components
from local.greengrass.control_plane.core_devices import CoreDevices
from local.greengrass.control_plane.deployments import Deployments
from local.greengrass.control_plane.emulator import Emulator
from local.greengrass.control_plane.errors import GreengrassError, InternalError, InvalidRequest, NotFound
from local.greengrass.control_plane.names import Place
from local.greengrass.control_plane.records import Records

log = logging.getLogger(__name__)
_TOKEN = re.compile(r"^[a-zA-Z0-9-]{1,64}$")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, taken apart: path parameters in order, query, JSON body, and who calls."""

    path: tuple[str, ...]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    who: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: a status, a JSON body, and AWS's error code when it is an error."""

    status: int
    body: Mapping[str, Any]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Operation:
    method: str
    path: re.Pattern[str]
    status: int
    run: Callable[[Call], Mapping[str, Any]]


class Api:
    """Answers requests, one at a time: a change is on the disk before its answer goes out."""

    def __init__(self, folder: Path, emulator: Emulator, place: Place, now: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._components = Components(Records(folder / "components"), emulator, place, now)
        self._deployments = Deployments(
            Records(folder / "deployments"), self._components, emulator, place, now
        )
        self._cores = CoreDevices(Records(folder / "core-devices"), self._deployments, emulator, now)
        self._operations = self._routes()

    def answer(self, method: str, target: str, body: bytes, who: str) -> Answer:
        """Return the answer to a request; never raises."""
        url = urlsplit(target)
        for operation in self._operations:
            match = operation.path.fullmatch(url.path)
            if match is None or operation.method != method:
                continue
            try:
                call = Call(
                    tuple(unquote(part) for part in match.groups()),
                    dict(parse_qsl(url.query)),
                    _json(body),
                    who,
                )
                with self._lock:
                    return Answer(operation.status, operation.run(call))
            except GreengrassError as error:
                return Answer(error.status, error.body(), error.code)
            except Exception:
                log.exception("request failed: method=%s path=%s", method, url.path)
                return Answer(500, {"message": "Internal error"}, InternalError.code)
        missing = NotFound(f"No operation has {method} {url.path}", kind="operation", id=url.path)
        return Answer(missing.status, missing.body(), missing.code)

    def _routes(self) -> Sequence[_Operation]:
        components, deployments, cores = self._components, self._deployments, self._cores

        def list_deployments(call: Call) -> Mapping[str, Any]:
            query = call.query
            found = deployments.find(
                query.get("targetArn"),
                query.get("historyFilter", "LATEST_ONLY"),
                query.get("parentTargetArn"),
            )
            page = _page("deployments", found, query)
            return page | {"deployments": [deployments.summary(record) for record in page["deployments"]]}

        def operation(
            method: str, path: str, run: Callable[[Call], Mapping[str, Any]], status: int = 200
        ) -> _Operation:
            pattern = "([^/]+)".join(re.escape(piece) for piece in path.split("{}"))
            return _Operation(method, re.compile("/greengrass/v2" + pattern), status, run)

        return (
            operation(
                "POST", "/createComponentVersion", lambda c: components.create(_checked(c).body, c.who), 201
            ),
            operation(
                "GET",
                "/components/{}/versions",
                lambda c: _page("componentVersions", components.list_versions(c.path[0]), c.query),
            ),
            operation("GET", "/components/{}/metadata", lambda c: components.describe(c.path[0])),
            operation(
                "GET",
                "/components/{}",
                lambda c: components.recipe(c.path[0], c.query.get("recipeOutputFormat", "JSON")),
            ),
            operation(
                "GET",
                "/components",
                lambda c: _page(
                    "components", components.list_latest(c.query.get("scope", "PRIVATE")), c.query
                ),
            ),
            operation(
                "POST",
                "/resolveComponentCandidates",
                lambda c: {"resolvedComponentVersions": components.resolve(c.body)},
            ),
            operation("POST", "/deployments", lambda c: deployments.create(_checked(c).body, c.who), 201),
            operation("GET", "/deployments", list_deployments),
            operation("GET", "/deployments/{}", lambda c: deployments.get(c.path[0])),
            operation("POST", "/deployments/{}/cancel", lambda c: deployments.cancel(c.path[0])),
            operation("POST", "/_coreDeviceStatus", lambda c: cores.report(c.body)),
            operation(
                "GET",
                "/coreDevices",
                lambda c: _page(
                    "coreDevices", cores.find(c.query.get("thingGroupArn"), c.query.get("status")), c.query
                ),
            ),
            operation("GET", "/coreDevices/{}/thingGroups", lambda c: cores.thing_groups(c.path[0])),
            operation("GET", "/coreDevices/{}", lambda c: cores.get(c.path[0])),
            operation(
                "GET",
                "/coreDevices/{}/effectiveDeployments",
                lambda c: _page("effectiveDeployments", cores.effective_deployments(c.path[0]), c.query),
            ),
            operation(
                "GET",
                "/coreDevices/{}/installedComponents",
                lambda c: _page(
                    "installedComponents",
                    cores.installed_components(c.path[0], c.query.get("topologyFilter", "ROOT")),
                    c.query,
                ),
            ),
        )


def _json(body: bytes) -> Mapping[str, Any]:
    if not body:
        return {}
    try:
        loaded = json.loads(body)
    except ValueError as error:
        raise InvalidRequest("Could not parse the request body as JSON") from error
    if not isinstance(loaded, dict):
        raise InvalidRequest("The request body must be a JSON object")
    return loaded


def _checked(call: Call) -> Call:
    token = call.body.get("clientToken")
    if token is not None and not (isinstance(token, str) and _TOKEN.match(token)):
        raise InvalidRequest("Invalid Input: clientToken must match [a-zA-Z0-9-]{1,64}")
    return call


def _page(member: str, entries: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return one page of ``entries`` as ``{member: […], nextToken?}``; the token is where to go on."""
    try:
        size = int(query.get("maxResults", "50"))
        start = int(base64.urlsafe_b64decode(query["nextToken"])) if "nextToken" in query else 0
    except (ValueError, binascii.Error) as error:
        raise InvalidRequest("Invalid Input: maxResults or nextToken") from error
    if not 1 <= size <= 100 or start < 0:
        raise InvalidRequest("Invalid Input: maxResults must be 1 to 100")
    page: dict[str, Any] = {member: list(entries[start : start + size])}
    if start + size < len(entries):
        page["nextToken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return page
