"""Executor of one step: one engine call or one fact written. Decides nothing and catches nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from edge.containers.execute.secrets import Secrets
from edge.containers.model.observed import current_name, previous_name
from edge.containers.plan.container_spec import Given, container_spec, lock_folder
from edge.containers.plan.steps import (
    BringBack,
    Confirm,
    Create,
    FetchSecrets,
    Forget,
    GiveUp,
    InspectImage,
    Pull,
    Remove,
    Restart,
    SetAside,
    Start,
    Step,
    Stop,
    Try,
)
from edge.containers.store.trials import TrialRecords
from edge.ports.engine import Engine


@dataclass(frozen=True, slots=True)
class Executor:
    """Carries out one step on the engine or in the agent's files.

    Steps that remember something belong to the reconciler's thread; Start, Stop and Restart may run in any.
    """

    engine: Engine
    records: TrialRecords
    thing: str
    publish_address: str
    folder: Path  # the agent's
    secrets: Secrets

    @staticmethod
    def name_after(step: Create | SetAside, thing: str) -> str:
        """Return the container name that ``step`` takes."""
        return (current_name if isinstance(step, Create) else previous_name)(thing, step.application)

    def apply(self, step: Step) -> None:
        """Do ``step``, except those that fetch: they have their own ways (pulling and secrets).

        Raises:
            EngineError: the engine's answer.
            StateUnwritable: the fact could not be written, and is not remembered.
        """
        match step:
            case SetAside():
                self.engine.rename(step.container_id, self.name_after(step, self.thing))
            case BringBack():
                self.engine.rename(step.container_id, current_name(self.thing, step.application))
            case Create():
                self._create(step)
            case Start():
                self.engine.start(step.container_id)
            case Stop():
                self.engine.stop(step.container_id, step.grace_s)
            case Restart():
                self.engine.stop(step.container_id, step.grace_s)
                self.engine.start(step.container_id)
            case Remove():
                self.engine.remove(step.container_id)
            case Try():
                self.records.trying(step.application, step.spec)
            case Confirm():
                self.records.confirmed({step.application: step.spec, **dict(step.others)})
            case GiveUp():
                self.records.failed(step.application, step.failure)
            case Forget():
                self.records.forget(step.application)
            case Pull() | InspectImage() | FetchSecrets():
                raise TypeError("this is not applied, it is fetched")
            case _:
                assert_never(step)

    def _create(self, step: Create) -> None:
        if step.wanted.update_lock:
            place = lock_folder(self.folder.absolute(), step.application)
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o777)  # the application may run as any user
        self.engine.create(
            container_spec(
                step.wanted,
                spec=step.spec,
                thing=self.thing,
                reference=step.reference,
                publish_address=self.publish_address,
                folder=self.folder.absolute(),
                given=Given(self.secrets.variables(step.spec), self.secrets.folder(step.spec)),
            )
        )
