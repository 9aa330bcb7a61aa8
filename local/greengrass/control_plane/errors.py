"""Errors of the control plane, in AWS's words.

GreengrassError
├── InvalidRequest   400 ValidationException
├── Forbidden        403 AccessDeniedException
├── NotFound         404 ResourceNotFoundException
├── Conflict         409 ConflictException
└── InternalError    500 InternalServerException

``code`` goes out in the header ``x-amzn-ErrorType``, the rest as the body (Greengrass v2 API reference,
"Common errors" and each operation's own).
"""

from typing import ClassVar


class GreengrassError(Exception):
    """An answer other than the one hoped for; carries its HTTP status and AWS's error code."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "InternalServerException"

    def body(self) -> dict[str, object]:
        """Return the members of the error as the API model has them."""
        return {"message": str(self)}


class InternalError(GreengrassError):
    """The emulator behind us failed, or we did."""


class InvalidRequest(GreengrassError):
    """The request is malformed or means nothing."""

    status = 400
    code = "ValidationException"

    def body(self) -> dict[str, object]:
        """Return the message with the reason the API model demands."""
        return {"message": str(self), "reason": "OTHER"}


class Forbidden(GreengrassError):
    """Whoever asks may not."""

    status = 403
    code = "AccessDeniedException"


class _AboutResource(GreengrassError):
    def __init__(self, message: str, *, kind: str, id: str) -> None:
        super().__init__(message)
        self._kind, self._id = kind, id

    def body(self) -> dict[str, object]:
        return {"message": str(self), "resourceType": self._kind, "resourceId": self._id}


class NotFound(_AboutResource):
    """A component, deployment, target or core device that does not exist."""

    status = 404
    code = "ResourceNotFoundException"


class Conflict(_AboutResource):
    """The resource exists already, or is past the state the request needs."""

    status = 409
    code = "ConflictException"
