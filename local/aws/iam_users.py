"""IAM users of the local AWS: one per task, each with the permissions of its task; nothing runs as root.

The emulator enforces these policies, so a permission that production needs is missed here first.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import boto3

from local.aws.account import ACCOUNT, REGION, ROOT_KEY, Key, client_arguments

STACK = "fleetgrass"
_AGENT = "io.fleetgrass.Agent"
_BUCKET = f"arn:aws:s3:::{STACK}-{REGION}-{ACCOUNT}"
_IOT = f"arn:aws:iot:{REGION}:{ACCOUNT}"

Statement = Mapping[str, Any]


def _allow(actions: Sequence[str], *resources: str) -> Statement:
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources) or ["*"]}


#: Where the stack names no version of the agent, the newest is meant.
_NEWEST_AGENT = _allow(
    ["greengrass:ListComponentVersions"],
    f"arn:aws:greengrass:{REGION}:{ACCOUNT}:components:{_AGENT}",
)
#: Creates the stack, so it may create whatever the template holds; nobody else may.
_DEPLOYER = (
    _allow(
        [
            f"{service}:*"
            for service in (
                *("apigateway", "cloudformation", "cloudwatch", "dynamodb", "ecr", "events", "iam"),
                *("iot", "lambda", "logs", "s3", "sqs"),
            )
        ]
    ),
    _NEWEST_AGENT,
)
#: Exactly the calls of `gdk component publish` into the stack's bucket.
_PUBLISHER = (
    _allow(
        ["greengrass:ListComponentVersions", "greengrass:CreateComponentVersion"],
        f"arn:aws:greengrass:{REGION}:{ACCOUNT}:components:{_AGENT}",
    ),
    _allow(["s3:GetBucketLocation"], _BUCKET),  # never CreateBucket: devices read no other bucket
    _allow(["s3:PutObject", "s3:AbortMultipartUpload"], f"{_BUCKET}/{_AGENT}/*"),
)
#: `python -m cloud enroll`.
_ENROLLER = (
    _allow(["cloudformation:DescribeStacks"]),
    _allow(["iot:DescribeEndpoint", "iot:CreateKeysAndCertificate"]),
    _allow(
        [
            *(
                "iot:CreateThing",
                "iot:DescribeThing",
                "iot:ListThingGroupsForThing",
                "iot:AddThingToThingGroup",
            ),
            *("iot:CreateThingGroup", "iot:DescribeThingGroup", "iot:UpdateThingGroup", "iot:CreateJob"),
            *("iot:DescribeJob", "iot:CancelJob"),
        ],
        f"{_IOT}:thing/*",
        f"{_IOT}:thinggroup/*",
        f"{_IOT}:job/*",
    ),
    # The emulator checks these on "*"; on AWS they take the certificate and the thing.
    _allow(
        ["iot:AttachPolicy", "iot:AttachThingPrincipal", "iot:DescribeCertificate", "iot:ListPrincipalThings"]
    ),
    _allow(["greengrass:ListDeployments", "greengrass:CreateDeployment"]),
    _allow(["greengrass:GetDeployment"], f"arn:aws:greengrass:{REGION}:{ACCOUNT}:deployments:*"),
    _allow(["greengrass:ListComponentVersions"], f"arn:aws:greengrass:{REGION}:aws:components:*"),
    _NEWEST_AGENT,
    _allow(
        ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
        f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{STACK}-DevicesTable-*",
    ),
)
#: `python -m cloud upgrade-agent`, beside what enrolment needs.
_UPGRADER = (
    _allow(
        ["dynamodb:BatchGetItem", "dynamodb:Query"],
        f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{STACK}-DevicesTable-*",
    ),
    _allow(
        ["dynamodb:Query", "dynamodb:UpdateItem"],
        f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{STACK}-DeploymentsTable-*",
    ),
)
#: The Greengrass control plane's stand-in, where AWS would act in its own name.
_CONTROL_PLANE = (
    _allow(
        [
            *("iot:CreateJob", "iot:CancelJob", "iot:DescribeJob", "iot:DescribeJobExecution"),
            *("iot:ListJobExecutionsForThing", "iot:ListThingsInThingGroup"),
        ],
        f"{_IOT}:job/*",
        f"{_IOT}:thing/*",
        f"{_IOT}:thinggroup/*",
    ),
    _allow(["iot:DescribeThing", "iot:UpdateThingShadow", "iot:GetThingShadow"], f"{_IOT}:thing/*"),
    # What a core device's certificate is allowed, where AWS's data plane looks itself.
    _allow(["iot:ListThingGroupsForThing"], f"{_IOT}:thing/*"),
    _allow(["iot:ListThingPrincipals", "iot:ListAttachedPolicies", "iot:GetPolicy"]),
    _allow(["s3:GetObject"], f"{_BUCKET}/{_AGENT}/*"),
)
#: The core devices' stand-in, where AWS's credential provider would hand out the role.
_CORE = (_allow(["sts:AssumeRole"], f"arn:aws:iam::{ACCOUNT}:role/*{STACK}*TokenExchangeRole*"),)

_USERS: Mapping[str, Sequence[Statement]] = {
    "deployer": _DEPLOYER,
    "publisher": _PUBLISHER,
    "enroller": _ENROLLER,
    "upgrader": (*_ENROLLER, *_UPGRADER),
    "control-plane": _CONTROL_PLANE,
    "core": _CORE,
    "administrator": (*_DEPLOYER, *_PUBLISHER, *_ENROLLER, *_UPGRADER),  # of whoever sources local/.env
}


def make_operators(endpoint_url: str) -> dict[str, Key]:
    """Make every user with its policy, and return a key of each by the job's name."""
    iam = boto3.client("iam", **client_arguments(endpoint_url, ROOT_KEY))  # type: ignore[call-overload]
    keys = {}
    for job, statements in _USERS.items():
        user = f"{STACK}-{job}"
        iam.create_user(UserName=user)
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=user, PolicyName=job, PolicyDocument=document)
        made = iam.create_access_key(UserName=user)["AccessKey"]
        keys[job] = Key(made["AccessKeyId"], made["SecretAccessKey"])
    return keys
