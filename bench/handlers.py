"""Every Lambda that keeps data: its cold start beside boto3 and pydantic, without which there is none."""

from collections.abc import Sequence

from bench.imports import Imported, compile_ours, imported
from bench.rows import Machine, Row, Target, judge
from cloud.auth.routes import PUBLIC_ROUTES
from cloud.tooling.template import modules

#: They have no table: the authorizer has rows of its own, and what is public answers without AWS.
_WITHOUT_DATA = {"authorize", *PUBLIC_ROUTES.values()}
_REFERENCE = """\
import boto3, pydantic
boto3.client("dynamodb")
class Model(pydantic.BaseModel):
    name: str
"""
_OURS = """\
import {module}
from cloud.aws.clients import client
client("dynamodb")
"""
_PER_REFERENCE = 3  # handlers that are measured between two measurements of the reference
_OPENAPI = "openapi_modules"  # what describes the API is no part of serving it


def _ids() -> tuple[str, ...]:
    return tuple(f"import-{name}" for name in sorted(modules().keys() - _WITHOUT_DATA))


#: The rows, one for each such Lambda.
IMPORTS = _ids()


def importing(ids: Sequence[str], rounds: int) -> list[Row]:
    """Return those rows of ``IMPORTS``.

    A handler makes its first client at its first request; it is made here too, as the reference makes it.
    """
    compile_ours()
    ours: dict[str, list[Imported]] = {row: [] for row in ids}
    reference: dict[str, list[float]] = {row: [] for row in ids}
    theirs_ms = 0.0
    for number in range(rounds + 1):
        for position, row in enumerate(ids):
            if position % _PER_REFERENCE == 0:
                theirs_ms = imported(_REFERENCE).cpu_ms
            took = imported(_OURS.format(module=modules()[row.removeprefix("import-")]))
            if number:  # the first brings the files into the page cache
                ours[row].append(took)
                reference[row].append(theirs_ms)  # of the same moments: how busy the machine is changes
    return [_row(row, found, reference[row]) for row, found in ours.items()]


def _row(row: str, found: Sequence[Imported], reference: Sequence[float]) -> Row:
    target = Target(row, "cold import", "boto3.client and a pydantic model", 1.15, counts={_OPENAPI: 0})
    counts = {_OPENAPI: sum(name.startswith("cloud.openapi") for name in found[0].modules)}
    return judge(target, [each.cpu_ms for each in found], reference, counts, Machine.without_engine())
