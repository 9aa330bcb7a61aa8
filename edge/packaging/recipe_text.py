"""The recipe as text: filled in and cut down to some architectures. Pure, standard library only.

This knows the style that our recipe is written in, not YAML. What a nucleus would misread of it is checked by
``tests/component``, with a YAML reader.
"""

import re
from collections.abc import Collection, Mapping

MAX_BYTES = 16_000  # Greengrass v2 quotas
_VERSION = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$")
_MANIFEST = re.compile(r'^  - Name: "linux-(\w+)"$', re.MULTILINE)


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
    """Return what is not filled in, and what Greengrass would refuse; empty for a good recipe."""
    found = []
    if len(text.encode()) >= MAX_BYTES:
        found.append(f"the recipe has {len(text.encode())} bytes; Greengrass takes less than {MAX_BYTES}")
    if "{COMPONENT_" in text:
        found.append("a placeholder was not filled in")
    version = re.search(r'^ComponentVersion: "(.*)"$', text, re.MULTILINE)
    if version is None or not (_VERSION.match(version[1]) or version[1] == "NEXT_PATCH"):
        found.append('ComponentVersion must be a quoted semantic version or "NEXT_PATCH"')
    if _MANIFEST.search(text) is None:
        found.append("there is no manifest")
    return found
