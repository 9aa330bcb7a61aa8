"""The stretches of a device's life in which its agent is killed at every moment."""

from dataclasses import dataclass
from typing import Any

from contract.desired import Application
from contract.reports import ApplicationState
from tests.edge.containers.builders import an_application


@dataclass(frozen=True, slots=True)
class Scenario:
    """From what runs, settled, to what is wanted next, and what is reported in the end."""

    before: tuple[Application, ...]
    after: tuple[Application, ...]
    states: tuple[ApplicationState, ...]
    atomic: bool = False

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
    def pulls_down(self) -> bool:
        """Whether something may be down while an image comes: that is the strategy's meaning."""
        return any(each.update_strategy == "kill-then-download" for each in self.after)

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

KILLED_FIRST = NEWER.model_copy(update={"update_strategy": "kill-then-download"})
HANDED_OVER = an_application(image_name="hello:v2", update_strategy="hand-over")
BAD_HAND_OVER = BAD.model_copy(update={"update_strategy": "hand-over"})
BROKEN = (BAD, ENDING, BAD_HAND_OVER)


def a_chain(tag: str, **fields: Any) -> tuple[Application, ...]:
    """Return three applications that need each other in a row; the last in the document starts first."""
    return (
        an_application("web", image_name=tag, depends_on=[{"application": "api"}], **fields),
        an_application("api", image_name=tag, depends_on=[{"application": "db"}], **fields),
        an_application("db", image_name=tag, **fields),
    )


RUNNING, FAILED, ROLLED_BACK = (
    ApplicationState.RUNNING,
    ApplicationState.FAILED,
    ApplicationState.ROLLED_BACK,
)
SCENARIOS: dict[str, Scenario] = {
    "first deployment": Scenario((), (WEB, OTHER), (RUNNING, RUNNING)),
    "first deployment that fails": Scenario((OTHER,), (BAD, OTHER), (FAILED, RUNNING)),
    "update, download-then-kill": Scenario((WEB, OTHER), (NEWER, OTHER), (RUNNING, RUNNING)),
    "update, kill-then-download": Scenario((WEB, OTHER), (KILLED_FIRST, OTHER), (RUNNING, RUNNING)),
    "update, hand-over": Scenario((an_application(), OTHER), (HANDED_OVER, OTHER), (RUNNING, RUNNING)),
    "rollback of a hand-over": Scenario((WEB, OTHER), (BAD_HAND_OVER, OTHER), (ROLLED_BACK, RUNNING)),
    "first deployment of three dependent applications": Scenario((), a_chain("hello:v1"), (RUNNING,) * 3),
    "update of three dependent applications": Scenario(
        a_chain("hello:v1"), a_chain("hello:v2"), (RUNNING,) * 3
    ),
    "atomic update of three dependent applications": Scenario(
        a_chain("hello:v1"), a_chain("hello:v2"), (RUNNING,) * 3, atomic=True
    ),
    "kill-then-download of three dependent applications": Scenario(
        a_chain("hello:v1"), a_chain("hello:v2", update_strategy="kill-then-download"), (RUNNING,) * 3
    ),
    "atomic update": Scenario((WEB, OTHER), (NEWER, OTHER_NEWER), (RUNNING, RUNNING), atomic=True),
    "atomic update with one bad application": Scenario(
        (WEB, OTHER), (BAD, OTHER_NEWER), (ROLLED_BACK, ROLLED_BACK), atomic=True
    ),
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
