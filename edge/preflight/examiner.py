"""Preflight examiner of a document: checks policy, and each image that is not here yet.

Refuses only what is certain to fail on this device. What cannot be found out now (the registry is slow, the
engine is down) shows when the document is applied, and is retried then.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from contract.desired import DesiredDocument
from edge.containers.model.image_gc import DiskReserve, Pulled, collectable
from edge.containers.model.image_references import CredentialsUnavailable, registry_host
from edge.containers.model.policy import Policy
from edge.containers.plan.status import POLICY_REFUSED
from edge.host.disk_space import DiskSpace
from edge.ports.engine_errors import (
    DiskFull,
    EngineError,
    EngineUnavailable,
    RegistryUnreachable,
    WrongArchitecture,
)
from edge.preflight.image_inspector import ImageInspector, is_certain
from edge.preflight.manifests import ManifestUnreadable
from edge.preflight.verdict import PreflightRefusal, Verdict

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Findings:
    layers: dict[str, int] = field(default_factory=dict)  # size by digest: what is to be fetched
    missing: set[str] = field(default_factory=set)  # images that they are of
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)  # code and text by image
    unknown: set[str] = field(default_factory=set)  # images


@dataclass(frozen=True, slots=True)
class Examiner:
    """Any thread may ask it; takes as long as registries take."""

    images: ImageInspector
    mirrors: Mapping[str, str]
    floor: DiskReserve
    disk: Callable[[], DiskSpace | None]  # the engine's
    pulled: Callable[[], Sequence[Pulled]]  # what may be collected when nobody needs it
    real: Callable[[str], str] = os.path.realpath  # where a path leads through its links

    def verdict(self, document: DesiredDocument, policy: Policy) -> Verdict:
        """Return whether this document would fail here, as far as that can be found out now."""
        broken = policy.refusals(document.applications, self.real)
        if broken:
            rules = "; ".join(f"{name}: {rule}" for name, rule in broken.items())
            return Verdict(PreflightRefusal(POLICY_REFUSED, rules, lasting=True))
        found = self._look(document)
        return Verdict(_refused(found) or self._no_room(document, found), frozenset(found.unknown))

    def _look(self, document: DesiredDocument) -> _Findings:
        """Return what registries tell of the images that are not here; one that is silent is asked once."""
        wanted: dict[str, list[str]] = {}
        for application in document.applications:
            wanted.setdefault(application.image, []).append(application.name)
        found, silent = _Findings(), set[str]()
        for image, names in wanted.items():
            host = registry_host(image)
            try:
                if self.images.is_here(image, self.mirrors):
                    continue
                if host in silent:
                    found.unknown.add(image)
                    continue
                layers = self.images.layers(image, self.mirrors)
            except EngineUnavailable:
                return _Findings(unknown=set(wanted))
            except (EngineError, CredentialsUnavailable) as error:
                if is_certain(error):
                    found.refused[image] = (error.code, f"{', '.join(names)}: {error}")
                    continue
                log.info("image not looked into: applications=%s code=%s", ",".join(names), error.code)
                found.unknown.add(image)
                if isinstance(error, RegistryUnreachable | CredentialsUnavailable):
                    silent.add(host)
            except ManifestUnreadable as error:
                log.info("image not looked into: applications=%s error=%s", ",".join(names), error)
                found.unknown.add(image)
            else:
                found.layers.update(layers)
                found.missing.add(image)
        return found

    def _no_room(self, document: DesiredDocument, found: _Findings) -> PreflightRefusal | None:
        """Refuse what cannot fit; unpacked it takes even more than it says.

        Where something goes before the pull, an image that nobody needs or a container of the
        kill-then-download kind, only trying tells.
        """
        disk, needed = self.disk(), sum(found.layers.values())
        if disk is None or not needed:
            return None
        if collectable(self.pulled(), {application.image for application in document.applications}):
            return None
        if any(each.update_strategy == "kill-then-download" for each in document.applications):
            return None
        after = DiskSpace(disk.total_bytes, disk.free_bytes - needed)
        if self.floor.is_kept(disk) and not self.floor.is_half_eaten(after):
            return None
        return PreflightRefusal(
            DiskFull.code,
            f"{needed >> 20} MiB to fetch, {disk.free_bytes >> 20} MiB free,"
            f" {self.floor.of(disk) >> 20} MiB are to stay free",
            frozenset(found.missing),
        )


def _refused(found: _Findings) -> PreflightRefusal | None:
    """Return all refused images as one refusal, with the code of the worst: the one that stays so."""
    if not found.refused:
        return None
    lasting = {code for code, _ in found.refused.values()} & {WrongArchitecture.code}
    told = sorted(found.refused.values(), key=lambda each: each[0] not in lasting)
    worst = told[0][0]
    texts = (text if code == worst else f"{code}: {text}" for code, text in told)
    return PreflightRefusal(worst, "; ".join(texts), frozenset(found.refused), lasting=bool(lasting))
