"""Component store: recipes resolved by the Greengrass control plane, artifacts in S3.

Errors::

    ComponentError
    ├── NotResolved         the control plane knows no version that fits
    ├── GroupsForbidden     the certificate's policy does not let the device ask for its groups
    ├── CloudUnreachable    nobody answered, or not with sense: asking again may help
    └── ArtifactUnusable    it could not be fetched, or is not what its digest says
"""

import base64
import hashlib
import json
import logging
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.greengrass.nucleus.components.ownership import give, named
from local.greengrass.nucleus.components.recipe import Artifact, Recipe
from local.greengrass.nucleus.device import Device, Folder, architecture
from local.greengrass.nucleus.services.credentials import CredentialsUnavailable, Role

log = logging.getLogger(__name__)

_TIMEOUT_S = 10


class ComponentError(Exception):
    """A component could not be had."""

    code = "component"


class NotResolved(ComponentError):
    """No version meets all requirements on this platform."""

    code = "NO_AVAILABLE_COMPONENT_VERSION"


class GroupsForbidden(ComponentError):
    """The device may not ask for its groups."""

    code = "ACCESS_DENIED"


class CloudUnreachable(ComponentError):
    """The control plane did not answer."""

    code = "CLOUD_API_ERROR"


class ArtifactUnusable(ComponentError):
    """The artifact is missing, forbidden, broken or not what was published."""

    code = "ARTIFACT_DOWNLOAD_ERROR"


class ComponentStore(Protocol):
    """Port to the cloud, as far as a deployment needs it."""

    def resolve(self, requirements: Mapping[str, Mapping[str, str]]) -> dict[str, bytes]:
        """Return a recipe's source for each component; ``requirements`` is name → who asks → version.

        Raises:
            NotResolved
            CloudUnreachable
        """

    def groups(self) -> frozenset[str]:
        """Return the names of the device's groups.

        Raises:
            GroupsForbidden
            CloudUnreachable
        """

    def fetch(self, recipe: Recipe) -> None:
        """Have every artifact of ``recipe`` on the disk, checked and unzipped.

        Raises:
            ArtifactUnusable
        """

    def report(self, status: Mapping[str, Any]) -> None:
        """Tell the control plane how the core is; best effort."""


class CloudComponentStore:
    """The store over HTTP and S3, with the credentials of the token exchange role."""

    def __init__(self, device: Device, folder: Folder, role: Role) -> None:
        self._device = device
        self._folder = folder
        self._role = role

    def resolve(self, requirements: Mapping[str, Mapping[str, str]]) -> dict[str, bytes]:
        """See ComponentStore."""
        body = {
            "platform": {"name": "linux", "attributes": self._attributes()},
            "componentCandidates": [
                {"componentName": name, "versionRequirements": dict(wanted)}
                for name, wanted in requirements.items()
            ],
        }
        answer = self._ask("resolveComponentCandidates", body)
        return {
            found["componentName"]: base64.b64decode(found["recipe"])
            for found in answer["resolvedComponentVersions"]
        }

    def groups(self) -> frozenset[str]:
        """See ComponentStore."""
        try:
            answer = self._ask(f"coreDevices/{self._device.thing}/thingGroups", None)
        except NotResolved as error:
            raise GroupsForbidden(str(error)) from error
        return frozenset(group["thingGroupName"] for group in answer["thingGroups"])

    def report(self, status: Mapping[str, Any]) -> None:
        """See ComponentStore."""
        about = {
            "coreDeviceThingName": self._device.thing,
            "coreVersion": self._device.nucleus.version,
            "platform": "linux",
            "architecture": architecture(),
            "runtime": f"aws_nucleus_{self._device.nucleus.kind}",
        }
        try:
            self._ask("_coreDeviceStatus", {**about, **status})
        except ComponentError as error:
            log.warning("status not reported: code=%s", error.code)

    def fetch(self, recipe: Recipe) -> None:
        """See ComponentStore."""
        for artifact in recipe.artifacts:
            name = Path(urlparse(artifact.uri).path).name
            path = self._folder.artifacts(recipe.name, recipe.version) / name
            unarchived = self._folder.unarchived(recipe.name, recipe.version) / path.stem
            # What Lite has of a version it neither fetches nor checks again.
            here = self._device.nucleus.kind == "lite" and path.exists()
            if not here and not _is_intact(path, artifact):
                self._download(artifact, path)
                self._give(path)
            if artifact.unarchive and not unarchived.exists():
                _unzip(path, unarchived)
                self._give(unarchived)

    def _give(self, path: Path) -> None:
        """Give what was downloaded to the component user at once (Lite; classic: before each script)."""
        user = named(self._device.component_user)
        if user is not None and self._device.nucleus.kind == "lite":
            give(path, user)

    def _attributes(self) -> dict[str, str]:
        lite = {"runtime": "aws_nucleus_lite"} if self._device.nucleus.kind == "lite" else {}
        return {"os": "linux", "architecture": architecture(), **lite}

    def _ask(self, path: str, body: Mapping[str, Any] | None) -> Any:
        """POST ``body``, or GET where there is none."""
        request = urllib.request.Request(  # noqa: S310 - the device file's own endpoint
            f"{self._device.endpoint_url}/greengrass/v2/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                return json.loads(response.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(2_000).decode(errors="replace")
            if error.code < 500:
                raise NotResolved(text) from error
            raise CloudUnreachable(f"{error.code}: {text}") from error
        except (OSError, ValueError) as error:
            raise CloudUnreachable(str(error)) from error

    def _download(self, artifact: Artifact, path: Path) -> None:
        place = urlparse(artifact.uri)
        if place.scheme != "s3":
            raise ArtifactUnusable(f"{artifact.uri}: only s3:// artifacts")
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        try:
            self._s3().download_file(place.netloc, place.path.lstrip("/"), str(unfinished))
        except (ClientError, BotoCoreError, CredentialsUnavailable, OSError) as error:
            raise ArtifactUnusable(f"{artifact.uri}: {error}") from error
        if not _is_intact(unfinished, artifact):
            unfinished.unlink()
            raise ArtifactUnusable(f"{artifact.uri}: the digest is not the recipe's")
        unfinished.replace(path)

    def _s3(self) -> Any:
        session = self._role.assume()
        return boto3.client(
            "s3",
            endpoint_url=self._device.endpoint_url,
            region_name=self._device.region,
            aws_access_key_id=session.access_key,
            aws_secret_access_key=session.secret_key,
            aws_session_token=session.session_token,
            config=Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=60),
        )


def _is_intact(path: Path, artifact: Artifact) -> bool:
    if not path.exists():
        return False
    if artifact.sha256_base64 is None:
        return True
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.b64encode(digest).decode() == artifact.sha256_base64


def _unzip(archive: Path, folder: Path) -> None:
    """Unpack; a half-unpacked folder of an earlier power cut is thrown away first."""
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(unfinished)
            for entry in opened.infolist():
                if mode := entry.external_attr >> 16 & 0o777:
                    (unfinished / entry.filename).chmod(mode)
    except (zipfile.BadZipFile, OSError) as error:
        raise ArtifactUnusable(f"{archive.name}: {error}") from error
    unfinished.rename(folder)
