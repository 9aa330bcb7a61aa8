"""What a nucleus or Greengrass would misread or refuse of a recipe, which both accept in silence."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml

_VARIABLE = re.compile(r"\{(?:artifacts:decompressedPath|artifacts:path|work:path)\}")
#: The one way to read an artifact: no link and no pipe, for a while, into a file that nobody else may read.
_ARTIFACT_READ = re.compile(
    r'^\(umask 077; if \[ -f (?P<zip>"\{artifacts:path\}/[\w.-]+") \] && \[ ! -L (?P=zip) \]; '
    r'then timeout \d+ head -c \d+ (?P=zip) \|\| true; fi > "\$place/[\w.-]+"\)$'
)
#: The two uses of the work folder's name: our own folder is named by it, and the agent is told it.
_WORK = re.compile(r'printf %s "\{work:path\}" \| sed|FLEETGRASS_EARLIER="\{work:path\}"')
#: The one use of the artifacts' folder's name: it ends with the component's version.
_VERSION_NAMED = re.compile(r'^export FLEETGRASS_VERSION="\$\(basename "\{artifacts:path\}"\)"$')
_PYTHON = re.compile(r"\bpython3\b(?! -I\b)")
#: Where a key may stand → how the nuclei read it. Lite minds the case; other places hold names of ours.
_SPELLING: Mapping[tuple[str, ...], Collection[str]] = {
    (): (
        "RecipeFormatVersion", "ComponentName", "ComponentVersion", "ComponentDescription",
        "ComponentPublisher", "ComponentType", "ComponentDependencies", "ComponentConfiguration", "Manifests",
    ),
    ("ComponentConfiguration",): ("DefaultConfiguration",),
    ("Manifests",): ("Name", "Platform", "Lifecycle", "Artifacts"),
    ("Manifests", "Platform"): ("os", "architecture", "runtime"),
    ("Manifests", "Lifecycle"): ("install", "run"),
    ("Manifests", "Lifecycle", "install"): ("Script", "RequiresPrivilege", "Timeout", "Setenv"),
    ("Manifests", "Lifecycle", "run"): ("Script", "RequiresPrivilege", "Timeout", "Setenv"),
    ("Manifests", "Artifacts"): ("URI", "Unarchive", "Permission"),
}  # fmt: skip


def misread(text: str) -> list[str]:
    """Return everything that a nucleus would misread, or run though it must not; empty for a good recipe."""
    recipe = yaml.safe_load(text)
    found = []
    for path, key, value in _keys(recipe):
        known = _SPELLING.get(path)
        where = ".".join((*path, key))
        if known is not None and key not in known:
            found.append(f"{where}: no such key; here may be {', '.join(known)}")
        if path[:1] == ("Manifests",) and key == "Script" and set("{}") & set(_VARIABLE.sub("", value)):
            found.append(f"{where}: a brace that is no recipe variable; Lite would run the script cut short")
        if path == ("Manifests", "Lifecycle") and not isinstance(value, dict):
            found.append(f"{where}: Lite reads a map with Script here")
        if path == ("Manifests", "Artifacts") and key == "Unarchive" and value != "NONE":
            found.append(
                f"{where}: what a nucleus unzips belongs to the component user; copy, check and unzip it"
            )
        if path[:2] == ("Manifests", "Lifecycle") and key == "Script":
            found += [f"{where}: {fault}" for fault in _script_faults(value)]
    if any(manifest.get("Platform", {}).get("runtime") != "*" for manifest in recipe["Manifests"]):
        found.append('every manifest needs Platform.runtime: "*", or Lite passes it over')
    return found


def _script_faults(script: str) -> Iterator[str]:
    """Tell what would have root run what a lesser user may have written.

    The work folder, which is a script's current folder, and all artifacts are the default component user's.
    """
    if "{artifacts:decompressedPath}" in script:
        yield "what a nucleus has unzipped belongs to the component user"
    reads = False
    for line in filter(None, map(str.strip, script.splitlines())):
        if _ARTIFACT_READ.match(line):
            reads = True
            continue
        if _VERSION_NAMED.match(line):
            continue
        if "{artifacts:path}" in line:
            yield "an artifact may be copied with head, and nothing else: it belongs to the component user"
        if _WORK.sub("", line).count("{work:path}"):
            yield "the work folder belongs to the component user: its name may be told, nothing in it be used"
        if _PYTHON.search(line):
            yield "python3 without -I imports from the current folder, which is the component user's"
    if reads and not re.search(r'^ *sha256="[0-9a-f]{64}"$', script, re.MULTILINE):
        yield "an artifact is used without its sha256 being checked"


def _keys(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Yield each key with the path to it and its value."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield path, key, below
            yield from _keys(below, (*path, key))
    elif isinstance(value, list):
        for each in value:
            yield from _keys(each, path)
