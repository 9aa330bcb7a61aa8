"""Consistency checks between the parts of a desired document; every problem names its path. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from contract.applications import Application, HttpHealthCheck, TcpHealthCheck

#: Where the agent puts things into a container: file secrets, and the folder of the update lock.
SECRETS_PATH = "/run/secrets"
LOCK_PATH = "/run/fleetgrass"
_RESERVED_LABELS = ("io.fleetgrass.", "com.docker.", "org.mobyproject.")


def problems(applications: Sequence[Application]) -> Iterator[str]:
    """Yield what keeps ``applications`` from running beside each other: ``{path}: {what is wrong}``."""
    names: set[str] = set()
    ports: dict[tuple[str, int], str] = {}
    for i, application in enumerate(applications):
        at = f"applications[{i}]"
        if application.name in names:
            yield f'{at}.name: "{application.name}" is used twice'
        names.add(application.name)
        yield from _ports(at, application, ports)
        yield from _within(at, application)
    yield from _dependencies(applications)


def _ports(at: str, application: Application, taken: dict[tuple[str, int], str]) -> Iterator[str]:
    """Yield conflicts of host ports; ``taken`` holds them by protocol and number, and gets these too."""
    if application.ports and application.network_mode != "bridge":
        yield f"{at}.ports: nothing is published with network_mode {application.network_mode}"
        return
    for j, port in enumerate(application.ports):
        if port.host_port is None:
            continue
        wanted = (port.protocol, port.host_port)
        if wanted in taken:
            yield f'{at}.ports[{j}].host_port: {port.host_port} is used by "{taken[wanted]}" too'
        taken.setdefault(wanted, application.name)


def _within(at: str, application: Application) -> Iterator[str]:
    """Yield what an application contradicts itself in."""
    check = application.health_check
    if application.network_mode == "none" and isinstance(check, HttpHealthCheck | TcpHealthCheck):
        yield f"{at}.health_check: {check.kind} needs a network, and network_mode is none"
    if application.update_strategy == "hand-over":
        if application.network_mode == "host":
            yield f"{at}.update_strategy: hand-over cannot have network_mode host: both would want its ports"
        for j, port in enumerate(application.ports):
            if port.host_port is not None:
                yield (
                    f"{at}.ports[{j}].host_port: {port.host_port} is fixed, and in a hand-over "
                    "the old and the new one would both want it"
                )
    for capability in sorted(set(application.cap_add) & set(application.cap_drop)):
        yield f"{at}.cap_drop: {capability} is in cap_add too"
    for key in application.labels:
        if key.startswith(_RESERVED_LABELS):
            yield f"{at}.labels: {key} begins with a reserved word"
    yield from _secrets(at, application)
    yield from _mounts(at, application)


def _secrets(at: str, application: Application) -> Iterator[str]:
    variables, files = set(application.env), set[str]()
    for j, secret in enumerate(application.secrets):
        path = f"{at}.secrets[{j}].name"
        if secret.given_as == "env":
            if not secret.name.isidentifier():
                yield f'{path}: "{secret.name}" is not the name of an environment variable'
            elif secret.name in variables:
                yield f"{path}: {secret.name} is set twice"
            variables.add(secret.name)
        else:
            if secret.name in files:
                yield f"{path}: {secret.name} is set twice"
            files.add(secret.name)


def _mounts(at: str, application: Application) -> Iterator[str]:
    places: dict[str, str] = {}
    if any(secret.given_as == "file" for secret in application.secrets):
        places[SECRETS_PATH] = "the secrets"
    if application.update_lock:
        places[LOCK_PATH] = "the update lock"
    volumes: set[str] = set()
    for j, volume in enumerate(application.volumes):
        if volume.name in volumes:
            yield f'{at}.volumes[{j}].name: "{volume.name}" is used twice'
        volumes.add(volume.name)
    wanted = [(f"{at}.volumes[{j}].path", each.path) for j, each in enumerate(application.volumes)]
    wanted += [(f"{at}.binds[{j}].path", each.path) for j, each in enumerate(application.binds)]
    for path, place in wanted:
        if place in places:
            yield f"{path}: {place} is taken by {places[place]}"
        places.setdefault(place, path.removeprefix(f"{at}."))
    nodes: set[str] = set()
    for j, device in enumerate(application.devices):
        place = device.path or device.source
        if place in nodes:
            yield f"{at}.devices[{j}]: {place} is used twice"
        nodes.add(place)


def _dependencies(applications: Sequence[Application]) -> Iterator[str]:
    needs = {each.name: [dependency.application for dependency in each.depends_on] for each in applications}
    for i, application in enumerate(applications):
        for j, name in enumerate(needs[application.name]):
            path = f"applications[{i}].depends_on[{j}].application"
            if name not in needs:
                yield f'{path}: there is no "{name}" in this deployment'
            elif name in needs[application.name][:j]:
                yield f'{path}: "{name}" is named twice'
    circle = _circle(needs)
    if circle:
        index = next(i for i, each in enumerate(applications) if each.name == circle[0])
        yield f"applications[{index}].depends_on: {' → '.join(circle)} wait for each other"


def _circle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one circle of dependencies, its first name again at the end; empty when there is none."""
    waiting: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(needs, ()))
    for name, each in needs.items():
        for dependency in each:
            if dependency in needs:
                waiting.add(dependency, name)  # this way round a circle is told from who waits to whom
    try:
        waiting.prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []
