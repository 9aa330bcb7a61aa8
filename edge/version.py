"""The agent's version: the component's, which is decided when it is published.

No build knows it (gdk-config.json says NEXT_PATCH), so the run script reads it on the device, where the
artifact's path ends with it, and hands it over in the environment. What an agent can is not told by it: that
is ``contract.defaults.LEVEL``.
"""

import os
import re
from collections.abc import Mapping

#: An agent that was started by hand, from a checkout; before every version of the component.
UNPACKAGED = "0.0.0-unpackaged"
VARIABLE = "FLEETGRASS_VERSION"
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]{0,40}")


def version_in(environment: Mapping[str, str]) -> str:
    """Return the component's version that ``environment`` names; UNPACKAGED where it names none."""
    named = environment.get(VARIABLE, "")
    return named if _VERSION.fullmatch(named) else UNPACKAGED


AGENT_VERSION = version_in(os.environ)
