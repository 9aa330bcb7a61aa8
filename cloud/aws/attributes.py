"""DynamoDB's attribute values to and from JSON types, without Decimal and without boto3's resource layer."""

from collections.abc import Mapping
from typing import Any


def to_value(value: object) -> dict[str, Any]:
    """Return ``value`` (a JSON type) as an attribute value.

    Raises:
        TypeError: not a JSON type.
    """
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | float():
            return {"N": repr(value)}
        case Mapping():
            return {"M": to_item(value)}
        case list() | tuple():
            return {"L": [to_value(element) for element in value]}
        case _:
            raise TypeError(f"not a JSON type: {type(value).__name__}")


def storable(value: object) -> bool:
    """Return whether every number in ``value`` (JSON types) is one that DynamoDB keeps.

    Source: DynamoDB developer guide, "Data types", Number: 38 digits, 1E-130 to 9.99E+125 either side of 0.
    """
    match value:
        case bool():
            return True
        case int():
            return abs(value) < 10**38
        case float():
            return value == 0 or 1e-130 <= abs(value) < 1e126
        case Mapping():
            return all(map(storable, value.values()))
        case list() | tuple():
            return all(map(storable, value))
        case _:
            return True


def from_value(value: Mapping[str, Any]) -> Any:
    """Return what an attribute value holds; numbers are int where they are whole, else float.

    Raises:
        TypeError: a set or binary value, which we never write.
    """
    ((kind, held),) = value.items()
    match kind:
        case "NULL":
            return None
        case "BOOL" | "S":
            return held
        case "N":
            return int(held) if held.lstrip("-").isdigit() else float(held)
        case "M":
            return from_item(held)
        case "L":
            return [from_value(element) for element in held]
        case _:
            raise TypeError(f"an attribute of type {kind}")


def to_item(row: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """Return ``row`` as an item."""
    return {name: to_value(value) for name, value in row.items()}


def from_item(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an item as a row of JSON types."""
    return {name: from_value(value) for name, value in item.items()}
