"""The component set of a target's next Greengrass deployment. Pure.

CreateDeployment replaces the whole set, and what is left out is uninstalled: everything that is
there stays as it is, and only the agent's ``desired`` changes.
"""

import json
from collections.abc import Mapping
from typing import Any

from contract.names import COMPONENT

#: Component name → componentVersion, configurationUpdate {merge (JSON text), reset}, runWith.
Components = Mapping[str, Mapping[str, Any]]


class ConfigurationUnreadable(ValueError):
    """The agent's configuration in the target's latest deployment is not a JSON object: nothing is merged."""

    code = "agent-configuration-unreadable"


def merge(existing: Components, *, document_uri: str, agent_version: str) -> Components:
    """Return ``existing`` with the agent's ``desired`` pointing at ``document_uri``.

    The agent keeps the version that is found; where it is missing it is added at ``agent_version``.

    Raises:
        ConfigurationUnreadable: the agent's configuration cannot be kept.
    """
    agent = existing.get(COMPONENT, {"componentVersion": agent_version})
    update = agent.get("configurationUpdate") or {}
    configuration = _configuration(update) | {"desired": {"document_uri": document_uri}}
    merged = {**update, "merge": json.dumps(configuration, sort_keys=True, separators=(",", ":"))}
    return {**existing, COMPONENT: {**agent, "configurationUpdate": merged}}


def carries(components: Components, document_uri: str) -> bool:
    """Return whether the agent among ``components`` is pointed at ``document_uri``."""
    try:
        configuration = _configuration(components.get(COMPONENT, {}).get("configurationUpdate") or {})
    except ConfigurationUnreadable:
        return False
    return configuration.get("desired") == {"document_uri": document_uri}


def _configuration(update: Mapping[str, Any]) -> dict[str, Any]:
    try:
        configuration = json.loads(update.get("merge") or "{}")
    except (ValueError, TypeError):
        configuration = None
    if not isinstance(configuration, dict):
        raise ConfigurationUnreadable("the agent's configuration in the latest deployment is no JSON object")
    return configuration
