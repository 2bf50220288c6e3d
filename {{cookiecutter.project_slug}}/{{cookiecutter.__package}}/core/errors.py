"""Why something that an operator asked for was not done."""


class TenantsError(Exception):
    """Nothing was done, or not all: `code` for programs, the message for the operator who reads it.

    The message holds no secret; it says what to do about it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotOffered(TenantsError):
    """What is asked for makes no sense for the way in which this project is set up."""
