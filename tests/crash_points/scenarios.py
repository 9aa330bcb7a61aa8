"""The stretches of a device's life in which its agent is killed at every moment."""

from dataclasses import dataclass

from contract.desired import Application
from contract.reports import ApplicationState
from tests.edge.containers.builders import an_application


@dataclass(frozen=True, slots=True)
class Scenario:
    """From what runs, settled, to what is wanted next, and what is reported in the end."""

    before: tuple[Application, ...]
    after: tuple[Application, ...]
    states: tuple[ApplicationState, ...]

    @property
    def kept(self) -> frozenset[str]:
        """The applications that are wanted all the time: how long they are down matters."""
        return _names(self.before) & _names(self.after)

    @property
    def untouched(self) -> frozenset[str]:
        """The applications that do not change: their containers must not be touched."""
        same = {each.name for each in self.after if each in self.before}
        return frozenset(same)

    @property
    def grace_s(self) -> float:
        """How much longer a kill may keep an application down: its trial may begin anew."""
        return max((each.healthy_window_s for each in self.after if each in BROKEN), default=0.0)


def _names(applications: tuple[Application, ...]) -> frozenset[str]:
    return frozenset(each.name for each in applications)


WEB = an_application(ports=[{"container_port": 80, "host_port": 8080}])
NEWER = an_application(image_name="hello:v2", ports=[{"container_port": 80, "host_port": 8080}])
BAD = an_application(image_name="broken:v1", healthy_window_s=3)
ENDING = an_application(image_name="crashing:v1", healthy_window_s=3)
NOWHERE = an_application(image_name="ghost:v1")
OTHER = an_application("other")
OTHER_NEWER = an_application("other", image_name="hello:v2")
OTHER_NEWEST = an_application("other", image_name="hello:v3")
BROKEN = (BAD, ENDING)

RUNNING, FAILED, ROLLED_BACK = (
    ApplicationState.RUNNING,
    ApplicationState.FAILED,
    ApplicationState.ROLLED_BACK,
)
SCENARIOS: dict[str, Scenario] = {
    "first deployment": Scenario((), (WEB, OTHER), (RUNNING, RUNNING)),
    "first deployment that fails": Scenario((OTHER,), (BAD, OTHER), (FAILED, RUNNING)),
    "update, download-then-kill": Scenario((WEB, OTHER), (NEWER, OTHER), (RUNNING, RUNNING)),
    "update of both, one of them bad": Scenario((WEB, OTHER), (BAD, OTHER_NEWER), (ROLLED_BACK, RUNNING)),
    "rollback of one that is not healthy": Scenario((WEB, OTHER), (BAD, OTHER), (ROLLED_BACK, RUNNING)),
    "rollback of one that keeps ending": Scenario((WEB, OTHER), (ENDING, OTHER), (ROLLED_BACK, RUNNING)),
    "update to an image that nobody has": Scenario((WEB, OTHER), (NOWHERE, OTHER), (ROLLED_BACK, RUNNING)),
    "update of one that had failed": Scenario((BAD, OTHER), (WEB, OTHER), (RUNNING, RUNNING)),
    "update of two, for which an old image must go": Scenario(
        (WEB, OTHER), (NEWER, OTHER_NEWEST), (RUNNING, RUNNING)
    ),
    "removal": Scenario((WEB, OTHER), (OTHER,), (RUNNING,)),
    "removal of all": Scenario((WEB, OTHER), (), ()),
    "removal of one that had failed": Scenario((BAD, OTHER), (OTHER,), (RUNNING,)),
}
