"""Background steps: pulls by image, and one start or stop per application."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future

from contract.defaults import APPLICATIONS_MAX
from edge.containers.execute.executor import Executor
from edge.containers.execute.image_puller import Puller
from edge.containers.execute.secrets import Secrets
from edge.containers.plan.steps import FetchSecrets, InspectImage, Pull, Restart, Step, Stop
from edge.ports.workers import Workers

PULLS = 3  # at a time: a pull is bound by the engine's unpacking and the site's line
STARTS = 8  # at a time: more only wait for each other in the engine
STOPS = APPLICATIONS_MAX  # all at once: each may take its whole grace, and so they take one together

#: How something that was begun went: None, or why not.
Ending = BaseException | None


class BackgroundSteps:
    """Begins steps in workers and tells what has ended; owned by the reconciler's thread.

    ``ended`` is called from workers. An image that several applications want is pulled once.
    """

    def __init__(
        self,
        puller: Puller,
        secrets: Secrets,
        executor: Executor,
        workers: Callable[[str, int], Workers],
        ended: Callable[[], None],
    ) -> None:
        self._puller, self._secrets, self._executor, self._ended = puller, secrets, executor, ended
        self._pullers, self._starters, self._stoppers = (
            workers("pull", PULLS),
            workers("start", STARTS),
            workers("stop", STOPS),
        )
        self._pulls: dict[str, Future[str]] = {}
        self._looks: dict[str, Future[None]] = {}  # by image
        self._percents: dict[str, int] = {}  # written by workers, one entry each
        self._jobs: dict[str, tuple[Step, Future[None]]] = {}

    @property
    def pulling(self) -> Collection[str]:
        """The images on their way."""
        return self._pulls.keys()

    @property
    def looked_into(self) -> Collection[str]:
        """The images that are being looked into."""
        return self._looks.keys()

    def percent(self, image: str) -> int | None:
        """Return how far an image on its way has come; None when it is not, or has not begun."""
        return self._percents.get(image)

    @property
    def busy(self) -> Collection[str]:
        """The applications with a start or stop under way."""
        return self._jobs.keys()

    def begin(self, step: Step) -> bool:
        """Hand the step to a worker, unless what it fetches is coming; return whether it has ended."""
        if isinstance(step, FetchSecrets):
            return self._secrets.fetch(step.application, step.spec, step.secrets)
        running: Future[str] | Future[None]
        if isinstance(step, Pull):
            if step.image in self._pulls:
                return False
            image = step.image
            running = self._pulls[image] = self._pullers.submit(
                lambda: self._puller.fetch(image, lambda percent: self._percents.update({image: percent}))
            )
        elif isinstance(step, InspectImage):
            if step.image in self._looks:
                return False
            image = step.image
            running = self._looks[image] = self._pullers.submit(lambda: self._puller.inspect(image))
        else:
            workers = self._stoppers if isinstance(step, Stop | Restart) else self._starters
            running = workers.submit(lambda: self._executor.apply(step))
            self._jobs[step.application] = (step, running)
        running.add_done_callback(lambda _: self._ended())
        return running.done()

    def withdraw(self) -> Mapping[str, "Future[None]"]:
        """Take back the starts and stops that have not begun; return, by application, what has.

        A restart by command is not taken back, because its sender waits for the outcome.
        """
        self._jobs = {
            name: (step, job)
            for name, (step, job) in self._jobs.items()
            if isinstance(step, Restart) or not job.cancel()
        }
        return {name: job for name, (_, job) in self._jobs.items()}

    def finished_jobs(self) -> list[tuple[Step, Ending]]:
        """Return every start and stop that ended since the last call."""
        done = [(name, step, job.exception()) for name, (step, job) in self._jobs.items() if job.done()]
        for name, _, _ in done:
            del self._jobs[name]
        return [(step, error) for _, step, error in done]

    def finished_pulls(self) -> list[tuple[str, str, Ending]]:
        """Return ``(image, its name on the engine, error)`` of every pull that ended since the last call."""
        done = [(image, pull, pull.exception()) for image, pull in self._pulls.items() if pull.done()]
        for image, _, _ in done:
            del self._pulls[image]
            self._percents.pop(image, None)
        return [(image, pull.result() if error is None else "", error) for image, pull, error in done]

    def finished_looks(self) -> list[tuple[str, Ending]]:
        """Return ``(image, error)`` of every image that was looked into since the last call."""
        done = [(image, look.exception()) for image, look in self._looks.items() if look.done()]
        for image, _ in done:
            del self._looks[image]
        return done

    def close(self) -> None:
        """Begin nothing more. What is under way on the engine goes on there."""
        for workers in (self._pullers, self._starters, self._stoppers):
            workers.close()
