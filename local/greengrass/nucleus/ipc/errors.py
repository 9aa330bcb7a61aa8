"""Errors of IPC operations; the tree is that of the service model.

OperationRefused
├── ServiceError, InvalidArgumentsError, UnauthorizedError, ResourceNotFoundError
└── FailedUpdateConditionCheckError, InvalidTokenError
"""


class OperationRefused(Exception):
    """An error shape of ``aws.greengrass``; the class name is the shape's name, the text its message."""

    @property
    def shape(self) -> str:
        """Return the name under which the service model knows this error."""
        return type(self).__name__


class ServiceError(OperationRefused):
    """The nucleus could not, or does not know the operation (with an empty text)."""


class InvalidArgumentsError(OperationRefused):
    """A field is missing or may not be what it is."""


class UnauthorizedError(OperationRefused):
    """The component's accessControl does not allow it."""


class ResourceNotFoundError(OperationRefused):
    """The key or component is not there."""


class FailedUpdateConditionCheckError(OperationRefused):
    """Classic: what is stored is newer than the update."""


class InvalidTokenError(OperationRefused):
    """Classic: the token belongs to no component."""
