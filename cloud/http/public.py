"""The handler of public routes: no token, no caller, nothing audited; the same answers and problems."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from cloud.http import gateway_events
from cloud.http.gateway_events import INTERNAL, Problem, Response
from cloud.telemetry.logs import log_event, start_logging

log = logging.getLogger(__name__)


def public_handler(
    operation: Callable[[Mapping[str, str]], Response], *, route: str
) -> Callable[[dict[str, Any], object], dict[str, Any]]:
    """Return the Lambda entry of ``operation``, which serves the route key ``route`` of ``PUBLIC_ROUTES``.

    It is given the request's headers, names in lower case.
    """
    start_logging()

    def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
        began = time.monotonic()
        request_id = gateway_events.request_id_of(event, context)
        try:
            answer = gateway_events.answer(operation(gateway_events.headers_of(event)), request_id)
        except Problem as problem:
            answer = gateway_events.problem_answer(problem, request_id)
        except Exception as error:  # noqa: BLE001 - the one boundary: the caller gets an answer, the log the stack
            log_event(
                log, "request failed", level=logging.ERROR, error=error, request_id=request_id, route=route
            )
            answer = gateway_events.problem_answer(INTERNAL, request_id)
        log_event(
            log,
            "request",
            request_id=request_id,
            route=route,
            status=answer["statusCode"],
            duration_ms=round((time.monotonic() - began) * 1000),
        )
        return answer

    return handler
