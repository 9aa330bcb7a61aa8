#!/usr/bin/env bash
# pydantic 2.14.4: in strict mode Literal[1] takes true and 1.0, which int refuses, and so do tags of unions and integer enums.
#
# `v: Literal[1]` is how a message says its version, and strict mode is to take each JSON type as it is: `int` refuses true and 1.0.
# One would expect of a literal, which narrows int, that it takes no more than int does. Seen: Literal[1] takes all three (and gives
# back 1), Literal[True] takes 1 and 1.0, a union that is discriminated by such a literal goes by true, and an Enum of 1 is made of
# true where the input is JSON, though not where it is Python. The JSON Schema that the same model gives refuses true, so that two
# sides that validate by the one model and by its schema disagree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydantic==2.14.4 jsonschema==4.26.0
cat >"$folder/ask.py" <<'PYTHON'
import enum
import json
import sys
from typing import Annotated, Literal, Union

import jsonschema
import pydantic


class Version(enum.Enum):
    ONE = 1


class Reboot(pydantic.BaseModel):
    v: Literal[1]
    delay: int


class Report(pydantic.BaseModel):
    v: Literal[2]
    state: str


Message = Annotated[Union[Reboot, Report], pydantic.Field(discriminator="v")]
TYPES = {"int": int, "Literal[1]": Literal[1], "Literal[True]": Literal[True], "Enum of 1": Version}
EXPECTED = {  # whether 1, true and 1.0 are taken, as JSON and as Python values
    "int": [(True, True), (False, False), (False, False)],
    "Literal[1]": [(True, True), (True, True), (True, True)],
    "Literal[True]": [(True, True), (True, True), (True, True)],
    "Enum of 1": [(True, False), (True, False), (True, False)],
}


def takes(validate, value):
    try:
        validate(value, strict=True)
    except pydantic.ValidationError:
        return False
    return True


seen = {}
for name, kind in TYPES.items():
    adapter = pydantic.TypeAdapter(kind)
    seen[name] = [
        (takes(adapter.validate_json, json.dumps(value)), takes(adapter.validate_python, value)) for value in (1, True, 1.0)
    ]
    print(f"strict {name}: 1, true, 1.0 are taken as (JSON, Python): {seen[name]}")
message = {"v": True, "delay": 5}
union = pydantic.TypeAdapter(Message)
told = union.validate_json(json.dumps(message), strict=True)
by_schema = jsonschema.Draft202012Validator(union.json_schema()).is_valid(message)
print(f"pydantic {pydantic.VERSION}: {json.dumps(message)} is {told!r}; valid by the union's JSON Schema: {by_schema}")
sys.exit(not (seen == EXPECTED and told == Reboot(v=1, delay=5) and not by_schema))
PYTHON
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/ask.py" || { echo "it behaves otherwise now"; exit 1; }
