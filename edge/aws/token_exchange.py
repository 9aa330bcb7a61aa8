"""Address of the token exchange service, from its configuration at this moment. Pure.

Both nuclei put its address into a component's environment, once, when the component starts. But the service
gets another port at each start of its own (on classic where none is configured). The agent depends on it
SOFT, so it outlives such a start, and on the classic nucleus may even be started before the service. So the
agent asks the nucleus instead: the port is in the service's configuration, which every component may read,
on classic as ``activePort`` beside the configured ``port``, on Lite as ``port`` alone.
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
