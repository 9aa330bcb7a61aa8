"""What keeps an application from starting that is no error of the engine."""


class SecretsUnavailable(Exception):
    """A secret cannot be had now. ``code`` says why; the text names its source, never its value."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code
