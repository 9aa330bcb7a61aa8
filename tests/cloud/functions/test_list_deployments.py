"""GET /deployments: what is listed, in which order, by which calls."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.domain.deployments.deployment import DeploymentState
from cloud.functions.deployments.list_deployments import list_deployments
from cloud.tables.deployment_lists import DeploymentLists
from cloud.tables.deployments import Deployments
from contract.names import identifier
from tests.support.cloud.answers import served
from tests.support.cloud.api import DEPLOYMENTS, NOW, an_event, body_of, empty, tables_in_memory
from tests.support.cloud.deployments import a_deployment
from tests.support.cloud.memory_dynamodb import MemoryDynamoDB, table_of

LIST = "GET /deployments"
STATES = [state.value for state in DeploymentState]


class Asked(MemoryDynamoDB):
    """DynamoDB in dictionaries, held against moto in test_memory_dynamodb; it has no Scan."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[dict[str, Any]] = []

    def query(self, **request: Any) -> dict[str, Any]:
        self.queries.append(request)
        return super().query(**request)


class Fleet:
    """A table of its own, and what was deployed, oldest first."""

    def __init__(self) -> None:
        self.dynamodb = Asked()
        described = table_of("DeploymentsTable")
        self.dynamodb.create_table(**described)
        self.table = Deployments(self.dynamodb, described["TableName"])
        self.lists = DeploymentLists(self.dynamodb, described["TableName"])
        self.made: list[tuple[str, str, str]] = []  # group, state, id

    def deploy(self, group: str = "line-3", state: str = "SUBMITTING", **changes: Any) -> str:
        number = len(self.made)
        deployment = a_deployment(
            1 + sum(of == group for of, _, _ in self.made),
            f"thinggroup/{group}",
            **(
                {"id": identifier("dep", unix_ms=number, random80=0), "state": DeploymentState(state)}
                | changes
            ),
        )
        self.table.create(deployment, due_at=NOW)
        self.made.append((group, state, deployment.id))
        return deployment.id

    def page(self, roles: str = "Fleet.Reader", **query: str) -> dict[str, Any]:
        entry = served(lambda request: list_deployments(request, deployments=self.lists), route=LIST)
        return entry(an_event(LIST, roles=roles) | {"queryStringParameters": query or None}, None)

    def pages(self, roles: str = "Fleet.Reader", **query: str) -> list[list[str]]:
        """The ids of every page, followed to the last one."""
        pages: list[list[str]] = []
        while True:
            answer = self.page(roles, **query)
            assert answer["statusCode"] == 200, answer
            body = body_of(answer)
            pages.append([deployment["id"] for deployment in body["deployments"]])
            if body["cursor"] is None:
                return pages
            query["cursor"] = body["cursor"]


def chained(pages: list[list[str]]) -> list[str]:
    return list(itertools.chain(*pages))


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_a_line_says_what_was_deployed_where_by_whom_and_how_it_stands(fleet: Fleet) -> None:
    made = fleet.deploy(reason="new look")

    body = body_of(fleet.page())

    assert body == {
        "deployments": [
            {
                "id": made,
                "target": {"group": "line-3"},
                "revision": 1,
                "state": "SUBMITTING",
                "requested_by": "ada",
                "reason": "new look",
                "created_at": "2026-11-22T12:00:00Z",
                "changed_at": "2026-11-22T12:00:00Z",
            }
        ],
        "cursor": None,
    }


@pytest.mark.parametrize("query", [{}, {"group": "line-3"}])
def test_what_became_of_it_is_shown_with_the_reason_of_a_failure(fleet: Fleet, query: dict[str, str]) -> None:
    made = fleet.table.get(fleet.deploy())
    assert made is not None
    fleet.table.fail(made, code="greengrass-refused", message="no", now=NOW + timedelta(seconds=5))

    (line,) = body_of(fleet.page(**query))["deployments"]

    assert (line["state"], line["code"], line["message"]) == ("FAILED", "greengrass-refused", "no")
    assert (line["created_at"], line["changed_at"]) == ("2026-11-22T12:00:00Z", "2026-11-22T12:00:05Z")


def test_a_key_that_made_a_deployment_and_what_devices_said_of_it_are_no_deployments(fleet: Fleet) -> None:
    made = fleet.deploy()
    outcome = {"state": "RUNNING", "epoch": "e1", "sequence": 1}
    fleet.table.record_outcome(made, "r-1", outcome, NOW)

    assert fleet.pages() == [[made]]
    assert fleet.pages(group="line-3") == [[made]]


def test_newest_first_is_by_time_over_all_groups_past_nine_revisions(fleet: Fleet) -> None:
    made = [fleet.deploy(("line-3", "line-4")[i % 3 == 0]) for i in range(36)]

    assert chained(fleet.pages(limit="7")) == made[::-1]
    assert chained(fleet.pages(limit="5", group="line-3")) == [
        of for group, _, of in fleet.made[::-1] if group == "line-3"
    ]


@pytest.mark.parametrize("page", ["1", "4", "5", "9"])
def test_what_is_deployed_between_two_pages_shifts_none_of_them(fleet: Fleet, page: str) -> None:
    made = [fleet.deploy() for _ in range(9)]
    first = body_of(fleet.page(limit=page))
    fleet.deploy()

    rest = fleet.pages(limit=page, cursor=first["cursor"]) if first["cursor"] else []

    assert [each["id"] for each in first["deployments"]] + chained(rest) == made[::-1]


def test_a_scoped_reader_sees_what_is_in_the_group_and_is_refused_any_other(fleet: Fleet) -> None:
    here, there = fleet.deploy("line-3"), fleet.deploy("line-4")

    assert fleet.pages("Fleet.Reader:line-3") == [[here]]
    assert fleet.pages("Fleet.Reader:line-3 Fleet.Admin:line-4") == [[there, here]]
    assert fleet.pages("Fleet.Admin:line-5") == [[]]
    assert fleet.pages("Fleet.Reader:line-3", group="line-3") == [[here]]
    refused = fleet.page("Fleet.Reader:line-3", group="line-4")
    assert (refused["statusCode"], body_of(refused)["code"]) == (403, "group-not-allowed")


def test_a_page_reads_a_bounded_number_of_rows_and_says_that_there_is_more(fleet: Fleet) -> None:
    ours = fleet.deploy("line-3")
    for _ in range(250):
        fleet.deploy("line-4")

    pages = fleet.pages("Fleet.Reader:line-3", limit="10")

    assert pages == [[], [], [ours]]
    assert [query["Limit"] for query in fleet.dynamodb.queries] == [101] * 3
    assert len(fleet.lists.of_all(before=None, reads=100).headlines) == 100


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["line-3", "line-4"]), st.sampled_from(STATES)), max_size=12),
    st.sampled_from(["1", "2", "5", "100"]),
    st.sampled_from([None, "line-3"]),
    st.sampled_from([None, *STATES]),
    st.sampled_from(["Fleet.Reader", "Fleet.Reader:line-3"]),
)
def test_every_deployment_that_is_asked_for_is_listed_once_and_a_page_is_one_query(
    made: list[tuple[str, str]], limit: str, group: str | None, state: str | None, roles: str
) -> None:
    fleet = Fleet()
    for of, in_state in made:
        fleet.deploy(of, in_state)
    asked = {"group": group, "state": state}

    pages = fleet.pages(roles, limit=limit, **{name: value for name, value in asked.items() if value})

    seen = [
        deployment
        for of, in_state, deployment in fleet.made[::-1]
        if group in (None, of) and state in (None, in_state) and ("line" not in roles or of == "line-3")
    ]
    assert chained(pages) == seen
    assert all(len(page) <= int(limit) for page in pages)
    assert len(fleet.dynamodb.queries) == len(pages)
    assert len(pages) <= len(seen) + 1, "where so few are looked at, only the last page may be empty"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"cursor": "!"}, "cursor"),
        ({"cursor": "Nw=="}, "cursor"),  # "7", which is of a group's list
        ({"cursor": "ZGVwLTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAx", "group": "line-3"}, "cursor"),  # an id
        ({"cursor": "MA==", "group": "line-3"}, "cursor"),
        ({"group": "a/b"}, "group"),
        ({"state": "active"}, "state"),
        ({"sort": "state"}, "sort"),
    ],
)
def test_a_wrong_parameter_is_400_and_named(fleet: Fleet, query: dict[str, str], field: str) -> None:
    answer = fleet.page(**query)
    assert (answer["statusCode"], body_of(answer)["field"]) == (400, field)
    assert fleet.dynamodb.queries == []


@pytest.fixture
def moto() -> Iterator[Any]:
    with tables_in_memory() as dynamodb:
        empty(dynamodb, DEPLOYMENTS)
        yield dynamodb


def test_rows_of_more_than_a_megabyte_are_all_listed(moto: Any) -> None:
    """DynamoDB ends a query after a megabyte that it read, whatever its limit (Query, "Paginating")."""
    table, lists = Deployments(moto, DEPLOYMENTS), DeploymentLists(moto, DEPLOYMENTS)
    for revision in range(1, 6):
        table.create(a_deployment(revision, diff={"added": ["x" * 390_000]}), due_at=NOW)

    listed, before, pages, more = list[int](), None, 0, True
    while more:
        page = lists.of_target("thinggroup/line-3", before=before, reads=100)
        listed += [headline.revision for headline in page.headlines]
        before, more, pages = listed[-1], page.more, pages + 1

    assert listed == [5, 4, 3, 2, 1]
    assert pages > 1
