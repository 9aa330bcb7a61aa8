"""DynamoDB's condition and update expressions, over items as the low-level client gives and takes them.

Source: DynamoDB developer guide, "Condition and filter expressions, operators, and functions" and "Update
expressions". What is not here raises; what is here is held against moto.
"""

import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Never

Value = Mapping[str, Any]  # {"S": "text"}
Item = Mapping[str, Value]
_TOKEN = re.compile(r"\s*(?:([#:]?[A-Za-z_0-9]+)|(<>|<=|>=|[=<>(),.+\-\[\]]))")
_ORDERED = {"N", "S", "B"}


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression speaks of: an item, the names behind #, the values behind a colon."""

    item: Item
    names: Mapping[str, str]
    values: Mapping[str, Value]


Condition = Callable[[Scope], bool]
Operand = Callable[[Scope], Value | None]
Path = tuple[str, ...]
Change = Callable[[Scope, MutableMapping[str, Any]], None]


def holds(expression: str | None, scope: Scope) -> bool:
    """Return whether a condition holds; none always does."""
    return expression is None or _condition(expression)(scope)


def changed(expression: str, scope: Scope) -> dict[str, Any]:
    """Return the item after an update; everything is computed of the item as it was."""
    item = dict(scope.item)
    for change in _update(expression):
        change(scope, item)
    return item


def comparable(value: Value) -> Any:
    """Return what tells an attribute value apart from every other."""
    ((kind, held),) = value.items()
    if kind == "N":
        return kind, Decimal(held)
    if kind == "M":
        return kind, {name: comparable(element) for name, element in held.items()}
    if kind == "L":
        return kind, [comparable(element) for element in held]
    return kind, held


@cache
def _condition(expression: str) -> Condition:
    parser = _Parser(expression)
    condition = parser.any_of()
    parser.end()
    return condition


@cache
def _update(expression: str) -> tuple[Change, ...]:
    parser = _Parser(expression)
    changes: list[Change] = []
    while parser.next is not None:
        match (parser.take() or "").upper():
            case "SET":
                changes += parser.listed(parser.assignment)
            case "REMOVE":
                changes += parser.listed(parser.removal)
            case clause:
                parser.fail(f"no clause {clause}")
    return tuple(changes)


class _Parser:
    """Reads one expression from the left."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                self.fail(f"character {at}")
            self._tokens.append(found[1] or found[2])
            at = found.end()
        self._at = 0

    @property
    def next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self) -> str | None:
        token = self.next
        self._at += 1
        return token

    def fail(self, why: str) -> Never:
        raise NotImplementedError(f"{why}: {self._text}")

    def end(self) -> None:
        if self.next is not None:
            self.fail(f"what is {self.next}")

    def took(self, word: str) -> bool:
        if (self.next or "").upper() == word:
            self._at += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.took(word):
            self.fail(f"no {word} before {self.next}")

    def listed(self, read: Callable[[], Any]) -> list[Any]:
        found = [read()]
        while self.took(","):
            found.append(read())
        return found

    # Conditions

    def any_of(self) -> Condition:
        terms = [self.all_of()]
        while self.took("OR"):
            terms.append(self.all_of())
        return terms[0] if len(terms) == 1 else lambda scope: any(term(scope) for term in terms)

    def all_of(self) -> Condition:
        terms = [self.negation()]
        while self.took("AND"):
            terms.append(self.negation())
        return terms[0] if len(terms) == 1 else lambda scope: all(term(scope) for term in terms)

    def negation(self) -> Condition:
        if self.took("NOT"):
            term = self.negation()
            return lambda scope: not term(scope)
        if self.took("("):
            inner = self.any_of()
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Condition:
        for function, present in (("ATTRIBUTE_EXISTS", True), ("ATTRIBUTE_NOT_EXISTS", False)):
            if self.took(function):
                self.expect("(")
                path = self.path()
                self.expect(")")
                return lambda scope: (_look(path, scope) is not None) is present
        if self.took("BEGINS_WITH"):
            self.expect("(")
            text = self.operand()
            self.expect(",")
            start = self.operand()
            self.expect(")")
            return lambda scope: _starts(text(scope), start(scope))
        left = self.operand()
        if self.took("IN"):
            self.expect("(")
            choices = self.listed(self.operand)
            self.expect(")")
            return lambda scope: any(_compare("=", left(scope), choice(scope)) for choice in choices)
        if self.took("BETWEEN"):
            low = self.operand()
            self.expect("AND")
            high = self.operand()
            return lambda scope: (
                _compare(">=", left(scope), low(scope)) and _compare("<=", left(scope), high(scope))
            )
        sign = self.take() or ""
        right = self.operand()
        return lambda scope: _compare(sign, left(scope), right(scope))

    # Operands

    def operand(self) -> Operand:
        if (self.next or "").startswith(":"):
            name = self.take() or ""
            return lambda scope: scope.values[name]
        path = self.path()
        return lambda scope: _look(path, scope)

    def path(self) -> Path:
        steps = [self.take() or self.fail("a path ends early")]
        while self.took("."):
            steps.append(self.take() or self.fail("a path ends early"))
        return tuple(steps)

    # Updates

    def assignment(self) -> Change:
        path = self.path()
        self.expect("=")
        value = self.sum()

        def assign(scope: Scope, item: MutableMapping[str, Any]) -> None:
            found = value(scope)
            if found is None:
                raise LookupError(f"an operand of {path} is not there")
            _parent(path, scope, item)[_name(path[-1], scope)] = found

        return assign

    def removal(self) -> Change:
        path = self.path()

        def remove(scope: Scope, item: MutableMapping[str, Any]) -> None:
            _parent(path, scope, item).pop(_name(path[-1], scope), None)

        return remove

    def sum(self) -> Operand:
        total = self.term()
        while self.next in ("+", "-"):
            total = _added(total, 1 if self.take() == "+" else -1, self.term())
        return total

    def term(self) -> Operand:
        if self.took("LIST_APPEND"):
            first, second = self.two()
            return lambda scope: {"L": [*_held(first(scope), "L"), *_held(second(scope), "L")]}
        if self.took("IF_NOT_EXISTS"):
            first, second = self.two()
            return lambda scope: first(scope) or second(scope)
        return self.operand()

    def two(self) -> tuple[Operand, Operand]:
        self.expect("(")
        first = self.term()
        self.expect(",")
        second = self.term()
        self.expect(")")
        return first, second


def _name(step: str, scope: Scope) -> str:
    return scope.names[step] if step.startswith("#") else step


def _look(path: Path, scope: Scope) -> Value | None:
    value: Any = {"M": scope.item}
    for step in path:
        value = value.get("M", {}).get(_name(step, scope))
        if value is None:
            return None
    found: Value = value
    return found


def _parent(path: Path, scope: Scope, item: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the map that ``path`` ends in, and every one on the way to it, as copies to be changed."""
    for step in path[:-1]:
        name = _name(step, scope)
        item[name] = {"M": dict(item[name]["M"])}
        item = item[name]["M"]
    return item


def _held(value: Value | None, kind: str) -> Any:
    if value is None or kind not in value:
        raise LookupError(f"an operand is no {kind}")
    return value[kind]


def _added(first: Operand, sign: int, second: Operand) -> Operand:
    def add(scope: Scope) -> Value:
        a, b = Decimal(_held(first(scope), "N")), Decimal(_held(second(scope), "N"))
        return {"N": str(a + sign * b)}

    return add


def _starts(text: Value | None, start: Value | None) -> bool:
    return text is not None and start is not None and str(text.get("S")).startswith(start["S"])


def _compare(sign: str, left: Value | None, right: Value | None) -> bool:
    if left is None or right is None:
        return sign == "<>"
    (kind, a), (other, b) = comparable(left), comparable(right)
    if sign in ("=", "<>"):
        return ((kind, a) == (other, b)) is (sign == "=")
    if kind != other or kind not in _ORDERED:
        return False
    match sign:
        case "<":
            return bool(a < b)
        case "<=":
            return bool(a <= b)
        case ">":
            return bool(a > b)
        case ">=":
            return bool(a >= b)
        case _:
            raise NotImplementedError(sign)
