"""The infrastructure template as plain values, for tests that build on what it describes."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parents[3] / "cloud" / "template.yaml"


class _Loader(yaml.SafeLoader):
    """CloudFormation's short forms as plain values: ``!Ref x`` is {"Ref": x}."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)


@cache
def template() -> dict[str, Any]:
    """The infrastructure template."""
    value: dict[str, Any] = yaml.load(TEMPLATE.read_text(), _Loader)  # noqa: S506 (a SafeLoader)
    return value


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of the resources of a kind, by their logical names."""
    return {
        name: resource["Properties"]
        for name, resource in template()["Resources"].items()
        if resource["Type"] == kind
    }


def functions() -> dict[str, dict[str, Any]]:
    """The functions by their kebab-name."""
    found = {}
    for function in resources("AWS::Lambda::Function").values():
        name = function["FunctionName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
        found[name] = function
    return found


def granted(function: str, table: str) -> set[str]:
    """The calls that a function's role lets it make on all of a table, by AWS's names for them."""
    role = resources("AWS::IAM::Role")[function.title().replace("-", "") + "Role"]
    calls: set[str] = set()
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Resource"] == {"Fn::GetAtt": f"{table}.Arn"} and "Condition" not in statement:
                actions = statement["Action"]
                calls |= {actions} if isinstance(actions, str) else set(actions)
    return {call.removeprefix("dynamodb:") for call in calls}
