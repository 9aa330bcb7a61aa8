"""Trial record: what is on trial, and what failed its trial; the few facts that the engine cannot tell."""

from pydantic import BaseModel, ConfigDict


class Failure(BaseModel):
    """A specification that was tried in a deployment and did not work."""

    model_config = ConfigDict(frozen=True)

    spec: str
    deployment_id: str  # deploying again means: try again
    code: str
    reason: str
    from_image: str  # the image that was tried
    to_image: str | None = None  # the image that was there before, and serves again
    last_lines: tuple[str, ...] = ()  # of what the one that failed said


class TrialRecord(BaseModel):
    """The facts that are remembered of one application."""

    model_config = ConfigDict(frozen=True)

    trial: str | None = None  # the specification that has not been healthy yet
    failed: Failure | None = None

    @property
    def empty(self) -> bool:
        return self == TrialRecord()
