"""An engine with images and a login, and what tests make on it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.ports.engine import LABEL_APPLICATION, LABEL_THING, ContainerSpec, Credentials, Engine
from tests.support.engine.tiny_registry import LOGIN


@dataclass
class EngineHarness:
    """An engine, and where its images come from. ``simulated``: its containers are no processes."""

    engine: Engine
    reference: Callable[[str], str]
    simulated: bool
    thing: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")
    login: Credentials = field(default_factory=lambda: Credentials(*LOGIN))

    def name(self, application: str = "web") -> str:
        return f"{self.thing}-{application}"

    def spec(self, application: str = "web", image: str = "server", **fields: object) -> ContainerSpec:
        labels = {LABEL_THING: self.thing, LABEL_APPLICATION: application}
        return ContainerSpec(self.name(application), self.reference(image), labels, **fields)  # type: ignore[arg-type]

    def create(self, application: str = "web", image: str = "server", **fields: object) -> str:
        """Return the id of a new container whose image was pulled."""
        if not self.engine.has_image(self.reference(image)):
            self.engine.pull(self.reference(image), self.login)
        return self.engine.create(self.spec(application, image, **fields))

    def clear(self) -> None:
        for container in self.engine.containers(self.thing):
            self.engine.remove(container.id)
