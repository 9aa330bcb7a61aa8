"""The recipe, read as the classic nucleus and as Nucleus Lite read it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.names import COMPONENT
from edge.containers.model.policy import DEFAULT

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / f"{COMPONENT}.yaml"


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    loaded = yaml.safe_load(RECIPE.read_text())
    assert isinstance(loaded, dict)
    return loaded


def scripts(recipe: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for manifest in recipe["Manifests"]:
        for phase, body in manifest["Lifecycle"].items():
            yield f"{manifest['Name']} {phase}", body["Script"]


def keys(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from keys(child)
    elif isinstance(value, list):
        for child in value:
            yield from keys(child)


def test_gdk_finds_it_as_recipe_yaml_in_the_root() -> None:
    link = ROOT / "recipe.yaml"
    assert link.is_symlink()
    assert link.readlink() == Path("recipes") / f"{COMPONENT}.yaml"


def test_it_is_under_the_size_greengrass_takes() -> None:
    assert len(RECIPE.read_bytes()) < 16_000


def test_a_device_nobody_deployed_to_has_no_desired_state(recipe: dict[str, Any]) -> None:
    assert "desired" not in recipe["ComponentConfiguration"]["DefaultConfiguration"]


def test_the_defaults_are_the_keys_the_agent_reads(recipe: dict[str, Any]) -> None:
    defaults = dict(recipe["ComponentConfiguration"]["DefaultConfiguration"])
    del defaults["accessControl"]
    assert defaults == {
        "publish_address": "0.0.0.0",
        "registry_mirrors": {},
        "heartbeat_s": 60,
        "boot_id_path": "/proc/sys/kernel/random/boot_id",
        "reboot_command": ["systemctl", "reboot"],
        "reboot_grace_s": 120,
        "reboot_budget": 3,
        "disk_floor_mib": 1024,
        "healthy_poll_s": 1,
        "secrets_folder": "/run/fleetgrass",
        "policy": DEFAULT.model_dump(),
        "report_usage": False,
        "log_level": "INFO",
    }


def test_lite_no_default_is_a_value_over_1024_bytes(recipe: dict[str, Any]) -> None:
    defaults = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    leaves = [value for holder in keys(defaults) for value in holder.values() if not isinstance(value, dict)]
    assert all(len(json.dumps(leaf)) <= 1_024 for leaf in leaves)


def test_the_token_exchange_service_is_a_soft_dependency_because_lite_stops_what_is_bound_to_it(
    recipe: dict[str, Any],
) -> None:
    assert recipe["ComponentDependencies"] == {
        "aws.greengrass.TokenExchangeService": {
            "VersionRequirement": ">=2.0.3 <3.0.0",
            "DependencyType": "SOFT",
        }
    }


def test_lite_every_manifest_names_its_platform_with_any_runtime(recipe: dict[str, Any]) -> None:
    assert [manifest["Platform"] for manifest in recipe["Manifests"]] == [
        {"os": "linux", "architecture": "amd64", "runtime": "*"},
        {"os": "linux", "architecture": "aarch64", "runtime": "*"},
    ]


def test_lite_lifecycle_keys_are_spelled_as_it_reads_them(recipe: dict[str, Any]) -> None:
    for manifest in recipe["Manifests"]:
        assert list(manifest["Lifecycle"]) == ["install", "run"]
        for body in manifest["Lifecycle"].values():
            assert set(body) <= {"Script", "RequiresPrivilege", "Timeout", "Setenv"}
            assert body["RequiresPrivilege"] is True


def test_lite_a_brace_in_a_script_only_ever_begins_a_variable_it_knows(recipe: dict[str, Any]) -> None:
    known = re.compile(r"\{(artifacts:path|work:path|COMPONENT_SHA256_(AMD64|ARM64))\}")
    for name, script in scripts(recipe):
        assert not set("{}") & set(known.sub("", script)), name


def test_lite_a_trailing_slash_in_a_path_variable_does_no_harm(recipe: dict[str, Any]) -> None:
    for name, script in scripts(recipe):
        for variable in re.findall(r"\{[a-z]+:[a-zA-Z]+\}(.)", script):
            assert variable in '/"', name


def test_lite_no_script_is_longer_than_it_reads(recipe: dict[str, Any]) -> None:
    """MAX_SCRIPT_LENGTH of its recipe-runner, with room for what the variables stand for."""
    assert all(len(script) < 8_000 for _, script in scripts(recipe))


def test_both_manifests_say_the_same_but_for_the_architecture() -> None:
    text = RECIPE.read_text()
    amd64, arm64 = (
        re.sub(r"amd64|arm64|aarch64", "ARCH", block, flags=re.IGNORECASE)
        for block in re.findall(r'(  - Name: "linux-(?:.|\n)*?"NONE"\n)', text)
    )
    assert amd64 == arm64


def test_gdk_no_two_keys_differ_in_case_only(recipe: dict[str, Any]) -> None:
    for holder in keys(recipe):
        lowered = [str(key).lower() for key in holder]
        assert len(lowered) == len(set(lowered))


def test_text_survives_yaml_1_1_as_text() -> None:
    """A plain scalar that a YAML 1.1 reader takes for a number, a time or a truth value is one on purpose."""
    plain = re.compile(r"^\s*(?:- )?[\w.]+: +([^\"'\[{|#\s]\S*)\s*$", re.MULTILINE)
    assert set(plain.findall(RECIPE.read_text())) <= {"60", "120", "1024", "3", "1", "600", "true", "false"}


def test_each_manifest_runs_what_its_own_artifact_holds(recipe: dict[str, Any]) -> None:
    for manifest in recipe["Manifests"]:
        [artifact] = manifest["Artifacts"]
        file = artifact["URI"].rpartition("/")[2]
        digest = f"{{COMPONENT_SHA256_{file.removeprefix('agent-').removesuffix('.zip').upper()}}}"
        install, run = (manifest["Lifecycle"][phase]["Script"] for phase in ("install", "run"))
        assert set(re.findall(r"\{artifacts:path\}/([\w.-]+)", install)) == {file}
        assert digest in install
        assert digest in run


def test_no_script_trusts_a_folder_of_the_component_user(recipe: dict[str, Any]) -> None:
    for manifest in recipe["Manifests"]:
        assert [artifact["Unarchive"] for artifact in manifest["Artifacts"]] == ["NONE"]
    for name, script in scripts(recipe):
        assert not re.search(r"python3 (?!-I )", script), name
        assert not re.search(r"(cd|exec|PYTHONPATH=)[^\n]*\{work:path\}", script), name
