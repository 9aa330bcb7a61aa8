"""Who may do what: every route, every role, every scope."""

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import StringConstraints

from cloud.auth import permissions
from cloud.auth.permissions import Role, canonical_roles, scope
from cloud.auth.routes import ROUTES
from cloud.http.gateway_events import Response
from cloud.http.handler import Request, lambda_handler
from contract import names
from tests.support.cloud.api import an_event, body_of

HELD = ["", "Fleet.Unknown", *(f"{role.canonical}{s}" for role in Role for s in ("", ":line-3"))]


@pytest.mark.parametrize(("route", "held"), list(itertools.product(ROUTES, HELD)))
def test_a_route_answers_exactly_those_whose_role_reaches_it_in_the_group_asked_for(
    route: str, held: str
) -> None:
    def operation(request: Request) -> Response:
        request.require_group(["line-3"])
        return Response(200)

    def elsewhere(request: Request) -> Response:
        request.require_group(["line-4"])
        return Response(200)

    name, _, group = held.partition(":")
    role = next((role for role in Role if role.canonical == name), None)
    reaches = role is not None and role >= ROUTES[route].role
    event = an_event(route, roles=held)

    here = lambda_handler(operation, route=route)(event, None)["statusCode"]
    there = lambda_handler(elsewhere, route=route)(event, None)["statusCode"]

    assert here == (200 if reaches else 403)
    assert there == (200 if reaches and not group else 403)


def test_a_role_outside_its_group_is_told_which_role_and_which_group() -> None:
    def operation(request: Request) -> Response:
        request.require_group(["line-4"])
        return Response(200)

    event = an_event("POST /devices/{device}/reboot", roles="Fleet.Operator:line-3")
    answer = lambda_handler(operation, route="POST /devices/{device}/reboot")(event, None)

    problem = body_of(answer)
    assert answer["statusCode"] == 403
    assert problem["code"] == "group-not-allowed"
    assert problem["detail"] == "Fleet.Operator is needed in line-4; the caller holds it in line-3 only"


def test_what_is_in_no_group_is_out_of_reach_of_a_scoped_role() -> None:
    held = scope(["Fleet.Reader:line-3"], Role.READER)
    assert held is not None
    assert not held.covers([])
    assert held.covers(["line-2", "line-3"])


def test_an_unscoped_role_wins_over_a_scoped_one_and_groups_add_up() -> None:
    both = scope(["Fleet.Operator:a", "Fleet.Admin:b", "Fleet.Reader"], Role.OPERATOR)
    assert both == permissions.Scope(frozenset({"a", "b"}))
    assert scope(["Fleet.Operator:a", "Fleet.Admin"], Role.OPERATOR) == permissions.Scope(None)


def test_an_issuers_own_role_names_become_ours_and_its_other_roles_are_dropped() -> None:
    claimed = ["Vloot.Lezer", "Fleet.Operator:line:3", "Fleet.Reader", "Fleet.Operator: x", "Mail.Read"]
    assert canonical_roles(claimed, {"Fleet.Reader": "Vloot.Lezer"}) == (
        "Fleet.Operator:line:3",
        "Fleet.Reader",
    )


def test_the_group_pattern_is_the_contracts() -> None:
    (constraint,) = [c for c in get_args(names.GroupName) if isinstance(c, StringConstraints)]
    assert constraint.pattern == f"^{permissions.GROUP.pattern}$"


@given(st.lists(st.text(max_size=40)))
def test_no_text_that_is_not_a_role_becomes_one(claimed: list[str]) -> None:
    for role in canonical_roles(claimed, {}):
        assert role in claimed
        assert role.split(":")[0] in {role.canonical for role in Role}
        assert " " not in role
