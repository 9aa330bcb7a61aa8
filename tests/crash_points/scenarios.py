"""The stretches of a device's life in which its agent is killed at every moment."""

from dataclasses import dataclass
from typing import Any

from contract.desired import Application, DesiredDocument
from contract.reports import ApplicationState
from tests.support.edge.containers import a_document, an_application


@dataclass(frozen=True, slots=True)
class Scenario:
    """From what runs, settled, to what is wanted next, and what is reported in the end."""

    before: tuple[Application, ...]
    after: tuple[Application, ...]
    states: tuple[ApplicationState, ...]
    atomic: bool = False
    delete_volumes: bool = False
    rotated: str | None = None  # the application whose secrets are taken anew

    @property
    def document(self) -> DesiredDocument:
        """What is wanted next."""
        told = {"atomic": self.atomic, "delete_volumes": self.delete_volumes}
        return a_document(*self.after, revision=2).model_copy(update=told)

    @property
    def kept(self) -> frozenset[str]:
        """The applications that are wanted all the time: how long they are down matters."""
        return _names(self.before) & _names(self.after)

    @property
    def untouched(self) -> frozenset[str]:
        """The applications that do not change: their containers must not be touched."""
        same = {each.name for each in self.after if each in self.before}
        return frozenset(same - {self.rotated})

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

SECRETS = [
    {"name": "PASSWORD", "source": "secretsmanager:fleetgrass/db"},
    {"name": "tls.key", "source": "ssm:/fleetgrass/tls", "as": "file"},
]
TRUSTED = an_application(secrets=SECRETS)
TRUSTED_NEWER = an_application(image_name="hello:v2", secrets=SECRETS)
TRUSTED_BAD = an_application(image_name="broken:v1", secrets=SECRETS, healthy_window_s=3)
KEEPING = an_application(volumes=[{"name": name, "path": f"/{name}"} for name in ("data", "cache")])
KEEPING_LESS = an_application(volumes=[{"name": "data", "path": "/data"}])
OTHER_KEEPING = an_application("other", volumes=[{"name": "data", "path": "/data"}])

KILLED_FIRST = NEWER.model_copy(update={"update_strategy": "kill-then-download"})
FOREIGN = an_application(image_name="foreign:v1", update_strategy="kill-then-download")
HANDED_OVER = an_application(image_name="hello:v2", update_strategy="hand-over")
BAD_HAND_OVER = BAD.model_copy(update={"update_strategy": "hand-over"})
BROKEN = (BAD, ENDING, BAD_HAND_OVER, TRUSTED_BAD)


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
    "update, kill-then-download, to what cannot run here": Scenario(
        (WEB, OTHER), (FOREIGN, OTHER), (ROLLED_BACK, RUNNING)
    ),
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
    "first deployment with secrets": Scenario((OTHER,), (TRUSTED, OTHER), (RUNNING, RUNNING)),
    "update of one with secrets": Scenario((TRUSTED, OTHER), (TRUSTED_NEWER, OTHER), (RUNNING, RUNNING)),
    "rollback of one with secrets": Scenario((TRUSTED, OTHER), (TRUSTED_BAD, OTHER), (ROLLED_BACK, RUNNING)),
    "rotation of secrets": Scenario((TRUSTED, OTHER), (TRUSTED, OTHER), (RUNNING, RUNNING), rotated="web"),
    "update that deletes volumes": Scenario(
        (KEEPING, OTHER_KEEPING), (KEEPING_LESS,), (RUNNING,), delete_volumes=True
    ),
    "removal": Scenario((WEB, OTHER), (OTHER,), (RUNNING,)),
    "removal of all": Scenario((WEB, OTHER), (), ()),
    "removal of one that had failed": Scenario((BAD, OTHER), (OTHER,), (RUNNING,)),
}
