"""The agent's version: what hello and reports say, and what the component is published as.

``gdk-config.json`` and ``pyproject.toml`` repeat it because their tools read only themselves; the
component's build refuses to run when they differ.
"""

AGENT_VERSION = "0.2.0"
