"""Problems of a device that cannot be moved between groups."""

from collections.abc import Iterator
from contextlib import contextmanager

from cloud.http.gateway_events import Problem
from cloud.services.group_membership import SETTLES_WITHIN, MovedMeanwhile, NotEnrolled


@contextmanager
def membership_problems(device: str) -> Iterator[None]:
    """Turn what ``Mover`` raises of ``device`` into problems.

    Raises:
        Problem: 404 ``device-not-found``; 409 ``membership-conflict``, with when to come again.
    """
    try:
        yield
    except NotEnrolled:
        raise Problem(404, "device-not-found", f"there is no device {device}") from None
    except MovedMeanwhile:
        raise Problem(
            409,
            MovedMeanwhile.code,
            f"{device} is being moved: look again in a minute",
            headers={"retry-after": f"{SETTLES_WITHIN.total_seconds():.0f}"},
        ) from None
