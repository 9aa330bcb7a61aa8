#!/usr/bin/env bash
# pydantic 2.14.4: the JSON Schema of a mapping with patterned keys lets every key pass that the model refuses, with any value.
#
# `dict[Annotated[str, StringConstraints(pattern=…)], int]` refuses a key that does not match. One would expect its JSON Schema to
# refuse it too, the more so in a model with extra="forbid", whose objects say `additionalProperties: false`. Seen: the mapping
# becomes `patternProperties` alone, which says something about the keys that match and nothing about others: a schema validator
# takes `{"UPPER CASE": ["not", "an", "int"]}`, which the model refuses. (A key's length alone is a `propertyNames`, and closed.)
# Whoever checks requests by the published document, or generates them of it (gateways, fuzzers, clients in other languages), meets
# an API that refuses valid input.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydantic==2.14.4 jsonschema==4.26.0
cat >"$folder/ask.py" <<'PYTHON'
import sys
from typing import Annotated

import jsonschema
import pydantic

Name = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z]+$")]
Short = Annotated[str, pydantic.StringConstraints(max_length=3)]


class Application(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    ports: dict[Name, int] = {}
    limits: dict[Short, int] = {}


validator = jsonschema.Draft202012Validator(Application.model_json_schema())


def judged(value):
    """Whether the model takes it, and whether its schema does."""
    try:
        Application.model_validate(value)
    except pydantic.ValidationError:
        return False, validator.is_valid(value)
    return True, validator.is_valid(value)


CASES = [  # value, by the model, by its schema
    ({"ports": {"web": 80}}, True, True),
    ({"ports": {"web": "x"}}, False, False),
    ({"another": {}}, False, False),
    ({"ports": {"UPPER CASE": 80}}, False, True),
    ({"ports": {"UPPER CASE": ["not", "an", "int"]}}, False, True),
    ({"limits": {"longer": 1}}, False, False),
]
seen = [(value, *judged(value)) for value, _, _ in CASES]
print(f"pydantic {pydantic.VERSION}: {Application.model_json_schema()['properties']}")
for value, by_model, by_schema in seen:
    print(f"{value}: the model takes it: {by_model}, its schema: {by_schema}")
sys.exit(seen != CASES)
PYTHON
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/ask.py" || { echo "it behaves otherwise now"; exit 1; }
