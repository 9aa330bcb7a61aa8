"""Looks into a proposed configuration: settings, document, policy, and each image that is not here yet.

Refuses only what is certain to fail on this device. What cannot be found out now (a registry that is
slow, an engine that is down) is for the time when it is applied, which tries again.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from contract.desired import DesiredDocument
from contract.documents import parse_document_uri
from contract.wire import complaint
from edge.containers.collecting import DiskSpace, Floor, Pulled, collectable
from edge.containers.registry import CredentialsUnavailable
from edge.engine.errors import EngineError, EngineUnavailable
from edge.preflight.images import Images, is_certain
from edge.preflight.manifests import ManifestUnreadable
from edge.settings import CONFIGURATION_INVALID, parse_settings

log = logging.getLogger(__name__)


class Refused(Exception):
    """This configuration would fail here; the text is ``code: reason``."""


@dataclass(frozen=True, slots=True)
class Examiner:
    """Any thread may ask it; takes as long as S3 and registries take."""

    images: Images
    document: Callable[[str], bytes | None]  # by URI; None: it cannot be had now
    disk: Callable[[], DiskSpace | None]  # the engine's
    pulled: Callable[[], Sequence[Pulled]]  # what may be collected when nobody needs it
    real: Callable[[str], str] = os.path.realpath  # where a path leads through its links

    def refusal(self, configuration: Mapping[str, object]) -> str | None:
        """Return why this configuration would fail here, as ``code: reason``; None when nothing is known."""
        try:
            self._examine(configuration)
        except Refused as refused:
            return str(refused)
        return None

    def _examine(self, configuration: Mapping[str, object]) -> None:
        reading = parse_settings(configuration)
        if reading.complaint is not None:
            raise Refused(f"{CONFIGURATION_INVALID}: {reading.complaint}")
        settings = reading.settings
        if settings.document_uri is None:
            return
        document = self._document(settings.document_uri)
        if document is None:
            return
        broken = settings.policy.refusals(document.applications, self.real)
        if broken:
            raise Refused("; ".join(f"policy-refused: {name}: {rule}" for name, rule in broken.items()))
        missing = self._missing(document, settings.registry_mirrors)
        self._room(document, missing, Floor(settings.disk_floor_mib << 20))

    def _document(self, uri: str) -> DesiredDocument | None:
        try:
            _, _, sha256 = parse_document_uri(uri)
        except ValueError as error:
            raise Refused(f"desired-invalid: {error}") from None
        content = self.document(uri)
        if content is None or hashlib.sha256(content).hexdigest() != sha256:
            return None  # fetched again when it is applied
        try:
            return DesiredDocument.from_json(content)
        except ValidationError as error:
            raise Refused(f"desired-invalid: {complaint(error)}") from None

    def _missing(self, document: DesiredDocument, mirrors: Mapping[str, str]) -> Mapping[str, int]:
        """Return the layers to fetch and their sizes, as far as registries tell.

        Raises:
            Refused: for every image that cannot run here, all of them in one text.
        """
        wanted: dict[str, list[str]] = {}
        for application in document.applications:
            wanted.setdefault(application.image, []).append(application.name)
        refusals: list[str] = []
        layers: dict[str, int] = {}
        for image, names in wanted.items():
            try:
                layers.update(self.images.layers(image, mirrors))
            except EngineUnavailable:
                return {}
            except (EngineError, CredentialsUnavailable) as error:
                if is_certain(error):
                    refusals.append(f"{error.code}: {', '.join(names)}: {error}")
                else:
                    log.info("image not looked into: applications=%s code=%s", ",".join(names), error.code)
            except ManifestUnreadable as error:
                log.info("image not looked into: applications=%s error=%s", ",".join(names), error)
        if refusals:
            raise Refused("; ".join(refusals))
        return layers

    def _room(self, document: DesiredDocument, missing: Mapping[str, int], floor: Floor) -> None:
        """Refuse what cannot fit; unpacked it takes even more than it says.

        Where something goes before the pull, an image that nobody needs or a container of the
        kill-then-download kind, only trying tells.
        """
        disk, needed = self.disk(), sum(missing.values())
        if disk is None or not needed:
            return
        if collectable(self.pulled(), {application.image for application in document.applications}):
            return
        if any(each.update_strategy == "kill-then-download" for each in document.applications):
            return
        after = DiskSpace(disk.total_bytes, disk.free_bytes - needed)
        if not floor.is_kept(disk) or floor.is_half_eaten(after):
            raise Refused(
                f"disk-full: {needed >> 20} MiB to fetch, {disk.free_bytes >> 20} MiB free,"
                f" {floor.of(disk) >> 20} MiB are to stay free"
            )
