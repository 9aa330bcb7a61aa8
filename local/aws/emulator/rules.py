"""Patches of IoT rules: Lambda through a bounded queue with retries, and substitution in republish topics.

Unpatched (ministack 1.5.33) every message to a Lambda is an unbounded thread that tries once, and cold
starts lose messages; a republish goes to the topic as it is written, ``${topic(3)}`` and all.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack.services import iot, lambda_svc

from local.aws.emulator.asynchronous_invokes import AsynchronousInvokes, Outcome

log = logging.getLogger(__name__)

_SUBSTITUTION = re.compile(r"\$\{([^}]*)\}")


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


def mend_republish() -> None:
    """Replace ``${expression}`` in a republish action's topic by its value for the message at hand."""
    run = iot._run_rule_actions

    async def run_rule_actions(
        account_id: str,
        region: str,
        rule: dict[str, Any],
        payload: bytes,
        topic: str = "",
        client_id: str | None = None,
    ) -> None:
        if rule and any("republish" in action for action in rule.get("actions") or []):
            message = iot._rule_message(payload or b"")

            def value(match: re.Match[str]) -> str:
                found = iot._eval_select_expr(match[1], topic, payload or b"", message, client_id)
                return "undefined" if found is iot._MISSING else str(found)

            rule = rule | {"actions": [_substituted(action, value) for action in rule["actions"]]}
        await run(account_id, region, rule, payload, topic, client_id)

    iot._run_rule_actions = run_rule_actions


def _substituted(action: dict[str, Any], value: Callable[[re.Match[str]], str]) -> dict[str, Any]:
    republish = action.get("republish")
    if not republish:
        return action
    return {"republish": republish | {"topic": _SUBSTITUTION.sub(value, republish.get("topic", ""))}}


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
