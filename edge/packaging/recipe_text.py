"""The recipe as text: filled in, cut down to some architectures, and checked. Pure, standard library only.

gdk checks nothing of a custom build and Greengrass accepts misspelt lifecycle keys in silence, so what
both nuclei need is checked here before it can reach a device. This reads the block style that our recipe
is written in, not YAML at large.
"""

import re
from collections.abc import Collection, Iterator, Mapping

MAX_BYTES = 16_000  # Greengrass v2 quotas
_VERSION = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$")
_MANIFEST = re.compile(r'^  - Name: "linux-(\w+)"$', re.MULTILINE)
_KEY = re.compile(
    r'^(?P<indent> *)(?P<item>- )?(?P<quote>"?)(?P<key>[A-Za-z][\w.:]*?)(?P=quote):(?=\s|$)(?P<rest>.*)$'
)
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


def fill(text: str, *, name: str, version: str, author: str, digests: Mapping[str, str]) -> str:
    """Return the recipe with its ``{COMPONENT_…}`` placeholders replaced.

    ``digests`` are the artifacts' sha256 in hex by architecture; those of others stay unfilled.
    """
    sha256 = ((f"SHA256_{architecture.upper()}", digest) for architecture, digest in digests.items())
    for placeholder, value in (("NAME", name), ("VERSION", version), ("AUTHOR", author), *sha256):
        text = text.replace(f"{{COMPONENT_{placeholder}}}", value)
    return text.replace("/COMPONENT_NAME/COMPONENT_VERSION/", f"/{name}/{version}/")


def only(text: str, architectures: Collection[str]) -> str:
    """Return the recipe with the manifests of ``architectures`` only."""
    starts = [match.start() for match in _MANIFEST.finditer(text)] + [len(text)]
    blocks = zip(_MANIFEST.findall(text), starts, starts[1:], strict=False)
    kept = [text[start:end] for architecture, start, end in blocks if architecture in architectures]
    return text[: starts[0]] + "".join(kept)


def faults(text: str) -> list[str]:
    """Return everything that a nucleus or Greengrass would misread or refuse; empty for a good recipe."""
    found = []
    if len(text.encode()) >= MAX_BYTES:
        found.append(f"the recipe has {len(text.encode())} bytes; Greengrass takes less than {MAX_BYTES}")
    if "{COMPONENT_" in text:
        found.append("a placeholder was not filled in")
    version = re.search(r'^ComponentVersion: "(.*)"$', text, re.MULTILINE)
    if version is None or not (_VERSION.match(version[1]) or version[1] == "NEXT_PATCH"):
        found.append('ComponentVersion must be a quoted semantic version or "NEXT_PATCH"')
    for path, key, rest in _keys(text):
        known = _SPELLING.get(path)
        where = ".".join((*path, key))
        if known is not None and key not in known:
            found.append(f"{where}: no such key; here may be {', '.join(known)}")
        if (
            path[-1:]
            and path[0] == "Manifests"
            and key == "Script"
            and set("{}") & set(_VARIABLE.sub("", rest))
        ):
            found.append(f"{where}: a brace that is no recipe variable; Lite would run the script cut short")
        if path == ("Manifests", "Lifecycle") and rest.strip():
            found.append(f"{where}: Lite reads a map with Script here")
        if path == ("Manifests", "Artifacts") and key == "Unarchive" and rest.strip() != '"NONE"':
            found.append(
                f"{where}: what a nucleus unzips belongs to the component user; copy, check and unzip it"
            )
        if path[:2] == ("Manifests", "Lifecycle") and key == "Script":
            found += [f"{where}: {fault}" for fault in _script_faults(rest)]
    manifests = len(_MANIFEST.findall(text))
    if manifests == 0:
        found.append("there is no manifest")
    if text.count('      runtime: "*"\n') != manifests:
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


def _keys(text: str) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield each key with the path to it and its value's text (of a block scalar: all its lines)."""
    stack: list[tuple[int, str]] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        match = _KEY.match(lines[number])
        number += 1
        if match is None:
            continue
        indent = len(match["indent"]) + len(match["item"] or "")
        while stack and stack[-1][0] >= indent:
            stack.pop()
        rest = match["rest"]
        if re.fullmatch(r" [|>][+-]?", rest):
            body = []
            while number < len(lines) and (
                not lines[number].strip() or len(lines[number]) - len(lines[number].lstrip()) > indent
            ):
                body.append(lines[number])
                number += 1
            rest = "\n".join(body)
        yield tuple(key for _, key in stack), match["key"], rest
        stack.append((indent, match["key"]))
