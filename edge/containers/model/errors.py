"""Errors that keep an application from starting, and are not the engine's."""

from edge.ports.coded_error import CodedError


class SecretsUnavailable(CodedError):
    """A secret cannot be had now. ``code`` says why; the text names its source, never its value."""
