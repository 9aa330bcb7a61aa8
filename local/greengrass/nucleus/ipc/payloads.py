"""JSON as each nucleus writes it, and Lite's limits on how much of it a local message may hold. Pure."""

import json
from typing import Literal

from local.greengrass.nucleus.dialect import Dialect, JsonBudget

Fate = Literal["delivered", "lost", "ends-subscriptions", "refused", "unreadable"]


def dumps(value: object, dialect: Dialect) -> bytes:
    """Return ``value`` as JSON without blanks; Lite prints floats with 17 significant digits."""
    if dialect.kind == "lite":
        return _lite(value).encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _lite(value: object) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{_lite(str(key))}:{_lite(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ",".join(_lite(item) for item in value) + "]"
        case float():
            return format(value, "#.17g")
        case _:
            return json.dumps(value, ensure_ascii=False)


def sorted_keys(value: object) -> object:
    """Return ``value`` with the keys of every map sorted: a message through Lite's local topics comes so."""
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sorted_keys(item) for item in value]
    return value


def fate(message: object, budget: JsonBudget | None) -> Fate:
    """Tell what becomes of a local JSON message of this size."""
    if budget is None:
        return "delivered"
    cost, depth = _cost(message, budget), _depth(message)
    if cost > budget.parsed:
        return "unreadable"
    if cost > budget.published or depth > budget.published_depth:
        return "refused"
    if cost > budget.delivered:
        return "ends-subscriptions"
    return "lost" if depth > budget.delivered_depth else "delivered"


def _cost(value: object, budget: JsonBudget) -> int:
    match value:
        case dict():
            return sum(budget.pair_cost + _cost(item, budget) for item in value.values())
        case list():
            return sum(budget.element_cost + _cost(item, budget) for item in value)
        case _:
            return 0


def _depth(value: object) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return max(map(_depth, value), default=0)
        case _:
            return 0
