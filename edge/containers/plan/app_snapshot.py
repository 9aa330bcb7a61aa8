"""Snapshot of one application: everything that a decision about it rests on, gathered beforehand."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from contract.desired import Application
from edge.containers.model.observed import ContainerPair, Observed
from edge.containers.model.trial import TrialRecord
from edge.containers.plan.health import HealthHistory


class ImageState(Enum):
    """The state of the wanted image on this device."""

    HERE = "here"  # the engine has it
    NEEDED = "needed"  # not known to be here: pull it
    COMING = "coming"  # being pulled
    HELD = "held"  # a pull failed, and the next try is not due


class SecretsState(Enum):
    """The state of an application's secret values on this device."""

    HERE = "here"  # known, and in their files; or none are needed
    NEEDED = "needed"  # fetch them
    COMING = "coming"  # being fetched, or the next try is not due


@dataclass(frozen=True, slots=True)
class Wait:
    """The reason why an application is not further, in the words of the report."""

    code: str
    message: str
    until: datetime | None = None  # its next try, or when it may go on; None where nobody knows

    def __str__(self) -> str:
        return f"{self.code}, {self.message}" + (
            f", until {self.until:%Y-%m-%d %H:%M:%S}" if self.until else ""
        )


@dataclass(frozen=True, slots=True)
class AppSnapshot:
    """One application: wanted, observed, remembered, and what is under way."""

    application: str
    wanted: Application | None = None  # None: to be removed
    spec: str = ""  # the digest of what is wanted, computed once per document
    deployment_id: str = ""
    pair: ContainerPair = field(default_factory=ContainerPair)
    record: TrialRecord = field(default_factory=TrialRecord)
    image: ImageState = ImageState.NEEDED
    preflight_passed: bool = False  # it was looked into: nothing is known that it would fail with here
    reference: str = ""  # the local name of the wanted image, when it is here
    secrets: SecretsState = SecretsState.HERE  # what creating the wanted container takes
    lacking: frozenset[str] = frozenset()  # specifications whose containers cannot start: no files
    pull_percent: int | None = None  # how far the image has come, while it does
    history: HealthHistory = field(default_factory=HealthHistory)  # of the container in place
    busy: bool = False  # a step of it runs in the background
    held: bool = False  # a step of it failed, and the next try is not due
    retry: Wait | None = None  # for the next try of what failed, due or not
    refusal: str | None = None  # the rule of the device's policy that forbids what is wanted

    @property
    def gave_up(self) -> bool:
        """Whether the wanted specification failed in this very deployment."""
        failed = self.record.failed
        return (
            self.wanted is not None
            and failed is not None
            and failed.spec == self.spec
            and failed.deployment_id == self.deployment_id
        )

    @property
    def on_trial(self) -> bool:
        """Whether the container in place has not proven itself yet."""
        return self.pair.current is not None and self.pair.current.spec == self.record.trial

    @property
    def proven(self) -> Observed | None:
        """The container in place, if it is one that proved itself."""
        return None if self.on_trial else self.pair.current

    @property
    def is_failed(self) -> bool:
        """Whether the container in place is what is left of a failure, in whichever deployment."""
        failed, current = self.record.failed, self.pair.current
        return failed is not None and current is not None and self.on_trial and failed.spec == current.spec

    @property
    def is_in_place(self) -> bool:
        """Whether the wanted container is there already, or the previous one is wanted again."""
        current, previous = self.pair.current, self.pair.previous
        if current is not None and current.spec == self.spec:
            return self.gave_up or not self.is_failed
        return previous is not None and previous.spec == self.spec and self.proven is None

    @property
    def is_as_wanted(self) -> bool:
        """Whether the wanted container is in place and has proven itself."""
        return self.proven is not None and self.proven.spec == self.spec

    @property
    def hands_over(self) -> bool:
        """Whether the old container runs until the new one has proven itself."""
        return self.wanted is not None and self.wanted.update_strategy == "hand-over"

    @property
    def critical(self) -> bool:
        """Whether the old container has stopped, or is about to, and no proven way on is running yet."""
        current, previous = self.pair.current, self.pair.previous
        if self.wanted is None or previous is None or (self.hands_over and previous.alive):
            return False
        return current is None or not current.alive or self.gave_up
