"""Questions of classic to its components before a deployment, and what follows from the answers."""

import threading
from collections.abc import Mapping

from local.greengrass.nucleus.configuration.store import Json
from local.greengrass.nucleus.deployments.deployment import DeploymentFailed, Document, PowerLost
from local.greengrass.nucleus.ipc.consultation import Consultation, NotAnswered

_NOT_VALID = "COMPONENT_CONFIGURATION_NOT_VALID"


def consult(
    consultation: Consultation,
    document: Document,
    job_id: str,
    proposed: Mapping[str, Json],
    off: threading.Event,
) -> None:
    """Ask when to begin, by the id of the deployment; then what is ``proposed``, by that of the job.

    ``proposed`` has the new configuration of each component that would get one and keeps its version.

    Raises:
        DeploymentFailed: a component refuses its new configuration, or one does not answer.
        PowerLost
    """
    policy = document.componentUpdatePolicy
    if policy.action == "NOTIFY_COMPONENTS":
        consultation.ask_to_update(document.deploymentId, policy.timeout, off)
        _stay_on(off)
    try:
        refused = consultation.refusals(job_id, proposed, document.configurationValidationPolicy.timeout, off)
    except NotAnswered as error:
        cause = "Error while waiting for validation report for one or more components:null"
        raise DeploymentFailed("FAILED_NO_STATE_CHANGE", _NOT_VALID, cause) from error
    _stay_on(off)
    if refused:
        words = " ".join(f"{{ name = {name}, message = {said} }}" for name, said in refused.items())
        cause = f"Components reported that their to-be-deployed configuration is invalid {words}"
        raise DeploymentFailed("FAILED_NO_STATE_CHANGE", _NOT_VALID, cause)


def _stay_on(off: threading.Event) -> None:
    if off.is_set():
        raise PowerLost
