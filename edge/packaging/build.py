"""The component's build into ``greengrass-build/``: run by ``gdk component build`` and ``make component``.

``python3 edge/packaging/build.py [--architectures amd64 arm64] [--output FOLDER]``, with the standard
library and pip. Writes ``artifacts/{name}/{version}/agent-{arch}.zip`` with the agent, the contract and every
wheel, and the recipe under the names that tools look for (``_recipe_names``). ``{version}`` is NEXT_PATCH,
as publishing decides it. The recipe has each artifact's sha256, which a device checks before it runs
anything of it. The same sources and wheels give the same bytes.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a file, as gdk does, the checkout is not on the path

from edge.packaging import access_lists, recipe_text, wheels  # noqa: E402
from edge.packaging.archive import write_zip  # noqa: E402
from edge.packaging.proof import DEFAULTS  # noqa: E402
from edge.packaging.recipe_defaults import DefaultsUnreadable, defaults  # noqa: E402

NEXT_PATCH = "NEXT_PATCH"  # gdk's word for: the version is decided when it is published
MAX_ARTIFACT_BYTES = 100 << 20  # ours, and what the recipe copies at most; a fleet pays for every byte


class BuildRefused(Exception):
    """Something in the checkout is not as it must be; the message says what."""


@dataclass(frozen=True, slots=True)
class Component:
    """What gdk-config.json says of the component."""

    name: str
    version: str
    author: str


def read_component(root: Path) -> Component:
    """Return the component of ``gdk-config.json``.

    Raises:
        BuildRefused: not exactly one component.
    """
    configured = json.loads((root / "gdk-config.json").read_text())["component"]
    if len(configured) != 1:
        raise BuildRefused("gdk-config.json must have exactly one component")
    [(name, settings)] = configured.items()
    return Component(name, settings["version"], settings["author"])


#: ``wheels.collect`` or what stands in for it: (requirements, architecture, cache) → wheels.
Collect = Callable[[Sequence[str], str, Path], list[Path]]


def build(
    root: Path, output: Path, architectures: Sequence[str], collect: Collect = wheels.collect
) -> list[Path]:
    """Build for ``architectures`` into ``output``, which is replaced; return the artifacts.

    Raises:
        BuildRefused: the recipe or an artifact breaks a rule; ``output`` is as it was.
        wheels.WheelsUnavailable: a wheel is missing and cannot be fetched; the same.
    """
    component = read_component(root)
    source = (root / "recipe.yaml").read_text()
    # Once with anything for the digests, so that a fault is told before wheels are fetched.
    _recipe(root, source, component, dict.fromkeys(architectures, "0" * 64))
    requirements = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        "edge"
    ]
    vendored = {arch: collect(requirements, arch, root / "build" / "wheels") for arch in architectures}

    fresh = output.with_name(output.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    folder = fresh / "artifacts" / component.name / component.version
    folder.mkdir(parents=True)
    sources = _sources(root) | {DEFAULTS: json.dumps(defaults(source), sort_keys=True).encode()}
    digests = {}
    for architecture, found_wheels in vendored.items():
        artifact = folder / f"agent-{architecture}.zip"
        pins = "".join(f"{pin}\n" for pin in wheels.pinned(found_wheels))
        write_zip(
            artifact,
            sources
            | {"requirements.txt": pins.encode()}
            | {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in found_wheels},
        )
        if artifact.stat().st_size > MAX_ARTIFACT_BYTES:
            raise BuildRefused(
                f"{artifact.name} has {artifact.stat().st_size} bytes, more than {MAX_ARTIFACT_BYTES}"
            )
        digests[architecture] = hashlib.sha256(artifact.read_bytes()).hexdigest()
    text = _recipe(root, source, component, digests)
    (fresh / "recipes").mkdir()
    for file in _recipe_names(root, component):
        (fresh / "recipes" / file).write_text(text)
    shutil.rmtree(output, ignore_errors=True)
    fresh.rename(output)
    return sorted((output / folder.relative_to(fresh)).iterdir())


def _recipe_names(root: Path, component: Component) -> set[str]:
    """Return what the built recipe is called.

    ``gdk component publish`` (1.6.2) resolves the link ``recipe.yaml`` and looks for its target's name; local
    deployments want the version in the name, where there is one already.
    """
    names = {"recipe.yaml", (root / "recipe.yaml").resolve().name}
    return (
        names if component.version == NEXT_PATCH else names | {f"{component.name}-{component.version}.yaml"}
    )


def _recipe(root: Path, source: str, component: Component, digests: Mapping[str, str]) -> str:
    """Return the recipe for the architectures of ``digests``, filled in and without a fault."""
    text = recipe_text.fill(
        source,
        name=component.name,
        version=component.version,
        author=component.author,
        digests=digests,
    )
    text = recipe_text.only(text, digests)
    found = recipe_text.faults(text)
    shipped = json.loads((root / "recipes" / "access-control-lists.json").read_text())
    try:
        found += access_lists.faults(defaults(text).get("accessControl", {}), shipped, component.name)
    except DefaultsUnreadable as error:
        found.append(f"DefaultConfiguration: {error}")
    if found:
        raise BuildRefused("recipe.yaml: " + "; ".join(found))
    return text


def _sources(root: Path) -> dict[str, bytes]:
    """Return the agent's and the contract's modules; of the packaging only what a device needs."""
    files = [file for package in ("edge", "contract") for file in (root / package).rglob("*.py")]
    named = {file.relative_to(root).as_posix(): file for file in files}
    return {
        name: file.read_bytes()
        for name, file in named.items()
        if not name.startswith("edge/packaging/") or file.name in ("__init__.py", "install.py", "proof.py")
    }


def main() -> int:
    """Build; say what was made, or in one line why not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--architectures", nargs="+", choices=wheels.ARCHITECTURES, default=wheels.ARCHITECTURES
    )
    parser.add_argument("--output", type=Path, default=ROOT / "greengrass-build")
    options = parser.parse_args()
    try:
        artifacts = build(ROOT, options.output.absolute(), options.architectures)
    except (BuildRefused, wheels.WheelsUnavailable) as error:
        print(f"component: {error}", file=sys.stderr)
        return 1
    for artifact in artifacts:
        print(f"component: {artifact} {artifact.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
