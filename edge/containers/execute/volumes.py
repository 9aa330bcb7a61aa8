"""Volume deletion: only when a deployment says so, only ours, only those that nobody names any more."""

import logging
from collections.abc import Iterable

from contract.desired import DesiredDocument
from edge.containers.model.observed import current_name, volume_name
from edge.ports.engine import LABEL_APPLICATION, LABEL_THING, Engine, Volume
from edge.ports.engine_errors import EngineError, VolumeInUse

log = logging.getLogger(__name__)


def unwanted(volumes: Iterable[Volume], document: DesiredDocument, thing: str) -> list[str]:
    """Return the volumes of ``thing`` that no application of ``document`` names: our labels and our names."""
    named = {
        volume_name(thing, application.name, volume.name)
        for application in document.applications
        for volume in application.volumes
    }
    return sorted(each.name for each in volumes if _is_ours(each, thing) and each.name not in named)


class VolumeDeletion:
    """Carries out ``delete_volumes``, once per document; owned by the reconciler's thread."""

    def __init__(self, engine: Engine, thing: str) -> None:
        self._engine, self._thing = engine, thing
        self._done: DesiredDocument | None = None

    def carry_out(self, document: DesiredDocument) -> None:
        """Delete what ``document`` does not name, if it says so; call it when the document is settled.

        A volume that a container still has, such as one that was rolled back to, stays. What the
        engine refuses otherwise is tried again by the next call.
        """
        if not document.delete_volumes or document == self._done:
            return
        try:
            for name in unwanted(self._engine.volumes(self._thing), document, self._thing):
                self._delete(name, document.deployment_id)
        except EngineError as error:
            log.warning("volumes not deleted: code=%s error=%s", error.code, error)
        else:
            self._done = document

    def _delete(self, name: str, deployment_id: str) -> None:
        try:
            self._engine.remove_volume(name)
        except VolumeInUse:
            log.warning("volume kept, a container has it: name=%s", name)
        else:
            log.info("volume deleted: name=%s deployment=%s", name, deployment_id)


def _is_ours(volume: Volume, thing: str) -> bool:
    application = volume.labels.get(LABEL_APPLICATION)
    return (
        volume.labels.get(LABEL_THING) == thing
        and application is not None
        and volume.name.startswith(f"{current_name(thing, application)}.")
    )
