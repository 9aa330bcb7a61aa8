"""Images behind the registry front, which asks for tokens as ECR does and misbehaves when told to."""

import os
import secrets
import time
from contextlib import suppress

from docker import APIClient
from docker.errors import APIError

from edge.ports.engine import Credentials
from local.docker.image_store import ImageStore
from local.docker.images import Image, architecture, assemble, hello, layer_of
from local.docker.registry_proxy import Behaviour, RegistryFront
from local.docker.registry_tokens import issue

MISSING = "missing"  # an image that the registry does not have
LARGE_BYTES = 1_000_000
HUGE_BYTES = 48_000_000
_REPOSITORY = "fleetgrass/faults"
#: An ignored signal stays ignored over exec (signal(7)).
_DEAF = ["/bin/sh", "-c", "trap '' TERM; exec /bin/busybox sleep 1000000"]


class GuardedRegistry:
    """Serves ``v1``, ``v2``, ``deaf``, ``large`` and ``huge``, new to every engine; and hands out logins."""

    def __init__(self, busybox: bytes) -> None:
        self._busybox, self._flavour = busybox, secrets.token_hex(8)
        self._key = secrets.token_bytes(16)
        self._store = ImageStore()
        self._digests = {MISSING: f"sha256:{'0' * 64}"}
        self.front = RegistryFront(f"http://{self._store.address}", self._key)
        self.address = self.front.address
        self.fresh_logins = 0
        self._login = self._new_login()

    def reference(self, image: str) -> str:
        """Return where to pull an image from, by digest."""
        if image not in self._digests:
            made = self._make(image)
            self._store.add(made)
            self._digests[image] = made.digest
        return f"{self.address}/{_REPOSITORY}@{self._digests[image]}"

    def get(self, registry_host: str, *, fresh: bool = False) -> Credentials:
        """Return a login, the same one until a fresh one is asked for."""
        if fresh:
            self.fresh_logins += 1
            self._login = self._new_login()
        return self._login

    def go_down(self) -> None:
        """Answer nobody, until ``come_back``."""
        self.front.stop()

    def come_back(self) -> None:
        """Answer again, at the same address and in good health."""
        self.front = RegistryFront(
            f"http://{self._store.address}", self._key, int(self.address.rpartition(":")[2])
        )

    def recover(self) -> None:
        """Be in good health."""
        self.front.behaviour = Behaviour()

    def stop(self) -> None:
        self.front.stop()
        self._store.stop()

    def sweep(self, docker_host: str) -> None:
        """Take the images off an engine again."""
        client = APIClient(base_url=docker_host, version="auto")
        for image in client.images():
            if any(name.startswith(f"{self.address}/") for name in image["RepoDigests"] or []):
                with suppress(APIError):
                    client.remove_image(image["Id"], force=True)
        client.close()

    def _make(self, name: str) -> Image:
        if name in ("v1", "v2"):
            return hello(self._busybox, architecture(), page=f"{name} {self._flavour}")
        size = {"large": LARGE_BYTES, "huge": HUGE_BYTES}.get(name, 0)
        layer = layer_of(
            self._busybox, {"www/filling": os.urandom(size), "www/flavour": self._flavour.encode()}
        )
        return assemble(layer, {"Cmd": _DEAF, "Env": ["PATH=/bin"]}, architecture())

    def _new_login(self) -> Credentials:
        return Credentials("AWS", issue(self._key, time.time_ns() // 1_000_000))
