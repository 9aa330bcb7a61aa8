"""Mend: an IoT rule invokes its Lambda through a bounded queue with retries and a dead-letter queue.

Unmended, every message is an unbounded thread that tries once (ministack 1.5.33,
``iot._dispatch_rule_to_lambda``), and cold starts lose messages.
"""

import logging
from dataclasses import dataclass
from typing import Any

from ministack.services import iot, lambda_svc

from local.emulator.asynchronous_invokes import AsynchronousInvokes, Outcome

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _RuleCall:
    """One message on its way to one function; ``failure`` is the last attempt's result."""

    account_id: str
    region: str
    function_arn: str
    event: Any
    failure: dict[str, Any] | None = None


def mend_rule_to_lambda() -> AsynchronousInvokes[_RuleCall]:
    """Put a queue between rules and functions; returns it, so that it can be closed.

    A full queue raises to the rule, whose error action then gets the message.
    """
    invokes = AsynchronousInvokes(_invoke, _give_up)

    def dispatch(account_id: str, region: str, function_arn: str, event: Any) -> None:
        invokes.put(_RuleCall(account_id, region, function_arn, event))

    iot._dispatch_rule_to_lambda = dispatch
    return invokes


def _record(call: _RuleCall) -> dict[str, Any] | None:
    function, configuration, _ = lambda_svc._get_func_record_for_ref_in_scope(
        call.function_arn, account_id=call.account_id, region=call.region
    )
    if not function or not configuration:
        return None
    record: dict[str, Any] = lambda_svc._execution_record_for_config(function, configuration)
    return record


def _invoke(call: _RuleCall) -> Outcome:
    record = _record(call)
    if record is None:
        log.error("rule names a function that does not exist: function=%s", call.function_arn)
        return Outcome.DONE  # as AWS: nothing to retry on, nowhere to give up to
    result = lambda_svc._execute_function_with_config_scope(record, call.event)
    if result.get("throttle"):
        return Outcome.THROTTLED
    if result.get("log"):
        log.info("function output: function=%s\n%s", call.function_arn, result["log"])
    if not result.get("error"):
        return Outcome.DONE
    call.failure = result
    return Outcome.FAILED


def _give_up(call: _RuleCall) -> None:
    log.error("invocation dropped after its retries: function=%s", call.function_arn)
    record = _record(call)
    if record is None:
        return
    configuration = record["config"]
    invoke_configuration = record.get("event_invoke_config") or {}
    on_failure = (invoke_configuration.get("DestinationConfig") or {}).get("OnFailure") or {}
    dead_letters = configuration.get("DeadLetterConfig") or {}
    target = on_failure.get("Destination") or dead_letters.get("TargetArn")
    if target:
        lambda_svc._run_with_function_config_scope(
            record,
            lambda_svc._route_async_failure,
            target,
            configuration.get("FunctionName", ""),
            call.event,
            call.failure or {},
        )
