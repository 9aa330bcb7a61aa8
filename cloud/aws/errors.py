"""The error tree of AWS calls, the same for every service.

::

    CloudError            one root; ``code`` is stable and goes on the wire
    ├── Unavailable       it is unknown whether the call took effect: try again later
    └── Refused           the call took no effect, and trying again will not help
        ├── NotFound      the named resource does not exist
        └── Conflict      another write was first (a refused conditional write)

Adapters translate botocore's errors into these and raise no others.
"""


class CloudError(Exception):
    """A call to AWS did not give a result."""

    code = "cloud-error"


class Unavailable(CloudError):
    """Timeout, throttling, a 5xx answer: whether it happened is unknown."""

    code = "service-unavailable"


class Refused(CloudError):
    """AWS understood and refused; nothing was changed."""

    code = "service-refused"


class NotFound(Refused):
    """The named resource does not exist."""

    code = "not-found"


class Conflict(Refused):
    """A conditional write lost against another one."""

    code = "conflict"
