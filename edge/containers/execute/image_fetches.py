"""Image fetches: pulls and preflight inspections by image, and the images known to be on the engine."""

from collections.abc import Callable, Mapping, Set

from edge.background import Background
from edge.containers.execute.image_puller import Puller
from edge.containers.plan.steps import InspectImage, Pull
from edge.ports.workers import Workers

PULLS = 3  # at a time: a pull is bound by the engine's unpacking and the site's line


class ImageFetches:
    """Each image is pulled, or inspected, once, however many applications want it.

    Owned by the reconciler's thread; ``ended`` is called from workers.
    """

    def __init__(
        self, puller: Puller, workers: Callable[[str, int], Workers], ended: Callable[[], None]
    ) -> None:
        self._puller = puller
        self._workers = workers("pull", PULLS)
        self._pulls: Background[str, str] = Background(ended)
        self._inspections: Background[str, None] = Background(ended)
        self._percents: dict[str, int] = {}  # written by workers, one entry each
        self._references: dict[str, str] = {}
        self._preflight_passed: set[str] = set()

    @property
    def references(self) -> Mapping[str, str]:
        """The names on the engine of the images that it is known to have."""
        return self._references

    @property
    def preflight_passed(self) -> Set[str]:
        """The images that were inspected: nothing is known that they would fail with here."""
        return self._preflight_passed

    @property
    def fetching(self) -> Set[str]:
        """The images that are being pulled or inspected."""
        return {*self._pulls.running, *self._inspections.running}

    def is_pulling(self, image: str) -> bool:
        return image in self._pulls.running

    def percent(self, image: str) -> int | None:
        """Return how far a pull has come; None when there is none, or it has not begun."""
        return self._percents.get(image)

    def begin(self, step: Pull | InspectImage) -> bool:
        """Hand the step to a worker, unless its image is coming already; return whether it has ended."""
        image = step.image
        if isinstance(step, InspectImage):
            return self._inspections.start(image, self._workers, lambda: self._puller.inspect(image))
        return self._pulls.start(
            image,
            self._workers,
            lambda: self._puller.fetch(image, lambda percent: self._percents.update({image: percent})),
        )

    def finished(self) -> list[tuple[type[Pull | InspectImage], str, BaseException | None]]:
        """Return ``(kind of step, image, error)`` of everything that ended since the last call."""
        ended: list[tuple[type[Pull | InspectImage], str, BaseException | None]] = []
        for image, pull in self._pulls.finished():
            self._percents.pop(image, None)
            if pull.exception() is None:
                self._references[image] = pull.result()
            ended.append((Pull, image, pull.exception()))
        for image, inspection in self._inspections.finished():
            if inspection.exception() is None:
                self._preflight_passed.add(image)
            ended.append((InspectImage, image, inspection.exception()))
        return ended

    def forget(self, image: str) -> None:
        """Take the image for one that the engine may not have."""
        self._references.pop(image, None)

    def forget_all(self) -> None:
        """Take no image for granted: what an earlier document needed may have been collected since."""
        self._references.clear()
        self._preflight_passed.clear()

    def close(self) -> None:
        """Begin nothing more. What is under way on the engine goes on there."""
        self._workers.close()
