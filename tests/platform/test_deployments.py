"""Two operators deploy to one group, through the gateway and the stack as it is deployed."""

from typing import Any

import boto3
import pytest
import requests

from local.aws.account import ROOT_KEY, client_arguments
from local.platform import Platform
from tests.support.platform.lab import until

pytestmark = [pytest.mark.platform, pytest.mark.engine]

GROUP = "line-of-two-operators"  # of a device that nobody ever switches on


def test_the_second_of_two_operators_is_told_which_revision_is_the_newest(platform: Platform) -> None:
    arguments = client_arguments(platform.endpoint_url, ROOT_KEY)
    iot: Any = boto3.client("iot", **arguments)  # type: ignore[call-overload]
    iot.create_thing_group(thingGroupName=GROUP)
    iot.create_thing(thingName=f"robot-of-{GROUP}")
    iot.add_thing_to_thing_group(thingGroupName=GROUP, thingName=f"robot-of-{GROUP}")
    session = requests.Session()
    session.headers["authorization"] = f"Bearer {platform.token('Fleet.Deployer')}"

    def deploy(**condition: str) -> requests.Response:
        headers = {name.replace("_", "-"): value for name, value in condition.items()}
        request = {"target": {"group": GROUP}, "applications": []}
        return session.post(f"{platform.api_url}/deployments", json=request, headers=headers, timeout=30)

    def listed(query: str) -> list[tuple[str, int]]:
        answer = session.get(f"{platform.api_url}/deployments{query}", timeout=30)
        return [(each["target"]["group"], each["revision"]) for each in answer.json()["deployments"]]

    first = deploy(If_None_Match="*")
    seen = session.get(f"{platform.api_url}{first.headers['location']}", timeout=30).headers["etag"]
    mine, theirs = deploy(If_Match=seen), deploy(If_Match=seen)

    assert [each.status_code for each in (first, mine, theirs)] == [201, 201, 412]
    assert [each.headers.get("etag") for each in (first, mine, theirs)] == [seen, '"2"', None]
    assert (theirs.json()["code"], theirs.json()["revision"]) == ("precondition-failed", 2)
    assert listed(f"?group={GROUP}") == [(GROUP, 2), (GROUP, 1)]
    assert until(lambda: {(GROUP, 2), (GROUP, 1)} <= set(listed("")), 10)
