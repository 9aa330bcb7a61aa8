"""Strict JSON parser: no repeated names, no NaN, no infinities, no lone surrogates. Pure.

``2.0`` is the whole number 2, as JSON Schema has it and as writers without integers write it.
"""

import json
from collections import Counter
from typing import NoReturn


class NotStrictJson(ValueError):
    """The text is not JSON, or is ambiguous."""


def parse(body: bytes, *, what: str = "the body") -> object:
    """Return what ``body`` says.

    Raises:
        NotStrictJson: with the reason, as a sentence about ``what`` it is.
    """
    try:
        value = _DECODER.decode(body.decode())
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text
    except RecursionError:
        raise NotStrictJson(f"{what} is nested too deeply") from None
    except UnicodeError:
        raise NotStrictJson(f"{what} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise NotStrictJson(f"{what} is not JSON: {error.msg} at character {error.pos}") from None
    except ValueError as error:
        raise NotStrictJson(f"{what} is not JSON: {error}"[:200]) from None
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        (repeated, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{json.dumps(repeated)} is given twice in one object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _number(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:32]} is out of range")
    return int(number) if number.is_integer() else number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_number)
