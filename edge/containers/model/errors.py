"""Errors that keep an application from starting, and are not the engine's."""


class SecretsUnavailable(Exception):
    """A secret cannot be had now. ``code`` says why; the text names its source, never its value."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code
