"""IPC operations by which components take part in a deployment (classic only)."""

from collections.abc import Callable, Mapping
from typing import Any

from local.greengrass.nucleus.ipc.call import Call, Fields, text
from local.greengrass.nucleus.ipc.consultation import Answer, Asked, Consultation, NotAsked, Question
from local.greengrass.nucleus.ipc.errors import InvalidArgumentsError

_VERDICTS = frozenset({"ACCEPTED", "REJECTED"})


class Consulting:
    """Between streams and the consultation; ``by_name`` are the operations."""

    def __init__(self, consultation: Consultation) -> None:
        self._consultation = consultation
        self.by_name: Mapping[str, Callable[[Call], Fields]] = {
            "SubscribeToComponentUpdates": self._subscribe_to_component_updates,
            "DeferComponentUpdate": self._defer_component_update,
            "SubscribeToValidateConfigurationUpdates": self._subscribe_to_validate_configuration_updates,
            "SendConfigurationValidityReport": self._send_configuration_validity_report,
        }

    def _subscribe_to_component_updates(self, call: Call) -> Fields:
        def tell(asked: Asked) -> None:
            if asked.done:
                event: dict[str, Any] = {"postUpdateEvent": {"deploymentId": asked.deployment_id}}
            else:
                before = {"deploymentId": asked.deployment_id, "isGgcRestarting": False}
                event = {"preUpdateEvent": before}
            call.stream.event("ComponentUpdatePolicyEvents", event)

        call.stream.on_close(self._consultation.listen("update", call.component, tell))
        return {}

    def _defer_component_update(self, call: Call) -> Fields:
        wait_ms = call.fields.get("recheckAfterMs", 0)
        if not isinstance(wait_ms, int) or wait_ms < 0:
            raise InvalidArgumentsError("recheckAfterMs must be a whole number of at least 0")
        self._answer("update", call, text(call, "deploymentId"), Answer(defer_ms=wait_ms))
        return {}

    def _subscribe_to_validate_configuration_updates(self, call: Call) -> Fields:
        def tell(asked: Asked) -> None:
            proposal = {"configuration": asked.configuration, "deploymentId": asked.deployment_id}
            event = {"validateConfigurationUpdateEvent": proposal}
            call.stream.event("ValidateConfigurationUpdateEvents", event)

        call.stream.on_close(self._consultation.listen("validity", call.component, tell))
        return {}

    def _send_configuration_validity_report(self, call: Call) -> Fields:
        report = call.fields.get("configurationValidityReport")
        if not isinstance(report, dict) or report.get("status") not in _VERDICTS:
            raise InvalidArgumentsError("A report has a status, ACCEPTED or REJECTED")
        deployment_id, words = report.get("deploymentId"), report.get("message") or ""
        if not isinstance(deployment_id, str) or not isinstance(words, str):
            raise InvalidArgumentsError("A report names its deployment")
        answer = Answer(refusal=words if report["status"] == "REJECTED" else None)
        self._answer("validity", call, deployment_id, answer)
        return {}

    def _answer(self, question: Question, call: Call, deployment_id: str, answer: Answer) -> None:
        try:
            self._consultation.answer(question, call.component, deployment_id, answer)
        except NotAsked as error:
            raise InvalidArgumentsError("Nobody asked, or the time to answer is over") from error
