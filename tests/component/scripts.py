"""The recipe's scripts, run as a nucleus does: the work folder and the artifacts are a lesser user's."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from contract.names import COMPONENT
from local.greengrass.nucleus.components.recipe import Recipe, parse
from local.greengrass.nucleus.configuration.interpolation import interpolate
from local.greengrass.nucleus.dialect import CLASSIC, Dialect


@dataclass
class Scripted:
    """A device's folders, and the recipe of the version that is deployed to it.

    ``anybody`` owns what a nucleus gives to the default component user; None where the test cannot have one.
    """

    root: Path
    dialect: Dialect = CLASSIC
    anybody: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    recipe: Recipe | None = None

    @property
    def work(self) -> Path:
        return self.root / "nucleus" / "work" / COMPONENT

    @property
    def artifacts(self) -> Path:
        return self.root / "nucleus" / "artifacts" / COMPONENT / "1.2.3"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def place(self) -> Path:
        """The folder of ours for this nucleus."""
        return self.home / sha256(str(self.work).encode()).hexdigest()[:16]

    @property
    def version(self) -> Path:
        return (self.place / "current").resolve()

    def deploy(self, build: Path) -> None:
        """Bring what a build left onto the device, as its user's."""
        self.work.mkdir(parents=True, exist_ok=True)
        self.artifacts.mkdir(parents=True, exist_ok=True)
        for artifact in build.glob("artifacts/*/*/agent-amd64.zip"):
            (self.artifacts / artifact.name).write_bytes(artifact.read_bytes())
        if self.anybody is not None:
            for place in (self.work, self.artifacts, *self.artifacts.iterdir()):
                os.chown(place, self.anybody, self.anybody)
        source = (build / "recipes" / "recipe.yaml").read_bytes()
        self.recipe = parse(source, architecture="amd64", dialect=self.dialect)

    def install(self, shell: str = "/bin/sh") -> "subprocess.CompletedProcess[str]":
        """Run the install script."""
        assert self.recipe is not None
        assert self.recipe.install is not None
        return self._run(self.recipe.install.text, shell)

    def run(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the run script to its end."""
        assert self.recipe is not None
        assert self.recipe.run is not None
        return self._run(self.recipe.run.text, "/bin/sh", **environment)

    def _run(self, text: str, shell: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        slash = "/" if self.dialect.trailing_slash else ""
        known = {"work:path": f"{self.work}{slash}", "artifacts:path": f"{self.artifacts}{slash}"}
        rendered = interpolate(text, known.get, self.dialect)
        assert rendered.failed_at is None
        return subprocess.run(
            [*shell.split(), "-c", rendered.text],
            cwd=self.work,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root),
                "FLEETGRASS_HOME": str(self.home),
                **self.environment,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
