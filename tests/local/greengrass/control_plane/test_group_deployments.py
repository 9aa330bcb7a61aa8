"""Deployments, as boto3's client makes and reads them, and the IoT Jobs they become."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.greengrass.control_plane.memory_emulator import MemoryEmulator
from tests.local.greengrass.control_plane.requests_as_sdk import GROUP, NUCLEUS, THING, a_recipe, client_of

WEB = {
    "com.example.Web": {
        "componentVersion": "1.0.0",
        "configurationUpdate": {"merge": '{"desired": {"document_uri": "s3://b/k"}}', "reset": ["/old"]},
    }
}


def deploy(greengrass: Any, target: str = GROUP, **request: Any) -> Any:
    return greengrass.create_deployment(targetArn=target, components=NUCLEUS, **request)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_deployment_is_a_continuous_job_of_its_group_with_the_document_devices_read(
    greengrass: Any, emulator: MemoryEmulator
) -> None:
    greengrass.create_component_version(inlineRecipe=a_recipe())

    made = greengrass.create_deployment(
        targetArn=GROUP,
        deploymentName="fleetgrass",
        components=WEB | NUCLEUS,
        deploymentPolicies={"configurationValidationPolicy": {"timeoutInSeconds": 30}},
        iotJobConfiguration={"timeoutConfig": {"inProgressTimeoutInMinutes": 30}},
    )

    job = emulator.jobs[made["iotJobId"]]
    document = json.loads(job.document)
    assert (job.target_arn, job.continuous) == (GROUP, True)
    assert job.settings == {"timeoutConfig": {"inProgressTimeoutInMinutes": 30}}
    assert document.pop("creationTimestamp") > 1_700_000_000_000
    assert document == {
        "configurationArn": "arn:aws:greengrass:eu-west-1:000000000000:configuration:thinggroup/line-3:1",
        "deploymentId": made["deploymentId"],
        "deploymentName": "fleetgrass",
        "components": {
            "com.example.Web": {
                "version": "1.0.0",
                "configurationUpdate": {
                    "merge": {"desired": {"document_uri": "s3://b/k"}},
                    "reset": ["/old"],
                },
            },
            "aws.greengrass.Nucleus": {"version": "2.18.0"},
        },
        "failureHandlingPolicy": "ROLLBACK",
        "componentUpdatePolicy": {"timeout": 60, "action": "NOTIFY_COMPONENTS"},
        "configurationValidationPolicy": {"timeout": 30},
    }


def test_a_deployment_to_one_thing_is_no_job_but_what_its_shadow_wants(
    greengrass: Any, emulator: MemoryEmulator
) -> None:
    first, second = deploy(greengrass, THING), deploy(greengrass, THING)

    assert "iotJobId" not in second
    assert emulator.jobs == {}
    wanted = emulator.desired["robot-7"]
    assert json.loads(wanted["fleetConfig"])["deploymentId"] == second["deploymentId"]
    assert status_of(greengrass, first) == "INACTIVE"
    assert status_of(greengrass, second) == "ACTIVE"


@pytest.mark.parametrize(("said", "status"), [("SUCCEEDED", "COMPLETED"), ("FAILED", "FAILED")])
def test_a_deployment_to_one_thing_ends_with_greengrass_own_word(
    greengrass: Any, emulator: MemoryEmulator, said: str, status: str
) -> None:
    made = deploy(greengrass, THING)
    arn = json.loads(emulator.desired["robot-7"]["fleetConfig"])["configurationArn"]
    emulator.reported["robot-7"] = {"arnForStatus": arn, "status": said}

    [effective] = greengrass.list_effective_deployments(coreDeviceThingName="robot-7")["effectiveDeployments"]

    assert status_of(greengrass, made) == status
    assert (effective["deploymentId"], effective["coreDeviceExecutionStatus"]) == (
        made["deploymentId"],
        status,
    )


def test_a_deployment_to_one_thing_is_cancelled_in_its_shadow(
    greengrass: Any, emulator: MemoryEmulator
) -> None:
    made = deploy(greengrass, THING)

    greengrass.cancel_deployment(deploymentId=made["deploymentId"])

    assert emulator.desired["robot-7"]["desiredStatus"] == "CANCELED"
    assert status_of(greengrass, made) == "CANCELED"


def status_of(greengrass: Any, made: Any) -> str:
    return str(greengrass.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"])


def test_a_deployment_reads_back_as_it_was_asked_for(greengrass: Any) -> None:
    greengrass.create_component_version(inlineRecipe=a_recipe())
    made = greengrass.create_deployment(targetArn=GROUP, components=WEB)

    shown = greengrass.get_deployment(deploymentId=made["deploymentId"])

    assert shown["components"] == WEB
    assert shown["iotJobArn"] == made["iotJobArn"]
    assert (shown["revisionId"], shown["isLatestForTarget"], shown["deploymentStatus"]) == (
        "1",
        True,
        "ACTIVE",
    )


def test_a_new_revision_cancels_the_job_of_the_one_before(greengrass: Any, emulator: MemoryEmulator) -> None:
    first, second = deploy(greengrass), deploy(greengrass)

    before = greengrass.get_deployment(deploymentId=first["deploymentId"])
    after = greengrass.get_deployment(deploymentId=second["deploymentId"])
    assert emulator.status == {first["iotJobId"]: "CANCELED", second["iotJobId"]: "IN_PROGRESS"}
    assert (before["isLatestForTarget"], before["deploymentStatus"]) == (False, "CANCELED")
    assert (after["revisionId"], after["isLatestForTarget"]) == ("2", True)


def test_another_targets_deployment_goes_on(greengrass: Any, emulator: MemoryEmulator) -> None:
    group, thing = deploy(greengrass), deploy(greengrass, THING)

    assert emulator.status == {group["iotJobId"]: "IN_PROGRESS"}
    assert status_of(greengrass, group) == status_of(greengrass, thing) == "ACTIVE"


def test_lists_show_the_latest_unless_all_are_asked_for(greengrass: Any) -> None:
    made = [deploy(greengrass)["deploymentId"] for _ in range(3)]

    latest = greengrass.list_deployments(targetArn=GROUP)["deployments"]
    pages = greengrass.get_paginator("list_deployments").paginate(
        targetArn=GROUP, historyFilter="ALL", PaginationConfig={"PageSize": 2}
    )

    assert [entry["deploymentId"] for entry in latest] == [made[2]]
    assert [entry["deploymentId"] for page in pages for entry in page["deployments"]] == made[::-1]


def test_a_repeated_client_token_makes_one_deployment(greengrass: Any, emulator: MemoryEmulator) -> None:
    first = deploy(greengrass, clientToken="dep-1")
    again = deploy(greengrass, clientToken="dep-1")

    assert again["deploymentId"] == first["deploymentId"]
    assert len(emulator.jobs) == 1


def test_a_client_token_of_another_request_is_a_conflict(greengrass: Any) -> None:
    deploy(greengrass, clientToken="dep-1")

    with pytest.raises(ClientError) as refused:
        deploy(greengrass, THING, clientToken="dep-1")

    assert refusal(refused) == ("ConflictException", 409)


def test_a_lost_answer_and_a_restart_leave_one_job_for_the_repeated_token(
    serve: Callable[[], str], emulator: MemoryEmulator
) -> None:
    emulator.lose_next_answer = True
    with pytest.raises(ClientError) as failed:
        deploy(client_of(serve()), clientToken="dep-1")
    assert refusal(failed) == ("InternalServerException", 500)

    restarted = client_of(serve())
    hidden = restarted.list_deployments(targetArn=GROUP)["deployments"]
    made = deploy(restarted, clientToken="dep-1")

    assert hidden == []
    assert list(emulator.jobs) == [made["iotJobId"]]
    assert [d["deploymentId"] for d in restarted.list_deployments(targetArn=GROUP)["deployments"]] == [
        made["deploymentId"]
    ]


def test_a_job_whose_answer_was_lost_is_superseded_too(greengrass: Any, emulator: MemoryEmulator) -> None:
    emulator.lose_next_answer = True
    with pytest.raises(ClientError):
        deploy(greengrass, clientToken="dep-1")

    made = deploy(greengrass, clientToken="dep-2")

    running = [job for job, status in emulator.status.items() if status == "IN_PROGRESS"]
    assert running == [made["iotJobId"]]


@pytest.mark.parametrize(
    ("request_", "code", "named"),
    [
        ({"targetArn": GROUP.replace("line-3", "ghosts")}, "ResourceNotFoundException", "ghosts"),
        (
            {"components": {"com.example.Ghost": {"componentVersion": "1.0.0"}}},
            "ResourceNotFoundException",
            "Ghost",
        ),
        (
            {"components": {"aws.greengrass.Nucleus": {"componentVersion": "9.0.0"}}},
            "ResourceNotFoundException",
            "9.0.0",
        ),
        (
            {"components": {"aws.greengrass.Nucleus": {"componentVersion": "latest"}}},
            "ValidationException",
            "latest",
        ),
        ({"targetArn": "arn:aws:s3:::bucket-is-no-target"}, "ValidationException", "targetArn"),
        (
            {"deploymentPolicies": {"failureHandlingPolicy": "HOPE"}},
            "ValidationException",
            "failureHandlingPolicy",
        ),
        (
            {
                "components": {
                    "aws.greengrass.Nucleus": {
                        "componentVersion": "2.18.0",
                        "configurationUpdate": {"merge": "{"},
                    }
                }
            },
            "ValidationException",
            "not JSON",
        ),
    ],
)
def test_a_deployment_that_cannot_be_is_refused_and_leaves_nothing(
    greengrass: Any, emulator: MemoryEmulator, request_: dict[str, Any], code: str, named: str
) -> None:
    with pytest.raises(ClientError) as refused:
        greengrass.create_deployment(**{"targetArn": GROUP, "components": NUCLEUS} | request_)

    assert refused.value.response["Error"]["Code"] == code
    assert named in refused.value.response["Error"]["Message"]
    assert emulator.jobs == {}
    assert greengrass.list_deployments(historyFilter="ALL")["deployments"] == []


def test_a_cancelled_deployment_is_cancelled_once(greengrass: Any) -> None:
    made = deploy(greengrass)
    greengrass.cancel_deployment(deploymentId=made["deploymentId"])

    shown = greengrass.get_deployment(deploymentId=made["deploymentId"])
    with pytest.raises(ClientError) as refused:
        greengrass.cancel_deployment(deploymentId=made["deploymentId"])

    assert shown["deploymentStatus"] == "CANCELED"
    assert refusal(refused) == ("ConflictException", 409)


def test_an_unknown_deployment_is_not_found(greengrass: Any) -> None:
    with pytest.raises(ClientError) as refused:
        greengrass.get_deployment(deploymentId="nowhere")

    assert refusal(refused) == ("ResourceNotFoundException", 404)
