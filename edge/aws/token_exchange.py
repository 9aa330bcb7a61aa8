"""Address of the token exchange service, from its configuration at this moment. Pure.

Both nuclei give its address in the environment, once, when they start a component, and both give it another
port at each start of its own (classic where none is configured). With a SOFT dependency the agent lives on
through that, and on the classic nucleus may be started before it; so the nucleus is asked instead. Each
keeps the port in the component's configuration, which every component may read: classic as ``activePort``
beside the configured ``port``, Lite as ``port`` alone.
"""

from collections.abc import Mapping

COMPONENT = "aws.greengrass.TokenExchangeService"
VARIABLE = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_PATH = "/2016-11-01/credentialprovider/"


def address_in(configuration: Mapping[str, object]) -> str | None:
    """Return the address by token exchange's configuration; None where it says none."""
    for key in ("activePort", "port"):
        port = str(configuration.get(key, ""))
        if port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16:
            return f"http://localhost:{int(port)}{_PATH}"
    return None
