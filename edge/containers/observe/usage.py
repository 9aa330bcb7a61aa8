"""Resource usage of each application's container, measured when a report that says so goes out."""

from collections.abc import Sequence

from contract.reports import ApplicationStatus
from edge.ports.clock import Clock
from edge.ports.engine import Engine, Usage
from edge.ports.engine_errors import EngineError, EngineUnavailable


class Meter:
    """Measures containers between one report and the next; owned by the loop's thread."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._before: dict[str, tuple[float, float]] = {}  # container → monotonic s, cpu s

    def __call__(self, applications: Sequence[ApplicationStatus]) -> tuple[ApplicationStatus, ...]:
        """Return the statuses with cpu and memory, where the engine tells; never raises for an engine.

        One engine request per container. The share of a core needs two measurements: the first report
        after a container's start says only its memory.
        """
        now: dict[str, tuple[float, float]] = {}
        found = list(applications)
        try:
            for place, application in enumerate(applications):
                found[place] = self._measured(application, now)
        except EngineUnavailable:
            pass  # the report does not wait for one answer after the other that does not come
        self._before = now
        return tuple(found)

    def _measured(self, status: ApplicationStatus, now: dict[str, tuple[float, float]]) -> ApplicationStatus:
        if status.container_id is None:
            return status
        try:
            usage = self._engine.usage(status.container_id)
        except EngineUnavailable:
            raise
        except EngineError:
            return status
        if usage is None:
            return status
        now[status.container_id] = (self._clock.monotonic(), usage.cpu_s)
        return status.model_copy(
            update={
                "memory_bytes": usage.memory_bytes,
                "cpu_percent": self._cpu_percent(status.container_id, usage),
            }
        )

    def _cpu_percent(self, container_id: str, usage: Usage) -> float | None:
        if container_id not in self._before:
            return None
        then_s, cpu_s = self._before[container_id]
        passed_s = self._clock.monotonic() - then_s
        if passed_s <= 0 or usage.cpu_s < cpu_s:  # it was started again meanwhile
            return None
        return round(100 * (usage.cpu_s - cpu_s) / passed_s, 1)
