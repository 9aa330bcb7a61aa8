"""Error with a code of the contract's, for the report or a command's result."""


class CodedError(Exception):
    """What cannot be had or done, in the words of the report: a code, and a text that holds no secret."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code
