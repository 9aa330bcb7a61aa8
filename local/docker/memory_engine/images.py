"""Images of the simulated engine, fetched from a loopback registry as an engine does."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from local.docker.images import architecture

_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
_TIMEOUT_S = 30


class PullRefused(Exception):
    """The pull did not succeed; ``status`` and the text are what dockerd answers then."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that was pulled: its configuration; the layers are checked and thrown away."""

    id: str
    architecture: str
    config: Mapping[str, Any]  # the part that says what containers do
    size: int
    names: list[str] = field(default_factory=list)  # every reference that it was pulled by

    @property
    def labels(self) -> Mapping[str, str]:
        return self.config.get("Labels") or {}


def fetch(repository: str, tag: str, login: Mapping[str, str]) -> StoredImage:
    """Return the image that ``repository`` (with its registry) has under ``tag``, a tag or a digest.

    Raises:
        PullRefused: in dockerd's words.
    """
    registry, _, path = repository.partition("/")
    if not registry.partition(":")[0].startswith("127."):
        raise PullRefused(500, f"the simulated engine only pulls from loopback: {registry}: no such host")
    reader = _Reader(f"http://{registry}/v2/{path}", login)
    manifest = json.loads(reader.get(f"manifests/{tag}"))
    if "manifests" in manifest:
        manifest = json.loads(reader.get(f"manifests/{_mine(manifest)}"))
    described = manifest["config"]
    configuration = json.loads(reader.get(f"blobs/{described['digest']}"))
    size = sum(len(reader.get(f"blobs/{layer['digest']}")) for layer in manifest["layers"])
    return StoredImage(
        id=described["digest"],
        architecture=configuration.get("architecture", ""),
        config=configuration.get("config") or {},
        size=size,
    )


def login_of(header: str | None) -> Mapping[str, str]:
    """Return the login in an ``X-Registry-Auth`` header; empty when there is none."""
    if not header:
        return {}
    decoded = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    return decoded if isinstance(decoded, dict) else {}


class _Reader:
    """Reads one repository; every answer is checked against the digest it was asked by."""

    def __init__(self, base: str, login: Mapping[str, str]) -> None:
        self._base = base
        self._login = (login["username"], login["password"]) if login.get("username") else None

    def get(self, path: str) -> bytes:
        url, wanted = f"{self._base}/{path}", path.partition("/")[2]
        with _as_dockerd(url):
            answer = requests.get(
                url, auth=self._login, headers={"Accept": ", ".join(_MANIFESTS)}, timeout=_TIMEOUT_S
            )
        if answer.status_code == 404:
            raise PullRefused(404, f"manifest for {url} not found: manifest unknown: {answer.text[:200]}")
        if answer.status_code == 401 and self._login is None:
            raise PullRefused(500, f'Get "{url}": no basic auth credentials')
        if answer.status_code in (401, 403):
            raise PullRefused(500, f'Get "{url}": unauthorized: {answer.text[:200]}')
        if not answer.ok:
            raise PullRefused(500, f'Get "{url}": received unexpected HTTP status: {answer.status_code}')
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        if wanted.startswith("sha256:") and digest != wanted:
            raise PullRefused(500, f"{url}: the content does not match its digest")
        return answer.content


@contextmanager
def _as_dockerd(url: str) -> Iterator[None]:
    try:
        yield
    except requests.exceptions.Timeout as error:
        raise PullRefused(500, f'Get "{url}": i/o timeout') from error
    except requests.exceptions.ConnectionError as error:
        refused = "refused" in str(error)
        raise PullRefused(
            500, f'Get "{url}": {"connection refused" if refused else "unexpected EOF"}'
        ) from error
    except requests.exceptions.RequestException as error:
        raise PullRefused(500, f'Get "{url}": unexpected EOF') from error


def _mine(index: Mapping[str, Any]) -> str:
    for entry in index["manifests"]:
        platform = entry.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == ("linux", architecture()):
            return str(entry["digest"])
    raise PullRefused(404, f"no matching manifest for linux/{architecture()} in the manifest list entries")
