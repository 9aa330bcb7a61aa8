"""Pages of deployments, the newest first: of all targets, or of one. A page is one query."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cloud.aws.attributes import to_item
from cloud.aws.clients import translated
from cloud.domain.deployments.deployment import DeploymentSummary
from cloud.tables.rows.deployment_rows import HEADLINE, KIND, sort_key, to_headline

BY_CREATED = "by-created"
_FIRST = "~"  # after every id and every revision


@dataclass(frozen=True, slots=True)
class Page:
    """Deployments, the newest first; ``more``: there are older ones."""

    headlines: Sequence[DeploymentSummary]
    more: bool


class DeploymentLists:
    """Raises ``cloud.aws.errors`` when the table cannot be asked."""

    def __init__(self, table: Any, name: str) -> None:
        self._table = table
        self._name = name

    def of_all(self, *, before: str | None, reads: int) -> Page:
        """Return at most ``reads`` deployments that are older than the one of the id ``before``.

        Of an index, which follows the table within moments; a row that was made before there was one is
        listed with its target alone.
        """
        return self._page("kind = :key AND id < :before", KIND, before, reads, IndexName=BY_CREATED)

    def of_target(self, target: str, *, before: int | None, reads: int) -> Page:
        """Return at most ``reads`` deployments to ``target``, of revisions below ``before``."""
        bound = None if before is None else sort_key(before)
        return self._page("pk = :key AND sk < :before", target, bound, reads, ConsistentRead=True)

    def _page(self, condition: str, key: str, before: str | None, reads: int, **where: Any) -> Page:
        with translated():
            answer = self._table.query(
                TableName=self._name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=to_item({":key": key, ":before": before or _FIRST}),
                ProjectionExpression=", ".join(f"#{name}" for name in HEADLINE),
                ExpressionAttributeNames={f"#{name}": name for name in HEADLINE},
                ScanIndexForward=False,
                Limit=reads + 1,
                **where,
            )
        found = [to_headline(item) for item in answer["Items"]]
        # A megabyte of rows ends a query before its limit does.
        return Page(found[:reads], more=len(found) > reads or "LastEvaluatedKey" in answer)
