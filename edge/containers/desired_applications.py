"""The desired applications: what a document wants on this device, as its policy and its rotations have it."""

import logging
import os
from collections.abc import Mapping, Sequence

from contract.desired import Application, DesiredDocument
from edge.containers.model.policy import Policy
from edge.containers.store.secret_rotations import SecretRotations

log = logging.getLogger(__name__)


class DesiredApplications:
    """The document in force, and what follows from it; owned by the reconciler's thread.

    Without a document the device is not managed: ours are reported, and nothing is touched.
    """

    def __init__(self, policy: Policy, rotations: SecretRotations) -> None:
        self.document: DesiredDocument | None = None
        self._policy, self._rotations = policy, rotations
        self._by_name: Mapping[str, Application] = {}
        self._specs: Mapping[str, str] = {}
        self._refusals: Mapping[str, str] = {}

    def want(self, document: DesiredDocument | None) -> None:
        """Want this document from now on, as far as the policy allows."""
        self.document = document
        self._by_name = {each.name: each for each in self.all}
        self._compute_specs()
        self.permit(self._policy)

    def permit(self, policy: Policy) -> None:
        """Judge what is wanted by this policy from now on."""
        self._policy = policy
        self._refusals = policy.refusals(self.all, os.path.realpath)
        for name, rule in self._refusals.items():
            log.error("refused: application=%s rule=%s", name, rule)

    def rotate_secrets(self, application: str, rotation: str) -> None:
        """Want the application anew, with secrets fetched for this rotation. Raises StateUnwritable."""
        self._rotations.rotate(application, rotation, self._by_name.keys())
        self._compute_specs()

    @property
    def all(self) -> Sequence[Application]:
        """The applications, in the document's order."""
        return self.document.applications if self.document else ()

    @property
    def is_atomic(self) -> bool:
        return self.document is not None and self.document.atomic

    @property
    def specs(self) -> Mapping[str, str]:
        """By application, the digest of the specification that is wanted."""
        return self._specs

    def find(self, application: str) -> Application | None:
        """Return what is wanted of an application; None when it is not wanted."""
        return self._by_name.get(application)

    def refusal(self, application: str) -> str | None:
        """Return the rule of the policy that forbids what is wanted of an application."""
        return self._refusals.get(application)

    def with_image(self, image: str) -> list[Application]:
        """Return the applications that want an image."""
        return [each for each in self.all if each.image == image]

    def _compute_specs(self) -> None:
        self._specs = {each.name: self._rotations.spec(each) for each in self.all}
