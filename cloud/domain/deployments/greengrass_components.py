"""The component set of a target's next Greengrass deployment. Pure.

CreateDeployment replaces the whole set and uninstalls what is left out. So every component that is there is
kept as it is; changed are only the agent's ``desired`` or version, the user that it runs as, and the classic
nucleus' time source: the time by which it merges values.
"""

import json
from collections.abc import Mapping
from typing import Any

from contract.names import COMPONENT

#: Component name → componentVersion, configurationUpdate {merge (JSON text), reset}, runWith.
Components = Mapping[str, Mapping[str, Any]]

NUCLEUS = "aws.greengrass.Nucleus"
TOKEN_EXCHANGE = "aws.greengrass.TokenExchangeService"  # noqa: S105 (a component's name)
#: The classic nucleus merges values by the time of their deployment's creation, so a device that comes into
#: a group keeps what a newer deployment of its old group gave it, unless the new one carries this.
TIME_SOURCE: Mapping[str, str] = {"deploymentConfigurationTimeSource": "deploymentProcessingTime"}
#: The first nucleus that knows it (developer guide, "Greengrass nucleus", changelog; its tag has the code).
TIME_SOURCE_SINCE = "2.15.0"
#: Whom the classic nucleus runs our scripts as, and gives our artifacts to; Lite does not look at it.
RUN_WITH: Mapping[str, str] = {"posixUser": "root"}


class ConfigurationUnreadable(ValueError):
    """A component's configuration in the target's latest deployment is not a JSON object: nothing is merged.

    Only the agent's is anybody's trouble, and the text is of it: that of a nucleus is left as it is.
    """

    code = "agent-configuration-unreadable"


class AgentUnpublished(Exception):
    """There is no version of the agent's component to add."""

    code = "agent-not-published"

    def __init__(self) -> None:
        super().__init__(f"no version of {COMPONENT} is published here: publish one (gdk component publish)")


def merge(existing: Components, *, document_uri: str, agent_version: str, time_source: bool) -> Components:
    """Return ``existing`` with the agent's ``desired`` pointing at ``document_uri``.

    The agent keeps the version that is found; where it is missing it is added at ``agent_version``. With
    ``time_source`` the classic nucleus, where it is named, gets TIME_SOURCE.

    Raises:
        ConfigurationUnreadable: the agent's configuration cannot be kept.
    """
    agent = existing.get(COMPONENT, {"componentVersion": agent_version})
    desired = {"desired": {"document_uri": document_uri}}
    merged = {**existing, COMPONENT: _as_root(_configured(agent, desired))}
    return _timed(merged) if time_source else merged


def upgrade(
    existing: Components, *, agent_version: str, time_source: bool, document_uri: str | None = None
) -> Components:
    """Return ``existing`` with the agent at ``agent_version``; its configuration stays as it is.

    ``document_uri``, where it is given, is what ``desired`` has to point at all the same.

    Raises:
        ConfigurationUnreadable: the agent's configuration cannot be kept.
    """
    agent: Mapping[str, Any] = {**existing[COMPONENT], "componentVersion": agent_version}
    if document_uri is not None:
        agent = _configured(agent, {"desired": {"document_uri": document_uri}})
    upgraded = {**existing, COMPONENT: _as_root(agent)}
    return _timed(upgraded) if time_source else upgraded


def carries(components: Components, document_uri: str) -> bool:
    """Return whether the agent among ``components`` is pointed at ``document_uri``."""
    try:
        configuration = _configuration(components.get(COMPONENT, {}))
    except ConfigurationUnreadable:
        return False
    return configuration.get("desired") == {"document_uri": document_uri}


def agent_version(components: Components) -> str | None:
    """Return the version of the agent among ``components``; None where it is not."""
    version = components.get(COMPONENT, {}).get("componentVersion")
    return None if version is None else str(version)


def lacks_time_source(components: Components) -> bool:
    """Return whether ``components`` name a classic nucleus without TIME_SOURCE."""
    if NUCLEUS not in components:
        return False
    try:
        configuration = _configuration(components[NUCLEUS])
    except ConfigurationUnreadable:
        return True
    return not TIME_SOURCE.items() <= configuration.items()


def nucleus_before_time_source(components: Components) -> str | None:
    """Return the version of the classic nucleus among ``components`` where it knows no TIME_SOURCE.

    What is no version of three numbers is not judged.
    """
    version = str(components.get(NUCLEUS, {}).get("componentVersion"))
    numbers = _numbers(version)
    since = _numbers(TIME_SOURCE_SINCE)
    return version if numbers is not None and since is not None and numbers < since else None


def reconfigured(before: Components, after: Components) -> tuple[str, ...]:
    """Return the components but the agent that ``after`` has at the same version, configured otherwise.

    Those are what a classic nucleus waits for, beside an agent that has its own configuration validated
    (nucleus 2.18, DynamicComponentConfigurationValidator: no new component, none of another version).
    """
    return tuple(
        name
        for name in sorted(before.keys() & after.keys() - {COMPONENT})
        if before[name].get("componentVersion") == after[name].get("componentVersion")
        and _update(before[name]) != _update(after[name])
    )


def _timed(components: Components) -> Components:
    if not lacks_time_source(components):
        return components
    try:
        return {**components, NUCLEUS: _configured(components[NUCLEUS], TIME_SOURCE)}
    except ConfigurationUnreadable:
        return components  # not ours to mend, and it stays one that lacks it


def _as_root(agent: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**agent, "runWith": {**(agent.get("runWith") or {}), **RUN_WITH}}


def _configured(component: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    configuration = {**_configuration(component), **values}
    merged = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    update = component.get("configurationUpdate") or {}
    return {**component, "configurationUpdate": {**update, "merge": merged}}


def _configuration(component: Mapping[str, Any]) -> dict[str, Any]:
    update = component.get("configurationUpdate") or {}
    try:
        configuration = json.loads(update.get("merge") or "{}")
    except (ValueError, TypeError):
        configuration = None
    if not isinstance(configuration, dict):
        raise ConfigurationUnreadable("the agent's configuration in the latest deployment is no JSON object")
    return configuration


def _update(component: Mapping[str, Any]) -> tuple[object, object]:
    """Return a component's configurationUpdate, so that two that mean the same are equal."""
    update = component.get("configurationUpdate") or {}
    text = update.get("merge") or "{}"
    try:
        merged = json.loads(text)
    except (ValueError, TypeError):
        merged = text
    return merged, update.get("reset") or []


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.split("-")[0].split("+")[0].split(".")
    return tuple(map(int, parts)) if len(parts) == 3 and all(part.isdecimal() for part in parts) else None
