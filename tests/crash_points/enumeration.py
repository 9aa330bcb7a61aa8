"""Every moment of a scenario at which its agent can be killed, and what must hold after each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash_points.fate import Moment
from tests.crash_points.harness import DeviceHarness, Ending, killed
from tests.crash_points.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Reference:
    """How a scenario goes when nobody is killed."""

    acts: tuple[str, ...]
    ending: Ending
    outages: dict[str, int]
    down_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one killing, or two, came to: no trouble is as it must be."""

    moments: tuple[Moment, ...]
    acts: tuple[str, ...]
    trouble: tuple[str, ...]

    def __str__(self) -> str:
        where = " and ".join(
            f"{moment.when} {act} (act {moment.at})"
            for moment, act in zip(self.moments, self.acts, strict=True)
        )
        return f"killed {where}: {'; '.join(self.trouble)}"


def reference(scenario: Scenario, folder: Path) -> Reference:
    """Return how the scenario goes undisturbed."""
    harness = DeviceHarness(folder, scenario.before, scenario.kept)
    harness.want(scenario.document, rotated=scenario.rotated)
    ending = harness.ending()
    acts = tuple(harness.fate.acts)
    return Reference(acts, ending, dict(harness.outages.count), dict(harness.outages.seconds))


def once(scenario: Scenario, folder: Path) -> Iterator[Finding]:
    """Yield what comes of killing the agent before and after each of its acts."""
    undisturbed = reference(scenario, folder / "reference")
    for i, moment in enumerate(_moments(len(undisturbed.acts))):
        act = undisturbed.acts[moment.at - 1]
        yield _finding(scenario, undisturbed, folder / f"{i}", (moment,), (act,))


def twice(scenario: Scenario, folder: Path, gaps: Iterable[int]) -> Iterator[Finding]:
    """Yield what comes of killing the next agent too, at its ``gap``-th act."""
    undisturbed = reference(scenario, folder / "reference")
    for gap in gaps:
        for i, moment in enumerate(_moments(len(undisturbed.acts))):
            act = undisturbed.acts[moment.at - 1]
            moments = (moment, Moment(gap, "after"))
            yield _finding(scenario, undisturbed, folder / f"{gap}-{i}", moments, (act, "of the next agent"))


def _finding(
    scenario: Scenario,
    undisturbed: Reference,
    folder: Path,
    moments: tuple[Moment, ...],
    acts: tuple[str, ...],
) -> Finding:
    harness = DeviceHarness(folder, scenario.before, scenario.kept)
    harness.want(scenario.document, rotated=scenario.rotated)
    # A second agent may have too little left to do to be killed so late.
    deaths = [killed(harness, moment) for moment in moments]
    trouble = [] if deaths[0] else ["it was not killed there: the scenario goes another way each time"]
    try:
        trouble += _trouble(scenario, undisturbed, harness, sum(deaths))
    except AssertionError as error:  # it never settled
        trouble.append(str(error))
    return Finding(moments, acts, tuple(trouble))


def _trouble(
    scenario: Scenario, undisturbed: Reference, harness: DeviceHarness, deaths: int
) -> Iterator[str]:
    ending = harness.ending()
    if ending.states != scenario.states:
        yield f"reported {ending.states} instead of {scenario.states}"
    if ending != undisturbed.ending:
        yield f"another end: {ending} instead of {undisturbed.ending}"
    if not harness.neighbours_are_well():
        yield "a container that is not ours was touched"
    now = harness.identities()
    for name in sorted(scenario.untouched):
        if now.get(name) != harness.started_with.get(name):
            yield f"{name} did not change and was recreated or started again"
    for name in sorted(scenario.kept):
        count, down_s = harness.outages.count.get(name, 0), harness.outages.seconds.get(name, 0.0)
        if count > undisturbed.outages.get(name, 0):
            yield f"{name} was down {count} times"
        allowed_s = undisturbed.down_s.get(name, 0.0) + deaths * scenario.grace_s
        if down_s > allowed_s + 0.001:
            yield f"{name} was down {down_s} s instead of {allowed_s} s"
    if harness.outages.pulls_meanwhile and not scenario.pulls_down:
        yield f"pulled while {harness.outages.pulls_meanwhile} was down"


def _moments(acts: int) -> Iterator[Moment]:
    for at in range(1, acts + 1):
        yield Moment(at, "before")
        yield Moment(at, "after")
