"""Consultation of components before a deployment (classic): its questions and their answers.

It asks twice. "May I update?": a component that defers is asked again later, one that is silent for the
policy's time agrees. "Is this configuration valid?": a refusal fails the deployment, **and so does silence**
(run on 2.18; the API reference says that it proceeds). As soon as one component is asked, an answer is waited
for from each component whose configuration changes, also from those that never subscribed and cannot answer.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from local.greengrass.nucleus.configuration.store import Json

_GLANCE_S = 0.1  # how late it is noticed that the power went off

Question = Literal["update", "validity"]


class NotAnswered(Exception):
    """A validation was not answered in time by all whose configuration would change."""


class NotAsked(Exception):
    """An answer to a question that was never put to this component, or whose time is over."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, as a component gets it."""

    deployment_id: str
    configuration: Json = None  # the proposed one, where the question is its validity
    done: bool = False  # no question: the update is over


@dataclass(frozen=True, slots=True)
class Answer:
    """``defer_ms`` to the first question, ``refusal`` (None: accepted) to the second."""

    defer_ms: int = 0
    refusal: str | None = None


Tell = Callable[[Asked], None]


class Consultation:
    """Listening components and their answers. Safe from any thread; one deployment asks."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._listeners: dict[object, tuple[Question, str, Tell]] = {}
        self._open: dict[tuple[Question, str, str], Answer | None] = {}

    def listen(self, question: Question, component: str, tell: Tell) -> Callable[[], None]:
        """Put every such question to ``tell``; return how to stop it."""
        ticket = object()
        with self._news:
            self._listeners[ticket] = (question, component, tell)

        def stop() -> None:
            with self._news:
                self._listeners.pop(ticket, None)
                self._news.notify_all()

        return stop

    def answer(self, question: Question, component: str, deployment_id: str, given: Answer) -> None:
        """Take a component's answer; only its first one counts.

        Raises:
            NotAsked
        """
        key = (question, component, deployment_id)
        with self._news:
            if key not in self._open or self._open[key] is not None:
                raise NotAsked(deployment_id)
            self._open[key] = given
            self._news.notify_all()

    def ask_to_update(self, deployment_id: str, timeout_s: float, off: threading.Event) -> None:
        """Return when no component wants the update to wait any longer, or the power went off."""
        while not off.is_set():
            question = dict.fromkeys(self._who("update"), Asked(deployment_id))
            found = self._ask("update", question, timeout_s, off)
            wait_ms = max((answer.defer_ms for answer in found.values()), default=0)
            if wait_ms <= 0:
                return
            off.wait(wait_ms / 1000)

    def updated(self, deployment_id: str) -> None:
        """Tell whoever is asked for updates that this one is over."""
        self._tell("update", dict.fromkeys(self._who("update"), Asked(deployment_id, done=True)))

    def refusals(
        self, deployment_id: str, proposed: Mapping[str, Json], timeout_s: float, off: threading.Event
    ) -> Mapping[str, str]:
        """Return the components that refuse what is proposed for them, each with its words.

        Raises:
            NotAnswered: somebody was asked, and not all for whom there is a proposal have answered.
        """
        if not self._who("validity") & proposed.keys():
            return {}
        asked = {name: Asked(deployment_id, proposal) for name, proposal in proposed.items()}
        found = self._ask("validity", asked, timeout_s, off)
        if not off.is_set() and found.keys() != asked.keys():
            raise NotAnswered(deployment_id)
        return {name: answer.refusal for name, answer in found.items() if answer.refusal is not None}

    def _ask(
        self, question: Question, asked: Mapping[str, Asked], timeout_s: float, off: threading.Event
    ) -> Mapping[str, Answer]:
        """Return the answers that came in time; who goes away meanwhile is waited for like the others."""
        keys = {name: (question, name, each.deployment_id) for name, each in asked.items()}
        with self._news:
            self._open.update(dict.fromkeys(keys.values()))
        self._tell(question, asked)
        deadline = time.monotonic() + timeout_s
        with self._news:
            while not off.is_set() and (left_s := deadline - time.monotonic()) > 0:
                if all(self._open[key] is not None for key in keys.values()):
                    break
                self._news.wait(min(left_s, _GLANCE_S))
            answers = {name: self._open.pop(key) for name, key in keys.items()}
        return {name: answer for name, answer in answers.items() if answer is not None}

    def _who(self, question: Question) -> set[str]:
        with self._news:
            return {name for kind, name, _ in self._listeners.values() if kind == question}

    def _tell(self, question: Question, asked: Mapping[str, Asked]) -> None:
        with self._news:
            told = [
                (tell, asked[name])
                for kind, name, tell in self._listeners.values()
                if kind == question and name in asked
            ]
        for tell, each in told:
            tell(each)
