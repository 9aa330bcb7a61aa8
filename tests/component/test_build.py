"""The component's build: what it writes and what it refuses."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from contract.names import COMPONENT
from edge.packaging import recipe_text, wheels
from edge.packaging.build import NEXT_PATCH, BuildRefused, build, read_component
from tests.component.recipe_rules import misread

ROOT = Path(__file__).resolve().parents[2]
RECIPE = (ROOT / "recipe.yaml").read_text()
FILLED = recipe_text.fill(
    RECIPE, name=COMPONENT, version="1.2.3", author="us", digests={"amd64": "a" * 64, "arm64": "b" * 64}
)


def one_small_wheel(_requirements: Sequence[str], architecture: str, cache: Path) -> list[Path]:
    """Stand in for the real wheels, which take a network."""
    wheel = cache / architecture / "some_thing-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True, exist_ok=True)
    wheel.write_bytes(b"a wheel")
    return [wheel]


def faults_of(recipe: str) -> list[str]:
    return recipe_text.faults(recipe) + misread(recipe)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the build reads."""
    root = tmp_path / "checkout"
    for package in ("edge", "contract", "recipes"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("gdk-config.json", "pyproject.toml"):
        shutil.copy(ROOT / file, root / file)
    (root / "recipe.yaml").symlink_to(f"recipes/{COMPONENT}.yaml")
    return root


def test_it_writes_the_tree_that_gdk_publishes(checkout: Path, tmp_path: Path) -> None:
    output = tmp_path / "greengrass-build"

    build(checkout, output, ["amd64", "arm64"], one_small_wheel)

    assert sorted(str(file.relative_to(output)) for file in output.rglob("*") if file.is_file()) == [
        f"artifacts/{COMPONENT}/NEXT_PATCH/agent-amd64.zip",
        f"artifacts/{COMPONENT}/NEXT_PATCH/agent-arm64.zip",
        f"recipes/{COMPONENT}.yaml",
        "recipes/recipe.yaml",
    ]
    recipes = {recipe.read_text() for recipe in (output / "recipes").iterdir()}
    assert len(recipes) == 1
    assert 'ComponentVersion: "NEXT_PATCH"' in recipes.pop()


def test_an_artifact_holds_the_agent_the_contract_and_pinned_wheels(checkout: Path, tmp_path: Path) -> None:
    [artifact] = build(checkout, tmp_path / "out", ["arm64"], one_small_wheel)

    with zipfile.ZipFile(artifact) as archive:
        names = set(archive.namelist())
        pins = archive.read("requirements.txt").decode()
        defaults = json.loads(archive.read("defaults.json"))
    assert {"edge/__init__.py", "edge/version.py", "contract/topics.py"} <= names
    assert {"edge/packaging/install.py", "edge/packaging/proof.py", "edge/storage/safe_folder.py"} <= names
    assert {name.partition("/")[0] for name in names} == {
        "edge",
        "contract",
        "wheels",
        "requirements.txt",
        "defaults.json",
    }
    assert "edge/packaging/build.py" not in names
    assert pins == "some-thing==1.0\n"
    assert defaults == yaml.safe_load(RECIPE)["ComponentConfiguration"]["DefaultConfiguration"]


def test_the_recipe_has_the_digest_of_each_artifact(checkout: Path, tmp_path: Path) -> None:
    artifacts = build(checkout, tmp_path / "out", ["amd64", "arm64"], one_small_wheel)

    recipe = yaml.safe_load((tmp_path / "out" / "recipes" / "recipe.yaml").read_text())
    for manifest, artifact in zip(recipe["Manifests"], artifacts, strict=True):
        digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
        assert f'sha256="{digest}"' in manifest["Lifecycle"]["install"]["Script"]
        assert f"/versions/{digest}" in manifest["Lifecycle"]["run"]["Script"]


def test_another_content_of_an_artifact_is_another_recipe(checkout: Path, tmp_path: Path) -> None:
    build(checkout, tmp_path / "first", ["amd64"], one_small_wheel)
    with (checkout / "edge" / "text.py").open("a") as source:
        source.write("# changed\n")
    build(checkout, tmp_path / "second", ["amd64"], one_small_wheel)

    first, second = ((tmp_path / out / "recipes" / "recipe.yaml").read_text() for out in ("first", "second"))
    assert first != second


def test_the_same_sources_give_the_same_bytes(checkout: Path, tmp_path: Path) -> None:
    [first] = build(checkout, tmp_path / "first", ["amd64"], one_small_wheel)
    for source in checkout.rglob("*.py"):
        os.utime(source, (1, 1))
    [second] = build(checkout, tmp_path / "second", ["amd64"], one_small_wheel)

    assert first.read_bytes() == second.read_bytes()
    recipes = [(tmp_path / out / "recipes" / "recipe.yaml").read_text() for out in ("first", "second")]
    assert recipes[0] == recipes[1]


def test_a_build_for_one_architecture_has_that_manifest_only(checkout: Path, tmp_path: Path) -> None:
    build(checkout, tmp_path / "out", ["amd64"], one_small_wheel)

    recipe = (tmp_path / "out" / "recipes" / "recipe.yaml").read_text()
    assert "agent-amd64.zip" in recipe
    assert "agent-arm64" not in recipe
    assert faults_of(recipe) == []


def test_a_refused_build_leaves_the_previous_one(checkout: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    [before] = build(checkout, output, ["amd64"], one_small_wheel)
    recipe = checkout / "recipes" / f"{COMPONENT}.yaml"
    recipe.write_text(recipe.read_text().replace("{COMPONENT_AUTHOR}", "{COMPONENT_AUTHORS}"))

    with pytest.raises(BuildRefused, match="a placeholder was not filled in"):
        build(checkout, output, ["amd64"], one_small_wheel)

    assert before.exists()


def test_no_build_says_a_version_so_that_no_publish_overwrites_a_published_one() -> None:
    """gdk uploads an artifact before it creates its version, also over one that is there already."""
    assert read_component(ROOT).version == NEXT_PATCH


def test_a_list_of_the_recipe_that_is_not_on_file_is_refused(checkout: Path, tmp_path: Path) -> None:
    recipe = checkout / "recipes" / f"{COMPONENT}.yaml"
    recipe.write_text(recipe.read_text().replace('"dt/fleetgrass/+/+"', '"dt/fleetgrass/+/+/+"'))

    with pytest.raises(BuildRefused, match=r"with this content the id is .*; .*: not on file"):
        build(checkout, tmp_path / "out", ["amd64"], one_small_wheel)


def test_a_version_that_is_fixed_for_a_local_deployment_is_in_the_recipes_name(
    checkout: Path, tmp_path: Path
) -> None:
    config = json.loads((checkout / "gdk-config.json").read_text())
    config["component"][COMPONENT]["version"] = "9.9.9"
    (checkout / "gdk-config.json").write_text(json.dumps(config))

    [artifact] = build(checkout, tmp_path / "out", ["amd64"], one_small_wheel)

    assert artifact.parent.name == "9.9.9"
    recipe = (tmp_path / "out" / "recipes" / f"{COMPONENT}-9.9.9.yaml").read_text()
    assert 'ComponentVersion: "9.9.9"' in recipe


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("      install:", "      Install:", "Manifests.Lifecycle.Install"),
        ("        Script:", "        script:", "Manifests.Lifecycle.install.script"),
        ("        RequiresPrivilege:", "        requiresPrivilege:", "requiresPrivilege"),
        ("      run:\n", "      startup:\n", "Manifests.Lifecycle.startup"),
        ("    Platform:", "    platform:", "Manifests.platform"),
        ('      runtime: "*"\n', "", "runtime"),
        ('"1.2.3"', '"1.2"', "ComponentVersion"),
        ("COMPONENT_NAME", "{COMPONENT_NAME}", "placeholder"),
        ('cd "$place/state"', 'cd "${HOME}"', "brace"),
        ('cd "$place/state"', "cd {", "brace"),
        ('cd "$place/state"', 'cd "{work:path}"', "work folder"),
        ("exec python3 -I", "exec python3", "-I"),
        ("python3 -I -m zipfile", "python3 -m zipfile", "-I"),
        ('"$version/edge', '"{artifacts:decompressedPath}/agent-amd64/edge', "unzipped"),
        (
            'zipfile -e "$place/agent.zip"',
            'zipfile -e "{artifacts:path}/agent-amd64.zip"',
            "copied with head",
        ),
        ('basename "{artifacts:path}"', 'cat "{artifacts:path}/version"', "copied with head"),
        ("a" * 64, "", "sha256"),
        ("umask 077; ", "", "copied with head"),
        ("timeout 60 ", "", "copied with head"),
        ('[ ! -L "{artifacts:path}', '[ ! -d "{artifacts:path}', "copied with head"),
        ('Unarchive: "NONE"', 'Unarchive: "ZIP"', "Unarchive"),
        ('ComponentPublisher: "us"', "ComponentPublisher: " + "x" * 16_000, "bytes"),
    ],
)
def test_a_recipe_that_some_nucleus_would_misread_is_refused(old: str, new: str, fault: str) -> None:
    text = FILLED.replace("agent-amd64.zip", "COMPONENT_NAME.zip") if old == "COMPONENT_NAME" else FILLED
    assert old in text

    assert any(fault in found for found in faults_of(text.replace(old, new)))


def test_our_recipe_has_no_fault() -> None:
    assert faults_of(FILLED) == []


def test_gdk_runs_the_same_script_as_make(tmp_path: Path) -> None:
    """gdk starts custom_build_command without a shell, from the root; so does this, as far as --help."""
    settings = json.loads((ROOT / "gdk-config.json").read_text())["component"][COMPONENT]["build"]
    command = settings["custom_build_command"]

    done = subprocess.run(
        [sys.executable, *command[1:], "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert (settings["build_system"], command[0]) == ("custom", "python3")
    assert "greengrass-build" in done.stdout
    assert command[1] in (ROOT / "Makefile").read_text()


def test_wheels_are_pinned_by_their_canonical_names() -> None:
    found = ["pydantic_core-2.50.4-cp311-cp311-x.whl", "pydantic_core-2.50.4-cp312-cp312-x.whl"]

    assert wheels.pinned([Path(name) for name in found]) == ["pydantic-core==2.50.4"]


def test_the_pip_that_installs_is_not_installed() -> None:
    assert wheels.pinned([Path("pip-26.0-py3-none-any.whl"), Path("six-1.17.0-py3-none-any.whl")]) == [
        "six==1.17.0"
    ]
