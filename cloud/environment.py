"""The environment of a function: every variable that our code reads, as an attribute with a type.

The template gives a function the variables that it reads and no others (a test holds it to that), so each is
parsed when it is first asked for, and kept. boto3 reads its own ones itself (``cloud.aws.clients``).
"""

import math
import os
from collections.abc import Callable
from typing import Generic, TypeVar

from cloud.defaults import OFFLINE_DEBOUNCE_S, SUBMITTING_STALE_S

T = TypeVar("T")


class InvalidEnvironment(Exception):
    """A variable is missing or wrong; the text names it and says what it must be."""


class Variable(Generic[T]):
    """One variable, called as its attribute; ``parse`` raises ValueError with what it must be."""

    def __init__(self, parse: Callable[[str], T], default: T | None = None) -> None:
        self._parse = parse
        self._default = default

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, environment: "Environment", _owner: type) -> T:
        name = self._name.upper()
        text = os.environ.get(name)
        try:
            value = self._default if text is None else self._parse(text)
        except ValueError as error:
            raise InvalidEnvironment(f"{name}: {error}") from None
        if value is None:
            raise InvalidEnvironment(f"{name}: is missing")
        vars(environment)[self._name] = value  # which is what a second read finds
        return value


def _given(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError("must be a number of seconds")
    return seconds


class Environment:
    """The variables. Raises InvalidEnvironment where one cannot be had."""

    agent_version = Variable(str)  # what targets without an agent get; empty: the newest published
    audit_table = Variable(_given)
    aws_lambda_function_name = Variable(str, "none")  # given by Lambda
    bucket = Variable(_given)
    commands_table = Variable(_given)
    deployments_table = Variable(_given)
    devices_table = Variable(_given)
    group_reboot_queue_url = Variable(_given)
    history_table = Variable(_given)
    issuers = Variable(_given)  # JSON, for cloud.auth.issuers
    offline_debounce_s = Variable(_seconds, OFFLINE_DEBOUNCE_S)
    repository_prefix = Variable(_given)
    roles = Variable(str, "")  # JSON, for cloud.auth.issuers; empty: our own names
    stack = Variable(str, "none")
    submitting_stale_s = Variable(_seconds, SUBMITTING_STALE_S)


ENVIRONMENT = Environment()
