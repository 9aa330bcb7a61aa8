"""A group's nucleus (classic or Lite), and what it means for devices and deployments. Pure.

Nucleus Lite skips the classic nucleus and token exchange where a component depends on them, but looks each
*root* of a deployment up in the cloud for itself, and fails the job where it finds none (run on 2.6.0).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cloud.domain.deployments.greengrass_components import NUCLEUS, TOKEN_EXCHANGE, Components
from cloud.domain.devices.device import Device
from contract.names import Nucleus

CODE = "nucleus-mismatch"
NAMES: Mapping[Nucleus, str] = {Nucleus.CLASSIC: "the classic nucleus", Nucleus.LITE: "Nucleus Lite"}
_CLASSIC_ONLY = (NUCLEUS, TOKEN_EXCHANGE)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The reason why a device may not come into a group, and what to do; ``code`` is stable."""

    code: str
    detail: str


def differ(one: Nucleus | None, other: Nucleus | None) -> bool:
    """Return whether both are known, and not the same."""
    return one is not None and other is not None and one is not other


def of_the_other_kind(devices: Iterable[Device], nucleus: Nucleus | None) -> list[str]:
    """Return which of ``devices`` said that they have another nucleus than a group of ``nucleus``."""
    return [device.name for device in devices if differ(device.nucleus, nucleus)]


def mismatch(
    group: str,
    nucleus: Nucleus | None,
    *,
    device: Device | None,
    leaving: tuple[str, Nucleus | None] | None = None,
) -> Obstacle | None:
    """Return why the nuclei of ``device`` and ``group`` do not match; None when they do.

    Where the device never said which nucleus it has, the group that it comes from (``leaving``) tells.
    """
    own = None if device is None else device.nucleus
    if nucleus is None:
        return None
    if own is not None:
        if own is nucleus:
            return None
        return Obstacle(
            CODE,
            f"the device has {NAMES[own]}, and {group} is of {NAMES[nucleus]}: its deployments do not fit. "
            f"Choose a group of {NAMES[own]}",
        )
    if leaving is None or not differ(leaving[1], nucleus):
        return None
    before, kind = leaving
    assert kind is not None  # noqa: S101 - it differs
    return Obstacle(
        CODE,
        f"the device comes from {before}, which is of {NAMES[kind]}, and {group} is of {NAMES[nucleus]}: its "
        f"deployments do not fit. Choose a group of {NAMES[kind]}, or, where it has {NAMES[nucleus]} all the "
        f"same, take it out of {before} first",
    )


def fitting(components: Components, nucleus: Nucleus | None) -> tuple[Components, tuple[str, ...]]:
    """Return what of ``components`` can be deployed to a group of ``nucleus``, and the names of the rest."""
    if nucleus is not Nucleus.LITE:
        return components, ()
    out = tuple(name for name in _CLASSIC_ONLY if name in components)
    return {name: one for name, one in components.items() if name not in out}, out


def taken_out(group: str, names: Iterable[str]) -> str:
    """Return the warning about components that a deployment to ``group`` does not name any more."""
    return (
        f"{' and '.join(names)} taken out of the deployment: {group} is of {NAMES[Nucleus.LITE]}, which "
        "fails a deployment that names them"
    )
