"""Registry client (HTTP API): reads what is known of an image without fetching it.

Only a clear refusal by the registry is ``RegistryDenied`` or ``ImageNotFound``; a slow or malformed answer,
or an unknown kind of login, is ``RegistryUnreachable``.
"""

import base64
import contextlib
import http.client
import urllib.error
import urllib.request
from ipaddress import ip_address

from edge.ports.engine import Credentials
from edge.ports.engine_errors import ImageNotFound, RegistryDenied, RegistryUnreachable
from edge.preflight.manifests import INDEXES, MANIFESTS

ANSWER_S = 8.0
MANIFEST_MAX_BYTES = 4 * 1024 * 1024  # what registries themselves accept

_ACCEPTED = ", ".join((*INDEXES, *MANIFESTS))


class HttpRegistry:
    """Reads from the registry that a reference (``host/repository@digest``) names."""

    def manifest(self, reference: str, credentials: Credentials) -> bytes:
        """Return the manifest of a reference.

        Raises:
            ImageNotFound: the registry does not have it.
            RegistryDenied: these credentials do not open it.
            RegistryUnreachable: it is unknown now.
        """
        host, repository, digest = _parts(reference)
        return self._get(host, f"{repository}/manifests/{digest}", credentials, accept=_ACCEPTED)

    def blob(self, reference: str, digest: str, credentials: Credentials) -> bytes:
        """Return a small blob of a reference's repository. Raises as ``manifest``."""
        host, repository, _ = _parts(reference)
        return self._get(host, f"{repository}/blobs/{digest}", credentials, accept="*/*")

    def _get(self, host: str, path: str, credentials: Credentials, *, accept: str) -> bytes:
        login = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - the scheme is ours
            f"{_scheme(host)}://{host}/v2/{path}", headers={"Accept": accept}
        )
        # Not for a host that the registry redirects to: blobs come from elsewhere, with their own signature.
        request.add_unredirected_header("Authorization", f"Basic {login}")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
                content = answer.read(MANIFEST_MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                raise _meaning(error, host) from None
        except (OSError, http.client.HTTPException) as error:
            raise RegistryUnreachable(f"{host}: {type(error).__name__}") from None
        if len(content) > MANIFEST_MAX_BYTES:
            raise RegistryUnreachable(f"{host}: more than {MANIFEST_MAX_BYTES} bytes")
        return bytes(content)


def _meaning(error: urllib.error.HTTPError, host: str) -> Exception:
    asked_for = (error.headers.get("WWW-Authenticate") or "").lower()
    if error.code == 404:
        return ImageNotFound(f"{host} does not have it")
    if error.code == 403 or (error.code == 401 and asked_for.startswith("basic")):
        return RegistryDenied(f"{host} answers {error.code}")
    return RegistryUnreachable(f"{host} answers {error.code}")


def _parts(reference: str) -> tuple[str, str, str]:
    name, _, digest = reference.partition("@")
    host, _, repository = name.partition("/")
    return host, repository, digest


def _scheme(host: str) -> str:
    """As the engine does, trust a registry on this machine without TLS, and no other."""
    name = host.rpartition(":")[0] or host
    try:
        return "http" if ip_address(name).is_loopback else "https"
    except ValueError:
        return "http" if name == "localhost" else "https"
