"""Builds with a small agent and small wheels, which install in seconds and need no network."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pip

from contract.names import COMPONENT
from edge.packaging import recipe_text
from edge.packaging.archive import write_zip

ROOT = Path(__file__).resolve().parents[2]
RECIPE = (ROOT / "recipes" / f"{COMPONENT}.yaml").read_text()
_AGENT: Mapping[str, str] = {
    "contract/__init__.py": "",
    "edge/__init__.py": "",
    "edge/configuration/__init__.py": "",
    "edge/configuration/settings.py": (
        "class Settings:\n    @staticmethod\n    def model_validate(given):\n"
        "        assert given == {'heartbeat_s': 60}, given\n"
    ),
    "edge/__main__.py": (
        "import json, os, sys, some_thing\n"
        "if __name__ == '__main__':\n"
        "    print(json.dumps([some_thing.NAME, os.getcwd(), sys.path, __file__, dict(os.environ)]))\n"
    ),
    "defaults.json": '{"heartbeat_s": 60}',
    "requirements.txt": "some-thing==1.0\n",
}
_OURS = (
    "edge/storage/__init__.py",
    "edge/storage/safe_folder.py",
    "edge/packaging/__init__.py",
    "edge/packaging/install.py",
    "edge/packaging/proof.py",
)


def a_build(folder: Path, *, files: Mapping[str, str] = MappingProxyType({}), **changed: str) -> Path:
    """Leave in ``folder`` what a component build leaves.

    ``changed`` are modules of the agent, with ``__`` for ``/``; ``files`` are any others by their path.
    """
    wheels = folder / "wheels"
    a_wheel(wheels, "some_thing")
    pip_of_this_machine(wheels)
    written = {name: text.encode() for name, text in {**_AGENT, **files}.items()}
    written |= {name: (ROOT / name).read_bytes() for name in _OURS}
    written |= {f"{name.replace('__', '/')}.py": text.encode() for name, text in changed.items()}
    written |= {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels.iterdir()}
    shutil.rmtree(wheels)
    artifact = folder / "artifacts" / COMPONENT / "1.2.3" / "agent-amd64.zip"
    artifact.parent.mkdir(parents=True)
    write_zip(artifact, written)
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    text = recipe_text.fill(RECIPE, name=COMPONENT, version="1.2.3", author="us", digests={"amd64": digest})
    (folder / "recipes").mkdir()
    (folder / "recipes" / "recipe.yaml").write_text(recipe_text.only(text, ["amd64"]))
    return folder


def a_wheel(folder: Path, name: str) -> None:
    """Write a wheel that really installs: one module that knows its own name."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": f"NAME = {name!r}\n".encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    write_zip(folder / f"{name}-1.0-py3-none-any.whl", files)


def pip_of_this_machine(folder: Path) -> None:
    """Write the pip that runs here as the wheel an artifact brings along."""
    package = Path(pip.__file__).parent
    files = {
        str(file.relative_to(package.parent)): file.read_bytes()
        for file in package.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    write_zip(folder / f"pip-{pip.__version__}-py3-none-any.whl", files)
